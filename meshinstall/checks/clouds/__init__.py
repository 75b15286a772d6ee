"""Preflight checks of managed clusters, one module for each cloud."""
