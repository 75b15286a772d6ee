"""From what is desired and what is there to a plan, and from a plan to a mesh."""
