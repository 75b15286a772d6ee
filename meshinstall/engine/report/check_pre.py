"""Checks whether a cluster is ready for a mesh: everything that would stop ``up``."""

from meshinstall.engine.planning import NO_HELM, helm_findings, make_plan
from meshinstall.engine.session import Session
from meshinstall.errors import ChartError
from meshinstall.model.codes import CHECKS
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.health import CheckResult
from meshinstall.model.verdict import Outcome

_CATEGORY = "before an install"


async def ready(desired: Desired, session: Session) -> tuple[CheckResult, ...]:
    """Plan as ``up`` would and judge each part; changes nothing. Raises ClusterError when the API server cannot be asked."""
    helm = await _helm(session)
    try:
        plan = await make_plan(desired, session)
    except ChartError as error:
        charts = Finding("PRE900", Severity.ERROR, error.message, hint=error.hint)
        return (helm, _result("PRE900", CHECKS["PRE900"].title, (charts,)))
    # Of helm a plan only says when it cannot be used.
    told = [finding for finding in plan.findings if finding.severity is not Severity.INFO and finding.code != NO_HELM]
    found = [_result(finding.code, finding.title, (finding,)) for finding in told]
    return (
        helm,
        _result("PRE900", CHECKS["PRE900"].title, ()),
        *found,
        _result("PRE902", f"{CHECKS['PRE902'].title}: {len(plan.pending)} steps", ()),
    )


async def _helm(session: Session) -> CheckResult:
    if findings := await helm_findings(session):
        return _result(NO_HELM, CHECKS[NO_HELM].title, findings)
    return _result(NO_HELM, f"helm {await session.helm.version()} is on the PATH", ())


def _result(code: str, title: str, findings: tuple[Finding, ...]) -> CheckResult:
    wrong = any(finding.severity is Severity.ERROR for finding in findings)
    return CheckResult(code, _CATEGORY, title, Outcome.FAIL if wrong else Outcome.PASS, findings)
