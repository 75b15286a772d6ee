"""The command ``meshinstall``: its commands are listed here, and imported when they are run."""

from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from click import Command, Context, HelpFormatter

# In the order of the help: the module below meshinstall.cli that has the command, and what it does.
LISTED = {
    "up": ("change", "Install or upgrade Istio: plan, show, ask, run, wait until it works, prove mTLS."),
    "plan": ("change", "Show what up would do, and change nothing."),
    "down": ("change", "Remove what up installed, gateways first, and prove that it is gone."),
    "verify": ("verify", "Prove that mTLS is in force, on any mesh."),
    "check": ("check", "Check a control plane, or with --pre whether a cluster is ready for one."),
    "status": ("inspect", "Show what is installed and whether it is well."),
    "explain": ("inspect", "Show where each value of a component comes from."),
    "clusters": ("cloud", "List the managed clusters that you can see."),
    "kubeconfig": ("cloud", "Print a kubeconfig without any secret for a managed cluster."),
    "credential": ("cloud", "Print a short-lived credential; what the kubeconfig calls."),
    "lock": ("inspect", "Check that every chart is pinned, or pin it."),
    "init": ("inspect", "Write a working example of meshinstall.yaml."),
}


class _Commands(TyperGroup):
    """Help needs the table alone; each command's options, and what they import, only the command."""

    def list_commands(self, ctx: "Context") -> list[str]:  # noqa: ARG002 - click's signature, here and below
        """Their names, in the order of the table."""
        return list(LISTED)

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":  # noqa: ARG002
        """The command, imported now; None when there is none of that name."""
        if cmd_name not in LISTED:
            return None
        import_module(f"meshinstall.cli.{LISTED[cmd_name][0]}")
        return typer.main.get_group(app).commands.get(cmd_name)

    def format_commands(self, ctx: "Context", formatter: "HelpFormatter") -> None:  # noqa: ARG002
        """The table, as click writes it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in LISTED.items()])


app = typer.Typer(
    name="meshinstall",
    cls=_Commands,
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
