"""Builds the parts of the testbed into a cache, each once for its pins."""
