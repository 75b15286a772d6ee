"""Plans an upgrade from where each part of a mesh is; pure."""
