"""The command ``meshinstall``: its commands are listed here, and imported when they are run.

This group, and the one command that other programs wait for, are click's own; all others are typer's, whose import costs as much
again as click's (docs/decisions/0015).
"""

from importlib import import_module

import click

from meshinstall.cli.settings import HELP

# In the order of the help: the module below meshinstall.cli.commands that has the command, and what it does.
LISTED = {
    "up": ("change", "Install or upgrade Istio: plan, show, ask, run, wait until it works, prove mTLS."),
    "plan": ("change", "Show what up would do, and change nothing."),
    "down": ("change", "Remove what up installed, gateways first, and prove that it is gone."),
    "upgrade": ("upgrade", "Go from the Istio that runs to another one, in stages."),
    "snapshot": ("snapshot", "Keep a mesh in a signed folder, for the day on which its cluster is gone."),
    "restore": ("restore", "Make a mesh of a snapshot again, anywhere, and compare it with what it was."),
    "render": ("render", "Write what up would install as files, for GitOps."),
    "job": ("job", "Write the files of a job that upgrades at night, for Kubernetes or GitHub Actions."),
    "verify": ("verify", "Prove that mTLS is in force, on any mesh."),
    "check": ("check", "Check a control plane, or with --pre whether a cluster is ready for one."),
    "lint": ("lint", "Check the configuration without a cluster, for CI and editors."),
    "policy": ("policy", "Check policies as they are written, without a cluster."),
    "authz": ("authz", "Who may call what, and tests of it."),
    "preview": ("preview", "Show what a change in Git means for every site, for pull requests."),
    "drift": ("drift", "Show in what a mesh is not what Git says, who changed it, and what puts it right."),
    "hand-over": ("hand_over", "Say what is left to do until Argo CD, Flux or up keeps a mesh."),
    "diff": ("diff", "Show in what two environments differ, without a cluster."),
    "status": ("inspect", "Show what is installed and whether it is healthy."),
    "proxies": ("inspect", "List every proxy: version, revision, age, and who replaces it."),
    "explain": ("inspect", "Show where each value of a component comes from."),
    "clusters": ("cloud", "List the managed clusters that you can see."),
    "doctor": ("cloud", "Ask a cloud what a run will ask it, without touching a cluster."),
    "kubeconfig": ("cloud", "Print a kubeconfig without any secret for a managed cluster."),
    "credential": ("credential", "Print a short-lived credential; what the kubeconfig calls."),
    "lock": ("inspect", "Check that every chart is pinned, or pin it."),
    "init": ("inspect", "Write a working example of meshinstall.yaml."),
}


class _Commands(click.Group):
    """Help needs the table alone; each command's options, and what they import, only the command."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature, here and below
        """Their names, in the order of the table."""
        return list(LISTED)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported now; None when there is none of that name."""
        if cmd_name not in LISTED:
            return None
        command = getattr(import_module(f"meshinstall.cli.commands.{LISTED[cmd_name][0]}"), cmd_name.replace("-", "_"))
        if isinstance(command, click.Command):
            return command
        from meshinstall.cli.app import typed

        return typed(cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names; for a mistyped one the error names the nearest."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            nearest = get_close_matches(args[0], LISTED, n=1)
            if not nearest:
                raise
            raise click.UsageError(f"{error.format_message()} Did you mean {nearest[0]}?", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table, as click writes it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in LISTED.items()])


# Characters of an option, with its hyphens, that say which one is meant: --env of --enviroment.
_TELLING = 5


def name_nearest(error: click.ClickException) -> click.ClickException:
    """The error with the option that was meant where one begins the other, which click does not see as alike."""
    if isinstance(error, click.NoSuchOption) and error.ctx:
        known = [name for parameter in error.ctx.command.get_params(error.ctx) for name in parameter.opts]
        begun = [name for name in known if len(name) >= _TELLING and error.option_name.startswith(name)]
        shortened = [name for name in known if len(error.option_name) >= _TELLING and name.startswith(error.option_name)]
        if near := [max(begun, key=len)] if begun else shortened:
            return click.UsageError(f"{error.message} Did you mean {min(near, key=len)!r}?", error.ctx)
    return error


@click.group(
    cls=_Commands,
    name="meshinstall",
    help="Installs and operates Istio on AKS, EKS, GKE and local clusters, and proves that its mTLS holds.",
    context_settings=HELP,
)
@click.version_option(package_name="meshinstall", message="meshinstall %(version)s", help="Print the version and exit.")
def command_line() -> None:
    """Options before the command."""
