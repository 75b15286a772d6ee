"""Brings many meshes before istiod at a time, and makes a mesh that two disagree on as small as it stays one."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from meshinstall.engine.mesh import client_dump
from meshinstall.model.clients import OutboundCluster
from testbed.api import Json
from testbed.referee.asking import Sent
from testbed.referee.plane import Plane
from tests.referees.kinds import MESH_TLS
from tests.referees.strategies import Objects, name_of, placed

# Meshes at a time. A proxy without a Sidecar object knows the Services of all of them.
WIDTH = 25
# Rounds in which nothing more may be taken away, at most.
_ROUNDS = 40
# Fields that every object is complete without.
_OPTIONAL = frozenset(
    {
        *("trafficPolicy", "subsets", "portLevelSettings", "exportTo", "workloadSelector", "tls", "connectionPool"),
        *("portLevelMtls", "outboundTrafficPolicy", "annotations"),
    }
)


@dataclass(frozen=True, slots=True)
class Heard:
    """A mesh as it is stored, and what istiod sends to each of its pods with a sidecar; ``common`` objects hold for all meshes."""

    objects: Objects
    common: Objects
    sent: tuple[tuple[Json, Sent], ...]

    def of(self, kind: str) -> list[Json]:
        """The objects of a kind, the common ones too."""
        return [found for found in (*self.common, *self.objects) if found["kind"] == kind]


def clusters(sent: Sent) -> tuple[OutboundCluster, ...]:
    """How meshinstall reads what istiod sends."""
    return client_dump.read_clusters(sent.active_clusters(), sent.endpoint_configs())


def hear(plane: Plane, meshes: Sequence[Objects], common: Objects = ()) -> Iterator[Heard]:
    """What istiod makes of each mesh; of the objects nothing stays but namespaces."""
    for begin in range(0, len(meshes), WIDTH):
        yield from _hear_some(plane, meshes[begin : begin + WIDTH], common)


def _hear_some(plane: Plane, meshes: Sequence[Objects], common: Objects) -> list[Heard]:
    wanted = [placed(mesh, number) for number, mesh in enumerate(meshes)]
    flat = plane.apply(*common, *(one for mesh in wanted for one in mesh))
    ours, rest = tuple(flat[: len(common)]), flat[len(common) :]
    try:
        stored = []
        for mesh in wanted:
            stored.append(tuple(rest[: len(mesh)]))
            rest = rest[len(mesh) :]
        asked = [(number, pod) for number, mesh in enumerate(stored) for pod in mesh if _has_sidecar(pod)]
        answers = plane.ask_about([(pod, name_of(number)) for number, pod in asked], listeners=True)
    finally:
        plane.remove(*flat)
    by_mesh: list[list[tuple[Json, Sent]]] = [[] for _ in meshes]
    for (number, pod), sent in zip(asked, answers, strict=True):
        by_mesh[number].append((pod, sent))
    return [Heard(mesh, ours, tuple(sent)) for mesh, sent in zip(stored, by_mesh, strict=True)]


def _has_sidecar(found: Json) -> bool:
    labels: Json = found["metadata"].get("labels", {})
    return found["kind"] == "Pod" and MESH_TLS.items() <= labels.items()


Judge = Callable[[Heard], list[str]]


def shrunk(plane: Plane, mesh: Objects, common: Objects, judge: Judge) -> tuple[Objects, list[str]]:
    """The smallest mesh found that ``judge`` still says something of: objects, then fields are left out, many tries at a time."""
    said: list[str] = []
    for _ in range(_ROUNDS):
        tries = list(_smaller(mesh)) if said else [mesh]
        heard = zip(tries, hear(plane, tries, common), strict=True)
        smaller = next(((one, words) for one, found in heard if (words := judge(found))), None)
        if smaller is None:
            break
        mesh, said = smaller
    # Alone once more, so that the words have the names that ``case`` prints.
    (alone,) = hear(plane, [mesh], common)
    return mesh, judge(alone) or said


def _smaller(mesh: Objects) -> Iterator[Objects]:
    for index in range(len(mesh)):
        yield mesh[:index] + mesh[index + 1 :]
    for index, found in enumerate(mesh):
        for path in _removable(found, ()):
            less = copy.deepcopy(found)
            at: Any = less
            for step in path[:-1]:
                at = at[step]
            del at[path[-1]]
            yield (*mesh[:index], less, *mesh[index + 1 :])


def _removable(at: object, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Optional fields, and the items of a list that has others; nothing of a status."""
    if isinstance(at, dict):
        for key, value in at.items():
            if key in _OPTIONAL:
                yield (*path, key)
            if key != "status":
                yield from _removable(value, (*path, key))
    elif isinstance(at, list):
        for index, value in enumerate(at):
            if len(at) > 1:
                yield (*path, index)
            yield from _removable(value, (*path, index))


def case(mesh: Objects, common: Objects, said: Sequence[str], number: int) -> str:
    """A disagreement for people: both answers, the seed, and the objects."""
    return "\n".join([*said, f"seed {number}", yaml.safe_dump_all([*common, *placed(mesh, 0)], sort_keys=False)])
