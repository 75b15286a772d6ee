"""Asks a Prometheus in the cluster which workloads received plaintext in the past, by the proxies' own telemetry."""

import math
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import quote

from meshinstall.engine.mesh.kube_objects import place
from meshinstall.engine.mesh.reader import Asker, Wanted, short
from meshinstall.engine.objects.json_fields import at, rows, text
from meshinstall.engine.session import Session
from meshinstall.errors import ClusterError
from meshinstall.model import json_text
from meshinstall.model.mesh import History, Place
from meshinstall.model.paths import object_path

# As Prometheus' own charts, its operator and Istio's sample install call it.
_PROMETHEUS = "app.kubernetes.io/name=prometheus"
_PORT = 9090
# Requests of HTTP and connections of everything else (istio.io: Istio Standard Metrics), as the side that was reached counted them:
# the side that calls does not know.
_COUNTERS = ("istio_requests_total", "istio_tcp_connections_opened_total")
_SECURITY = "connection_security_policy"
_WORKLOAD = ("destination_workload_namespace", "destination_workload")
_QUERY = 'sum by ({by}) (increase({counter}{{reporter="destination"}}[{days}d]))'


async def ask_history(session: Session, days: int, namespaces: Collection[str] | None = None) -> History:
    """What was counted in the last ``days``, of workloads in ``namespaces`` (None: all); raises UnreachableError alone."""
    asker = Asker(session.kube)
    wanted = Wanted("Pods", object_path("v1", "pods"), _PROMETHEUS, "status.phase=Running")
    pods = sorted(await asker.facts(wanted, place))
    if not pods:
        return History(days, problem="; ".join(["no running pod has the label app.kubernetes.io/name=prometheus", *asker.gaps]))
    counted: dict[tuple[Place, str], float] = {}
    try:
        for counter in _COUNTERS:
            query = _QUERY.format(by=", ".join((*_WORKLOAD, _SECURITY)), counter=counter, days=days)
            body = await session.pods.get(*pods[0], _PORT, f"/api/v1/query?query={quote(query)}")
            for key, value in _counts(json_text.load(body)):
                counted[key] = counted.get(key, 0.0) + value
    except (ClusterError, ValueError) as error:
        return History(days, str(pods[0]), problem=f"{pods[0]}: {short(error)}")
    if not math.isfinite(sum(map(abs, counted.values()))):
        return History(days, str(pods[0]), problem=f"{pods[0]} reports numbers that are too large to add up")
    if not counted:
        return History(days, str(pods[0]), problem=f"{pods[0]} has no metrics of Istio's proxies")
    found: dict[Place, float] = {}
    for (workload, security), value in counted.items():
        if security != "mutual_tls" and value and (namespaces is None or workload.namespace in namespaces):
            found[workload] = found.get(workload, 0.0) + value
    return History(days, str(pods[0]), tuple(sorted((workload, round(value) or 1) for workload, value in found.items())))


def _counts(answer: Any) -> Iterator[tuple[tuple[Place, str], float]]:
    """The vector of an answer of Prometheus (prometheus.io: HTTP API, instant queries); raises ValueError when it is none."""
    if at(answer, "status") != "success":
        raise ValueError(f"Prometheus answered: {text(at(answer, 'error')) or 'no error message'}")
    for one in rows(at(answer, "data", "result")):
        namespace, workload, security = (text(at(one, "metric", label)) for label in (*_WORKLOAD, _SECURITY))
        value = float(text([*rows(at(one, "value")), None, None][1]) or "NaN")
        if not math.isfinite(value):
            raise ValueError(f"Prometheus has no number for {namespace}/{workload}")
        yield (Place(namespace, workload), security), value
