"""The command ``check``: whether a control plane is well, or whether a cluster is ready for one."""

from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.options import Output
from meshinstall.cli.selectors import Selectors, selecting
from meshinstall.cli.target import Asked, Where, complain
from meshinstall.errors import UsageError

if TYPE_CHECKING:
    from meshinstall.model.health import CheckResult

_FAILED, _NOT_PROVEN = 4, 5


@app.command()
@selecting
def check(
    env: options.AnyEnv = "",
    cloud: options.CloudName = None,
    context: options.Context = "",
    kubeconfig: options.KubeconfigFile = None,
    config: options.Config = None,
    pre: Annotated[bool, typer.Option("--pre", help="Before an install: is the cluster ready for what --env describes?")] = False,
    output: options.OutputKind = Output.TABLE,
    *,
    selectors: Selectors,
) -> None:
    """Check a control plane, whoever installed it; exit status 4 when something is wrong, 5 when something could not be seen."""
    from meshinstall.cli.output import check_text, printers

    if pre and not env:
        raise UsageError("--pre needs to know what is to be installed", "name an environment: --env dev")
    found = (
        _ready(Asked(env, cloud, context, kubeconfig, config, selectors=selectors))
        if pre
        else _health(Where(env, cloud, context, kubeconfig, config, selectors))
    )
    typer.echo(printers.dump(check_text.check_json(found)) if output is Output.JSON else check_text.check_text(found))
    raise typer.Exit(_status(found))


def _health(where: Where) -> "tuple[CheckResult, ...]":
    import anyio

    from meshinstall.checks.control_plane.judge import judge
    from meshinstall.engine.gates.check import look
    from meshinstall.wiring import open_lenses

    session = where.session()
    return judge(anyio.run(look, session, open_lenses(session)))


def _ready(asked: Asked) -> "tuple[CheckResult, ...]":
    import anyio

    from meshinstall.engine.report.check_pre import ready
    from meshinstall.wiring import open_session

    project, desired = asked.resolve()
    return anyio.run(ready, desired, open_session(desired.cluster, project, complain))


def _status(found: "tuple[CheckResult, ...]") -> int:
    from meshinstall.model.verdict import Outcome

    outcomes = {result.outcome for result in found}
    return _FAILED if Outcome.FAIL in outcomes else _NOT_PROVEN if Outcome.NOT_PROVEN in outcomes else 0
