"""A real Kubernetes cluster on one Linux machine, for development and tests.

Never imported by ``meshinstall``.
"""
