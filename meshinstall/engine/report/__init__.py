"""Reports that change nothing: the status of a mesh, and whether a cluster is ready for one."""
