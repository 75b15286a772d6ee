"""From what is desired and what is there to a plan; pure."""
