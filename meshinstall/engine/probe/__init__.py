"""Live probes: objects of ours in the cluster, and what they find on the wire."""
