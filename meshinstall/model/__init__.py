"""Frozen values that the rest of meshinstall works on; no I/O, no SDK."""
