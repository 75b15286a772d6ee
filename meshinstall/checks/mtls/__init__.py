"""Judges whether mTLS is in force: policies, clients, proxies, certificates and live probes, port by port."""
