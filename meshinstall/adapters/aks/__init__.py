"""AKS behind the Provider port: Azure Resource Manager, Entra ID, and the settings of Azure's SDK."""
