"""Network plumbing for all adapters: TLS, connection pools, proxies and bounded bodies."""
