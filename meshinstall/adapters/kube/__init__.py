"""The Kube port: kubeconfigs, tokens, the API in plain JSON, and port-forwards."""
