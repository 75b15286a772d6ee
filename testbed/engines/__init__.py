"""The engines of GitOps as processes of a cluster: Argo CD, Flux, and the hub that they take Git and charts from."""
