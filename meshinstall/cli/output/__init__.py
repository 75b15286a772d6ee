"""Plans, events, verdicts and tables as people and programs read them."""
