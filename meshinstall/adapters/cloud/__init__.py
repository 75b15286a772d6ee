"""What the three clouds share: reaching a managed cluster, and kubeconfigs without secrets."""
