"""What the release notes on the way say of what this mesh has; pure."""

from collections.abc import Iterator

from meshinstall.catalog.upgrades import AMBIENT, CNI, NOTES, RETIRED, RETIRED_HOSTS, Note, notes_source
from meshinstall.model.desired import Desired
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition
from meshinstall.model.upgrade import ReleaseChange

_ENV = "env "


def find_changes(position: MeshPosition, desired: Desired, lines: tuple[str, ...]) -> tuple[ReleaseChange, ...]:
    """The entries of these minors that touch the mesh, those of every mesh last in each."""
    found = []
    for line in lines:
        touching = [(note, _objects(note, position, desired)) for note in NOTES.get(line, ())]
        kept = [(note, objects) for note, objects in touching if objects or not note.used]
        kept.sort(key=lambda one: not one[0].used)
        found += [ReleaseChange(line, note.title, note.fix, notes_source(line), objects) for note, objects in kept]
    return tuple(found)


def unknown_lines(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Minors of which no table has the release notes."""
    return tuple(line for line in lines if line not in NOTES)


def lines_between(before: IstioVersion, after: IstioVersion) -> tuple[str, ...]:
    """The minors that a hop enters: 1.30 and 1.31 from 1.29.7 to 1.31.1; empty for a patch."""
    return tuple(f"{after.major}.{minor}" for minor in range(before.minor + 1, after.minor + 1))


def _objects(note: Note, position: MeshPosition, desired: Desired) -> tuple[str, ...]:
    if note.used.startswith(_ENV):
        name = note.used.removeprefix(_ENV)
        return tuple(f"Deployment {plane.place}" for plane in position.planes if name in plane.env)
    if note.used == CNI:
        return tuple(f"DaemonSet {agent.place}" for agent in position.agents if agent.component == "cni")
    if note.used == AMBIENT:
        return tuple(f"DaemonSet {agent.place}" for agent in position.agents if agent.component == "ztunnel")
    if note.used == RETIRED_HOSTS:
        return tuple(dict.fromkeys(_retired(position, desired)))
    return position.used.get(note.used, ())


def _retired(position: MeshPosition, desired: Desired) -> Iterator[str]:
    for plane in position.planes:
        if plane.images.startswith(RETIRED):
            yield f"images of Deployment {plane.place}: {plane.images}"
    for release in desired.releases:
        if release.chart.source.partition("://")[2].startswith(RETIRED):
            yield f"charts: {release.chart.source}"
