"""What the three clouds share: reaching a managed cluster, kubeconfigs without secrets, text from a cloud's API."""
