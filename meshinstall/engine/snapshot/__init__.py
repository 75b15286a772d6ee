"""Takes a snapshot of a mesh: reads the cluster, and writes nothing to it."""
