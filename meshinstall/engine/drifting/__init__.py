"""Compares what Git says, what the engine that keeps a mesh installed, and what is there."""
