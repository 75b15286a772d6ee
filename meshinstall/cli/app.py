"""Where the commands that typer makes are registered."""

import typer
from click import Command

from meshinstall.cli.settings import HELP

# Rich, for help and for tracebacks, costs more time to import than typer itself.
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=HELP)


def typed(name: str) -> Command:
    """The registered command of this name; raises KeyError."""
    return typer.main.get_group(app).commands[name]
