"""Reads what a plan needs: the cluster, its cloud, permissions, and foreign objects in the mesh's namespaces."""
