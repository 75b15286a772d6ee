"""Asks the proxies that are called who reached them without mutual TLS, by Istio's own telemetry in their statistics.

Upstream's Envoy alone cannot tell: it counts connections of a port without their security, and drops even these after five seconds.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

import anyio

from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError
from meshinstall.model.callers import Caller, Callers
from meshinstall.model.mesh import Dataplane, Pod
from meshinstall.ports import Pods

# Requests of HTTP and connections of everything else (istio.io: Istio Standard Metrics).
_COUNTERS = ("istio_requests_total", "istio_tcp_connections_opened_total")
_STATS = f"/stats/prometheus?filter={quote('|'.join(_COUNTERS), safe='')}"
_LINE = re.compile(r"(\w+)\{(.*)\} (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_UNKNOWN = "unknown"
# Answers to whom a policy or the application refused: such a caller is none that a policy should allow.
REFUSED = frozenset({"401", "403"})

# By the source and whether it came without mutual TLS, where the source is a workload; with it, it is a principal.
_Counts = Mapping[tuple[str, bool], float]


async def ask_callers(pods: Sequence[Pod], ports: Pods, seconds: float | None) -> Callers:
    """What sidecars count in ``seconds`` from now, or did since they started (None)."""
    wanted = [pod for pod in pods if pod.dataplane is Dataplane.SIDECAR and pod.running]
    before: Mapping[int, _Counts | None] = {}
    if seconds is not None:
        before = await _all(wanted, ports)
        await anyio.sleep(seconds)
    now = await _all(wanted, ports)
    found: dict[tuple[str, str, bool], float] = {}
    uncounted, silent = set(), 0
    for index, counts in now.items():
        workload = f"{wanted[index].place.namespace}/{wanted[index].workload}"
        earlier = before.get(index)
        if not counts or (seconds is not None and earlier is None):
            uncounted.add(workload)
            silent += 1
            continue
        for (source, is_plain), count in counts.items():
            # A proxy that was restarted meanwhile counts from nothing.
            added = count - (earlier or {}).get((source, is_plain), 0.0)
            if added := count if added < 0 else added:
                found[workload, source, is_plain] = found.get((workload, source, is_plain), 0.0) + added
    callers = [
        (Caller(workload, source, round(count) or 1), is_plain) for (workload, source, is_plain), count in sorted(found.items()) if source
    ]
    plain, known = (tuple(one for one, kind in callers if kind is wanted_kind) for wanted_kind in (True, False))
    return Callers(seconds, len(wanted), plain, tuple(sorted(uncounted)), silent, known)


async def _all(pods: Sequence[Pod], ports: Pods) -> Mapping[int, _Counts | None]:
    async def one(index: int) -> _Counts | None:
        pod = pods[index]
        try:
            return _read(await ports.get(*pod.place, pod.admin_port, _STATS))
        except (ClusterError, ValueError):
            return None

    return await gather(range(len(pods)), one)


def _read(stats: bytes) -> _Counts:
    """What came, by its source; raises ValueError for what is no such text."""
    found: dict[tuple[str, bool], float] = {}
    for labels, value in _samples(stats.decode()):
        if labels.get("reporter") == "destination":
            is_plain = labels.get("connection_security_policy") != "mutual_tls"
            source = _source(labels) if is_plain else _principal(labels)
            found[source, is_plain] = found.get((source, is_plain), 0.0) + value
    return found


def _samples(text: str) -> Iterator[tuple[Mapping[str, str], float]]:
    for line in text.splitlines():
        if (parts := _LINE.fullmatch(line)) and parts[1] in _COUNTERS:
            value = float(parts[3])
            if not math.isfinite(value) or value < 0:
                raise ValueError("not a count")
            yield dict(_LABEL.findall(parts[2])), value


def _source(labels: Mapping[str, str]) -> str:
    namespace, workload = (labels.get(name, _UNKNOWN) for name in ("source_workload_namespace", "source_workload"))
    return _UNKNOWN if workload == _UNKNOWN else f"{namespace}/{workload}"


def _principal(labels: Mapping[str, str]) -> str:
    """Whoever came with mutual TLS; empty for a request that was refused."""
    return "" if labels.get("response_code") in REFUSED else labels.get("source_principal", _UNKNOWN)
