"""EKS behind the Provider port: AWS's API, STS tokens, and how AWS is spoken to."""
