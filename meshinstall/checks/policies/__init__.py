"""Judges policies as they are written, without a cluster."""
