"""The command line: options in, one call to the engine, output by a printer."""

from meshinstall.cli.app import app

__all__ = ["app"]
