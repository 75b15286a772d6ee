"""Installs and operates Istio on AKS, EKS, GKE and local clusters."""
