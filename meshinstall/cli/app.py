"""The command ``meshinstall``."""

from typing import Annotated

import typer

app = typer.Typer(
    name="meshinstall",
    help="Installs and operates Istio on AKS, EKS, GKE and local clusters, and proves that its mTLS holds.",
    no_args_is_help=True,
    # Rich costs more time to import than everything else that --help needs.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - the shape of a typer callback
    if wanted:
        from importlib.metadata import version

        typer.echo(f"meshinstall {version('meshinstall')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)] = False,
) -> None:
    """Options before the command."""
