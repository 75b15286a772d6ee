"""Runs an upgrade, or takes one back: stage after stage, each judged by a gate, under one lock."""
