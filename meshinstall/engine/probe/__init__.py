"""Live probes: meshinstall's own pods in the cluster, and what they observe on the ports of a mesh."""
