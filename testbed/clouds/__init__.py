"""Small servers that stand in for the clouds and check what the clouds check."""
