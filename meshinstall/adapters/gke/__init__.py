"""GKE behind the Provider port: Google's REST APIs and the caller's credentials."""
