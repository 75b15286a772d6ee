"""Carries out a plan: steps, waits, the run lock, and what a removal leaves behind."""
