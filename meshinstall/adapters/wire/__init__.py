"""Live probes of a port, as bytes on a connection from inside the cluster."""
