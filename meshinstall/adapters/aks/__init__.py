"""AKS behind the Provider port: Azure Resource Manager, Entra ID, and what Azure's SDK is told."""
