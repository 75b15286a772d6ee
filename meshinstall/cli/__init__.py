"""The command line: options in, one call to the engine, output by a printer."""

from meshinstall.cli.root import commands

__all__ = ["commands"]
