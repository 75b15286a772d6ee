"""Whether a control plane is healthy: each check is a rule with a pure judge over the facts.

A check whose facts could not be read is NOT PROVEN, never passed over. Titles are in ``model/codes.py``.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from meshinstall.checks.control_plane import certificates, cluster, configuration, istiod
from meshinstall.model.codes import CHECKS
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import in_lines, line
from meshinstall.model.health import CheckResult, HealthFacts
from meshinstall.model.istio import VOUCHING_KINDS
from meshinstall.model.verdict import Outcome

Judge = Callable[[HealthFacts], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Rule:
    """How one check is judged; ``needs`` are what it proves nothing without: keys of HealthFacts.unread, or kinds of MeshFacts.unread.

    ``doubt`` is why a warning of this check leaves it NOT PROVEN; without it only what is missing does.
    """

    code: str
    category: str
    judge: Judge
    needs: tuple[str, ...] = ()
    doubt: str = ""


_PLANE, _TLS, _SETTINGS, _CLUSTER = "control plane", "certificates", "configuration", "cluster"

# Without which there may be a control plane that was not seen.
_FOUND_BY = (*VOUCHING_KINDS, "Service", "Deployment")
_FOR_LATER = "a policy may be for pods that do not exist yet"

RULES: tuple[Rule, ...] = (
    Rule("CHK001", _PLANE, istiod.presence, _FOUND_BY),
    Rule("CHK002", _PLANE, istiod.webhook_path, ("webhook path",)),
    Rule("CHK003", _PLANE, istiod.webhook_roots, ("webhooks", "authorities")),
    Rule("CHK004", _PLANE, istiod.failure_policy, ("webhooks",)),
    Rule("CHK005", _PLANE, istiod.tags, ("webhooks", *_FOUND_BY)),
    Rule("CHK006", _PLANE, istiod.versions, ("proxies",)),
    Rule("CHK007", _PLANE, istiod.sync, ("proxies",)),
    Rule("CHK008", _PLANE, istiod.usage, ("usage",)),
    Rule("CHK009", _TLS, certificates.authorities, ("authorities",)),
    Rule("CHK010", _TLS, certificates.workloads, ("proxies",)),
    Rule("CHK011", _TLS, certificates.clocks, ("clock",)),
    Rule("CHK012", _SETTINGS, configuration.labels, ("Namespace",)),
    Rule(
        "CHK013",
        _SETTINGS,
        configuration.revisions,
        ("Namespace", "webhooks", *_FOUND_BY),
    ),
    Rule("CHK014", _SETTINGS, configuration.policies, ("PeerAuthentication",), _FOR_LATER),
    Rule("CHK015", _CLUSTER, cluster.crds, ("crds",)),
    Rule("CHK016", _CLUSTER, cluster.gateway_api, ("crds",)),
    Rule("CHK017", _CLUSTER, cluster.exposures, ("services",)),
)


def judge(facts: HealthFacts) -> tuple[CheckResult, ...]:
    """Every check's result, in order; without a control plane only the first can say anything."""
    results = tuple(_run(rule, facts) for rule in RULES)
    return results if facts.mesh.control_planes else results[:1]


def _run(rule: Rule, facts: HealthFacts) -> CheckResult:
    findings = in_lines(tuple(rule.judge(facts)))
    doubts = [rule.doubt] if rule.doubt and any(one.severity is Severity.WARNING for one in findings) else []
    reason = line("; ".join([*_missing(rule, facts), *doubts]))
    if any(finding.severity is Severity.ERROR for finding in findings):
        outcome = Outcome.FAIL
    else:
        outcome = Outcome.NOT_PROVEN if reason else Outcome.PASS
    title = CHECKS[rule.code].title
    return CheckResult(rule.code, rule.category, title, outcome, findings, reason if outcome is not Outcome.FAIL else "")


def _missing(rule: Rule, facts: HealthFacts) -> Iterator[str]:
    for need in rule.needs:
        if need in facts.unread:
            yield facts.unread[need]
        elif need in facts.mesh.unread:
            yield f"{need} objects could not be listed"
