"""Reads what a proxy enforces from its configuration: filter chains, rules, tokens; pure. What is not known is undecided, and says so."""
