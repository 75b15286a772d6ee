"""What must hold of a managed cluster before Istio is installed, by the rules of its cloud."""
