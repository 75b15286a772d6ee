"""Judgements over facts: pure functions that return findings."""
