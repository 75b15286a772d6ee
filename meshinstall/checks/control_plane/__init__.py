"""Health checks of a control plane: istiod, certificates, configuration and the cluster."""
