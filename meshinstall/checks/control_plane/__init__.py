"""Whether a control plane is well: checks of istiod, certificates, configuration and the cluster."""
