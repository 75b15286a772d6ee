"""Writes the files from which kubectl, kustomize, Argo CD and Flux install a mesh, from objects that are rendered already: pure."""
