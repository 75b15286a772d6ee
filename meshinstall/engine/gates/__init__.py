"""Verification of mTLS, and health checks of a control plane."""
