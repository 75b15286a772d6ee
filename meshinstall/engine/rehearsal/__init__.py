"""Tries a plan before it is carried out: renders what helm will send, and asks the API server what it would say; changes nothing."""
