"""Nightly upgrades: what a night may move to, and one night from its window to its result."""
