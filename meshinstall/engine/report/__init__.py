"""Answers about a cluster that change nothing: status, and whether it is ready for a mesh."""
