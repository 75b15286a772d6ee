"""The Helm and Releases ports: the helm program, and the records that it keeps in the cluster."""
