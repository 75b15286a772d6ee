"""Runs a plan: steps, waiting, the run lock, and what remains after a removal."""
