"""Asks each Prometheus in the cluster which workloads received plaintext in the past, by the proxies' own telemetry."""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from meshinstall.engine.mesh.callers import REFUSED
from meshinstall.engine.mesh.kube_objects import place
from meshinstall.engine.mesh.reader import Asker, Wanted, short
from meshinstall.engine.objects.json_fields import at, rows, text
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError
from meshinstall.model import json_text
from meshinstall.model.mesh import History, Place
from meshinstall.model.paths import object_path

# As Prometheus' own charts, its operator and Istio's sample install call it.
_PROMETHEUS = "app.kubernetes.io/name=prometheus"
_PORT = 9090
# Pods that are asked; more are said.
_MOST = 5
# Requests of HTTP and connections of everything else (istio.io: Istio Standard Metrics), as the side that was reached counted them:
# the side that calls does not know.
_COUNTERS = ("istio_requests_total", "istio_tcp_connections_opened_total")
_SECURITY = "connection_security_policy"
_WORKLOAD = ("destination_workload_namespace", "destination_workload")
_BY = (*_WORKLOAD, _SECURITY)
# Whether it remembers the first of the days: one that is younger, or forgets sooner, answers for fewer without saying so.
_OLDEST = 'count({{__name__=~"{counters}",reporter="destination"}} offset {days}d)'
_WHO = ("source_principal", "response_code")
_QUERY = 'sum by ({by}) (increase({counter}{{reporter="destination"}}[{days}d]))'


@dataclass(frozen=True, slots=True)
class _Told:
    """What one pod counted, by workload, security and the caller's principal, or why that is unknown."""

    counted: Mapping[tuple[Place, str, str], float] = field(default_factory=dict)
    problem: str = ""


async def ask_history(session: Session, days: int, namespaces: Collection[str] | None = None, *, identities: bool = False) -> History:
    """What was counted in the last ``days``, of workloads in ``namespaces`` (None: all); raises UnreachableError alone.

    With ``identities`` a Prometheus answers a row for each caller, not for each workload; those that were refused are left out.

    Anybody may label a pod so. All of them are asked, and of a workload the largest number counts: nobody can hide what another one
    counted, and replicas do not add up. One that does not answer may be the real one, so that the rest proves no peace.
    """
    asker = Asker(session.kube)
    wanted = Wanted("Pods", object_path("v1", "pods"), _PROMETHEUS, "status.phase=Running")
    pods = sorted(await asker.facts(wanted, place))
    if not pods:
        return History(days, problem="; ".join(["no running pod has the label app.kubernetes.io/name=prometheus", *asker.gaps]))
    told = await gather(pods[:_MOST], lambda pod: _ask(session, pod, days, (*_BY, *(_WHO if identities else ()))))
    silent = [f"{pod}: {one.problem}" for pod, one in told.items() if one.problem]
    silent += [f"{len(pods)} pods are labelled as Prometheus, and {_MOST} were asked"] if len(pods) > _MOST else []
    useful = {pod: one.counted for pod, one in told.items() if one.counted}
    source = ", ".join(map(str, useful or told))
    if not useful and not silent:
        return History(days, source, problem=f"{source} {'has' if len(told) == 1 else 'have'} no metrics of Istio's proxies")
    found: dict[Place, float] = {}
    for counted in useful.values():
        for workload, value in _plaintext(counted, namespaces).items():
            found[workload] = max(found.get(workload, 0.0), value)
    known = frozenset(
        (workload, principal)
        for counted in useful.values()
        for (workload, security, principal), value in counted.items()
        if principal and security == "mutual_tls" and value
    )
    return History(days, source, tuple(sorted((name, round(value) or 1) for name, value in found.items())), "; ".join(silent), known)


async def _ask(session: Session, pod: Place, days: int, by: tuple[str, ...]) -> _Told:
    counted: dict[tuple[Place, str, str], float] = {}
    try:
        for counter in _COUNTERS:
            query = _QUERY.format(by=", ".join(by), counter=counter, days=days)
            body = await session.pods.get(*pod, _PORT, f"/api/v1/query?query={quote(query)}")
            for key, value in _counts(json_text.load(body)):
                counted[key] = counted.get(key, 0.0) + value
        forgets = await _forgets(session, pod, days) if by != _BY else ""
    except (ClusterError, ValueError) as error:
        return _Told(problem=short(error))
    if not math.isfinite(sum(map(abs, counted.values()))):
        return _Told(problem="reports numbers that are too large to add up")
    return _Told(counted, forgets)


async def _forgets(session: Session, pod: Place, days: int) -> str:
    """Why what it counted is not of all the days; raises ClusterError and ValueError."""
    query = _OLDEST.format(counters="|".join(_COUNTERS), days=days)
    answer = json_text.load(await session.pods.get(*pod, _PORT, f"/api/v1/query?query={quote(query)}"))
    if at(answer, "status") != "success":
        raise ValueError("Prometheus did not answer what it has of the first day")
    return "" if rows(at(answer, "data", "result")) else f"has no metrics of {days} days ago: ask for fewer with --history"


def _plaintext(counted: Mapping[tuple[Place, str, str], float], namespaces: Collection[str] | None) -> dict[Place, float]:
    """Without mutual TLS, by workload."""
    found: dict[Place, float] = {}
    for (workload, security, _), value in counted.items():
        if security != "mutual_tls" and value and (namespaces is None or workload.namespace in namespaces):
            found[workload] = found.get(workload, 0.0) + value
    return found


def _counts(answer: Any) -> Iterator[tuple[tuple[Place, str, str], float]]:
    """The vector of an answer of Prometheus (prometheus.io: HTTP API, instant queries); raises ValueError when it is none."""
    if at(answer, "status") != "success":
        raise ValueError(f"Prometheus answered: {text(at(answer, 'error')) or 'no error message'}")
    for one in rows(at(answer, "data", "result")):
        namespace, workload, security, principal, code = (text(at(one, "metric", label)) for label in (*_BY, *_WHO))
        value = float(text([*rows(at(one, "value")), None, None][1]) or "NaN")
        if not math.isfinite(value):
            raise ValueError(f"Prometheus has no number for {namespace}/{workload}")
        yield (Place(namespace, workload), security, "" if code in REFUSED else principal), value
