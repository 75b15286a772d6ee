"""Pure functions over Kubernetes objects: readiness, manifests, field managers, capacity."""
