"""What was at the start of a run where an earlier one ended before a gate had passed: as little as that could have proven."""

from collections.abc import Collection
from dataclasses import replace

from meshinstall.model.gate import Snapshot, WorkloadSeen
from meshinstall.model.place import Place


def unexcused(start: Snapshot, gateways: Collection[Place]) -> Snapshot:
    """The start of a run without what it saw of these gateways, which are as an earlier upgrade left them and not as they were before.

    What is wrong with them now is then no fault of before: they are judged as new ones. Containers that were started again stay counted,
    for the pods of before may still be there.
    """
    if not gateways:
        return start
    rows = tuple(port for port in start.verdict.ports if Place(port.namespace, port.workload) not in gateways)
    workloads = {place: _sound(one) if place in gateways else one for place, one in start.workloads.items()}
    return replace(start, verdict=replace(start.verdict, ports=rows), workloads=workloads)


def _sound(seen: WorkloadSeen) -> WorkloadSeen:
    wanted = seen.pods if seen.wanted is None else seen.wanted
    return replace(seen, ready=wanted, pods=wanted, proxies=())
