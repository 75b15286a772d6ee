"""Writes the files of a nightly job, from what the command line asks for: pure, they go to no cluster."""
