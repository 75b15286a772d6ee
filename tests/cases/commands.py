"""docs/commands.md: what every command says of itself."""

from collections.abc import Iterator
from pathlib import Path

import click

from meshinstall.cli.root import command_line

FILE = Path(__file__).parents[2] / "docs" / "commands.md"
_WIDTH = 100
_HEAD = """# Commands

Written by `scripts/golden` from the code: what `--help` says. How they are used, and their exit statuses: [guide](guide.md).
"""


def text() -> str:
    """The whole page."""
    with command_line.make_context("meshinstall", [], resilient_parsing=True, terminal_width=_WIDTH) as root:
        return "\n".join([_HEAD, *_sections(root)])


def _sections(root: click.Context) -> Iterator[str]:
    for name in command_line.list_commands(root):
        command = command_line.get_command(root, name)
        assert command is not None
        with command.make_context(name, [], parent=root, resilient_parsing=True) as context:
            yield f"## {name}\n\n```\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    FILE.write_text(text())
