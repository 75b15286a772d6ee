"""Implements the ports with SDKs, helm and HTTP; every SDK is imported inside functions."""
