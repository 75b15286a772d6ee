"""The Charts port: OCI registries, Helm repositories and folders, behind one verified cache."""
