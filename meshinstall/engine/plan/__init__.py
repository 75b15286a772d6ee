"""Compares what is desired with what exists, and makes a plan; pure."""
