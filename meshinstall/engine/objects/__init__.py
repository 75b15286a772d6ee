"""Kubernetes' objects read and judged: readiness, manifests, field managers, room; pure."""
