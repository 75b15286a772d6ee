"""What is there before planning: the cluster, what the cloud says of it, permissions, what others have in our namespaces."""
