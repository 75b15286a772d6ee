"""Reads X.509 certificates in PEM, and the CA of a user as istiod and proxies would."""

from meshinstall.adapters.certificates.ca import read_ca
from meshinstall.adapters.certificates.reader import read_certificates, read_chain, read_roots

__all__ = ["read_ca", "read_certificates", "read_chain", "read_roots"]
