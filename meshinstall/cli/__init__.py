"""The command line: options in, one call to the engine, output by a printer."""

from meshinstall.cli import change, inspect
from meshinstall.cli.app import app

__all__ = ["app", "change", "inspect"]
