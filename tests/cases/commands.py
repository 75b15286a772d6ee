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


def _sections(root: click.Context, within: click.Group = command_line, above: str = "") -> Iterator[str]:
    """A section for each command; one that is a group has its own below it."""
    for name in within.list_commands(root):
        command = within.get_command(root, name)
        assert command is not None
        with command.make_context(name, [], parent=root, resilient_parsing=True) as context:
            yield f"## {above}{name}\n\n```\n{command.get_help(context)}\n```\n"
            if isinstance(command, click.Group):
                yield from _sections(context, command, f"{name} ")


if __name__ == "__main__":
    FILE.write_text(text())
