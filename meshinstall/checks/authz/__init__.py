"""Decides what policies do to one request, as istiod and Envoy would; pure."""
