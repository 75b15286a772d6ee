"""Network plumbing for all adapters: TLS and connection pools."""
