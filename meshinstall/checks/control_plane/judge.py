"""Whether a control plane is well: each check is a record with a pure judge over the facts.

A check that could not be asked is NOT PROVEN, never passed over. Codes have an
anchor in docs/checks.md.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from meshinstall.checks.control_plane import certificates, cluster, configuration, istiod
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.health import CheckResult, HealthFacts
from meshinstall.model.verdict import Outcome

Judge = Callable[[HealthFacts], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """One check; ``needs`` are what it proves nothing without: keys of HealthFacts.unread, or kinds of MeshFacts.unread."""

    code: str
    category: str
    title: str
    judge: Judge
    needs: tuple[str, ...] = ()


_PLANE, _TLS, _SETTINGS, _CLUSTER = "control plane", "certificates", "configuration", "cluster"

CHECKS: tuple[Check, ...] = (
    Check("CHK001", _PLANE, "a control plane is there", istiod.presence, ("Deployment",)),
    Check("CHK002", _PLANE, "the API server reaches istiod's webhooks", istiod.webhook_path, ("webhook path",)),
    Check("CHK003", _PLANE, "webhooks trust istiod's authority", istiod.webhook_roots, ("webhooks", "authorities")),
    Check("CHK004", _PLANE, "invalid configuration is refused", istiod.failure_policy, ("webhooks",)),
    Check("CHK005", _PLANE, "revisions and tags lead to an istiod", istiod.tags, ("webhooks", "Deployment")),
    Check("CHK006", _PLANE, "proxies have the version of their control plane", istiod.versions, ("proxies",)),
    Check("CHK007", _PLANE, "proxies have what istiod last sent", istiod.sync, ("proxies",)),
    Check("CHK008", _PLANE, "istiod has the memory that it needs", istiod.usage, ("usage",)),
    Check("CHK009", _TLS, "authorities will not end soon", certificates.authorities, ("authorities",)),
    Check("CHK010", _TLS, "workload certificates are renewed", certificates.workloads, ("proxies",)),
    Check("CHK011", _TLS, "clocks agree", certificates.clocks, ("clock",)),
    Check("CHK012", _SETTINGS, "namespaces are labelled without contradiction", configuration.labels, ("Namespace",)),
    Check(
        "CHK013",
        _SETTINGS,
        "namespaces and pods name revisions that exist",
        configuration.revisions,
        ("Namespace", "webhooks", "Deployment"),
    ),
    Check("CHK014", _SETTINGS, "every PeerAuthentication has an effect", configuration.policies, ("PeerAuthentication",)),
    Check("CHK015", _CLUSTER, "Istio's CRDs are complete and serve what is stored", cluster.crds, ("crds",)),
    Check("CHK016", _CLUSTER, "the Gateway API fits this Istio", cluster.gateway_api, ("crds",)),
    Check("CHK017", _CLUSTER, "dashboards and debug ports are not exposed", cluster.exposures, ("services",)),
)


def judge(facts: HealthFacts) -> tuple[CheckResult, ...]:
    """Every check's result, in order; without a control plane only the first can say anything."""
    results = tuple(_run(check, facts) for check in CHECKS)
    return results if facts.mesh.control_planes else results[:1]


def _run(check: Check, facts: HealthFacts) -> CheckResult:
    findings = tuple(check.judge(facts))
    reason = "; ".join(_missing(check, facts))
    if any(finding.severity is Severity.ERROR for finding in findings):
        outcome = Outcome.FAIL
    else:
        outcome = Outcome.NOT_PROVEN if reason else Outcome.PASS
    return CheckResult(check.code, check.category, check.title, outcome, findings, reason if outcome is not Outcome.FAIL else "")


def _missing(check: Check, facts: HealthFacts) -> Iterator[str]:
    for need in check.needs:
        if need in facts.unread:
            yield facts.unread[need]
        elif need in facts.mesh.unread:
            yield f"{need} objects could not be listed"
