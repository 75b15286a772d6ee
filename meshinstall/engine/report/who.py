"""Who may call what: by the policies of files, by those of a cluster, or by both, with where they differ."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from meshinstall.checks.authz.callees import described_by, selected
from meshinstall.checks.authz.decide import World, world
from meshinstall.checks.authz.matrix import Matrix, open_somehow
from meshinstall.checks.mtls.peer_authentication import is_seen
from meshinstall.config.policy_files import read_objects
from meshinstall.engine.mesh.callees import Running, list_running
from meshinstall.engine.mesh.reader import Asker
from meshinstall.engine.objects.mesh_policies import known_mesh, mesh_wide
from meshinstall.engine.observe.policies import list_access_policies
from meshinstall.engine.report.pushed import Unpushed, find_unpushed
from meshinstall.errors import ConfigError, Problem
from meshinstall.model.access import Access, Callee, Cell, openness
from meshinstall.model.desired import Desired
from meshinstall.model.istio import DEFAULT_ROOT_NAMESPACE
from meshinstall.model.labels import REVISION
from meshinstall.model.policy_object import PolicyObject
from meshinstall.ports import Kube, Pods

FILES, LIVE = "files", "live"


class Difference(StrEnum):
    """How what a cluster does differs from what files say of some requests."""

    NONE = ""
    NOT_IN_GIT = "not in Git"
    NOT_APPLIED = "not applied"


@dataclass(frozen=True, slots=True)
class Who:
    """Access of each workload; cells have a verdict for each of ``sides``. ``gaps`` are what the cluster did not tell.

    ``unpushed`` is what proxies do otherwise than the cluster's policies, where they were asked.
    """

    sides: tuple[str, ...]
    accesses: tuple[Access, ...]
    gaps: tuple[str, ...] = ()
    unpushed: tuple[Unpushed, ...] = ()

    def difference(self, cell: Cell) -> Difference:
        """Of a cell: the cluster lets more through than the files, or less."""
        files, live = openness(cell.verdicts[0]), openness(cell.verdicts[-1])
        return Difference.NOT_IN_GIT if live > files else Difference.NOT_APPLIED if live < files else Difference.NONE


def read_sources(sources: Iterable[Path | PolicyObject], desired: Desired | None) -> tuple[PolicyObject, ...]:
    """All objects of files, with those that an environment makes; raises ConfigError with every mistake, or UsageError."""
    problems: list[Problem] = []
    given = tuple(sources)
    read = read_objects((one for one in given if isinstance(one, Path)), problems)
    if problems:
        raise ConfigError(tuple(problems))
    return (*(one for one in given if isinstance(one, PolicyObject)), *read, *mesh_wide(desired))


async def who_may_call(
    files: Sequence[PolicyObject] | None,
    kube: Kube | None,
    desired: Desired | None,
    namespaces: Collection[str] = (),
    pods: Pods | None = None,
) -> Who:
    """Decide for all workloads, or for those of some namespaces; without ``kube`` they are those that the files tell of.

    ``files`` is None for a cluster alone; with ``pods`` each proxy is asked what it has. Raises ClusterError.
    """
    sides = {FILES: tuple(files)} if files is not None else {}
    asker, there = Asker(kube) if kube else None, tuple(described_by(files or ()))
    running: tuple[Running, ...] = ()
    if kube and asker:
        sides[LIVE] = await read_live(kube)
        running = await list_running(asker, desired.mesh_namespace if desired else DEFAULT_ROOT_NAMESPACE, namespaces if pods else None)
        there = tuple(one.callee for one in running)
    every = tuple(one for objects in sides.values() for one in objects)
    callees = (*there, *(() if kube and there else selected(known_mesh(every, desired), there)))
    worlds = [world_of(objects, desired) for objects in sides.values()]
    wanted = [one for one in callees if not namespaces or one.workload.namespace in namespaces]
    accesses = tuple(Matrix(worlds, open_somehow).of(_named_apart(wanted)))
    unpushed, untold = await find_unpushed(running, worlds[-1], pods) if pods else ((), ())
    return Who(tuple(sides), accesses, (*(asker.gaps if asker else ()), *untold), unpushed)


async def read_live(kube: Kube) -> tuple[PolicyObject, ...]:
    """All policies of a cluster by which requests are decided, whoever made them; raises ClusterError."""
    return tuple(PolicyObject("", one, {}) for one in await list_access_policies(kube))


def world_of(objects: Iterable[PolicyObject], desired: Desired | None) -> World:
    """Objects as an environment's istiod reads them, or one with Istio's defaults."""
    return world(known_mesh(_seen(objects, desired), desired))


def _seen(objects: Iterable[PolicyObject], desired: Desired | None) -> tuple[PolicyObject, ...]:
    """Those that an istiod of the environment's revision sees."""
    return tuple(one for one in objects if is_seen(one.labels.get(REVISION), desired.revision if desired else ""))


def _named_apart(callees: Sequence[Callee]) -> Iterable[Callee]:
    """With their labels where two have one name, such as a Deployment whose pods are being replaced."""
    names = [one.name for one in callees]
    for one in callees:
        labels = ",".join(f"{name}={value}" for name, value in sorted(one.workload.labels.items()))
        yield one if names.count(one.name) == 1 else Callee(f"{one.name} ({labels})", one.workload, one.unguarded)
