"""A small mesh whose clients were asked: the Services ``web`` and ``api`` of ``shop``, and a client in ``crm``."""

from collections.abc import Mapping, Sequence
from typing import Any

from meshinstall.checks.mtls.judge import judge
from meshinstall.model.finding import Finding
from meshinstall.model.mesh import MeshFacts
from meshinstall.model.verdict import Evidence, PortVerdict, Source, Verdict
from meshinstall.model.wire import Probing
from tests.cases import verdicts

BATCH = {"workload": "Deployment batch", "dataplane": "sidecar", "ip": "10.0.5.1", "labels": {"app": "batch"}}
CRM: Mapping[str, Any] = {
    "namespaces": {"crm": {"labels": {"istio-injection": "enabled"}, "roots": ["root"]}},
    "pods": {"crm/batch-1": BATCH},
    "proxies": {"crm/batch-1": {}},
}


def verdict(**facts: Any) -> Verdict:
    """Of the mesh of mesh.yaml with a client in ``crm``, where facts differ; the wire is not looked at."""
    return judged(mesh(**facts))


def judged(facts: MeshFacts) -> Verdict:
    """What is made of facts without the wire."""
    return judge(facts, Probing({}, "not here", ""), "kind-dev")


def mesh(**facts: Any) -> MeshFacts:
    """The facts of the mesh of mesh.yaml with a client in ``crm``, where they differ."""
    merged = {name: {**CRM.get(name, {}), **facts.get(name, {})} for name in (*CRM, *facts) if isinstance(facts.get(name, {}), Mapping)}
    merged["pods"] = {**merged["pods"], "crm/batch-1": {**BATCH, **facts.get("pods", {}).get("crm/batch-1", {})}}
    merged["clients"] = facts.get("clients", {})
    return verdicts.make({"facts": {**facts, **merged}}).facts


def row(found: Verdict, workload: str = "Deployment web", port: int = 8080) -> PortVerdict:
    """One port of one workload."""
    (one,) = (one for one in found.ports if (one.workload, one.port) == (workload, port))
    return one


def told(found: Verdict, workload: str = "Deployment web", port: int = 8080) -> list[Evidence]:
    """What is said of the clients of a port."""
    return [one for one in row(found, workload, port).evidence if one.source is Source.CLIENT]


def short(found: Sequence[Evidence]) -> list[tuple[str, str, str]]:
    """Outcome, code and object of each."""
    return [(str(one.outcome), one.code, one.object) for one in found]


def finding(found: Verdict, code: str) -> Finding:
    """The one with this code."""
    (one,) = (one for one in found.findings if one.code == code)
    return one
