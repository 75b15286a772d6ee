"""Finds the hops from where a mesh is to a version, by the tables of catalog/upgrades.py; pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from meshinstall.catalog.upgrades import CANARY_MINORS, NEWEST_PATCH
from meshinstall.checks.words import first
from meshinstall.engine.upgrade.strategy import choose, minors
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition
from meshinstall.model.revision import revision_of
from meshinstall.model.upgrade import Hop, Strategy, Way

NO_HOP = "PRE039"
_NO_LEGAL_HOP = "there is no legal hop"
# Parts that are named.
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Route:
    """The hops to the target, and how the first is made; without a strategy there is no hop yet, and ``refusals`` say why."""

    hops: tuple[Hop, ...] = ()
    strategy: Strategy | None = None
    refusals: tuple[Finding, ...] = ()


def find_route(position: MeshPosition, target: IstioVersion, revision: str) -> Route:
    """The legal way to the target; ``revision`` is the one that a canary ends with. Each refusal names the next legal hop, or none."""
    if refusal := _unreadable(position):
        return Route(refusals=(refusal,))
    newer = sorted(((version, name) for version, name in _parts(position) if version > target), reverse=True)
    if newer:
        return Route(refusals=(_backwards(position, target, newer),))
    oldest = _oldest(position)
    if strategy := choose(position, target, revision):
        return Route((Hop(oldest, target, strategy.way),), strategy)
    hops = _chain(position, target)
    return Route(hops, None, (_too_far(position, hops, target),))


def _oldest(position: MeshPosition) -> IstioVersion:
    return min(plane.version for plane in position.planes if plane.version)


def _chain(position: MeshPosition, target: IstioVersion) -> tuple[Hop, ...]:
    """One minor after the other, each at the newest patch that the table knows; empty when not even the first hop is legal."""
    oldest = _oldest(position)
    between = (IstioVersion(oldest.major, minor, 0) for minor in range(oldest.minor + 1, target.minor))
    stops = [*(stop._replace(patch=NEWEST_PATCH.get(stop.line, 0)) for stop in between), target]
    legal = next((number for number, stop in enumerate(stops) if _way_to(position, stop)), len(stops))
    way = Way.IN_PLACE if position.is_ambient else Way.CANARY
    stops = stops[legal:]
    ways = [_way_to(position, stop) or way for stop in stops[:1]] + [way] * len(stops[1:])
    return tuple(Hop(*pair, way) for pair, way in zip(pairwise([oldest, *stops]), ways, strict=True))


def _way_to(position: MeshPosition, stop: IstioVersion) -> Way | None:
    """How one hop reaches a version; None when none does."""
    if any(version > stop for version, _ in _parts(position)):
        return None
    strategy = choose(position, stop, revision_of(str(stop)))
    return strategy.way if strategy else None


def _too_far(position: MeshPosition, hops: tuple[Hop, ...], target: IstioVersion) -> Finding:
    oldest, distance = _oldest(position), minors(position, target)
    title = f"Istio {oldest} to {target} is {distance} minors, too many for one hop"
    if distance <= CANARY_MINORS:
        title = f"Istio {oldest} to {target} is {distance} minors, and this mesh cannot have a second control plane for it"
    if not hops:
        return _refusal(title, "something of the mesh is newer than what one hop reaches", _NO_LEGAL_HOP)
    ways = " → ".join(str(hop.after) for hop in hops)
    return _refusal(title, f"the hops: {oldest} → {ways}", f"next legal hop: meshinstall upgrade plan --to {hops[0].after}")


def _unreadable(position: MeshPosition) -> Finding | None:
    if not position.planes:
        return _refusal("the cluster has no control plane to upgrade", hint=f"{_NO_LEGAL_HOP}; install one: meshinstall up")
    unknown = [f"{plane.place}" for plane in position.planes if plane.version is None]
    if not unknown:
        return None
    title = f"cannot tell the version of istiod: the image of {first(unknown, _SHOWN)} does not name one"
    return _refusal(title, hint=f"{_NO_LEGAL_HOP} until it does: use an image whose tag starts with a version")


def _backwards(position: MeshPosition, target: IstioVersion, newer: list[tuple[IstioVersion, str]]) -> Finding:
    """That something is newer than the target: nothing of a mesh is upgraded to what is older."""
    newest = newer[0][0]
    named = first([f"{name} ({version})" for version, name in newer], _SHOWN)
    step = newest if _way_to(position, newest) else next((hop.after for hop in _chain(position, newest)), None)
    hint = f"next legal hop: meshinstall upgrade plan --to {step}" if step else _NO_LEGAL_HOP
    detail = "a control plane may not be older than its proxies, nor go back while objects of the newer one are there"
    return _refusal(f"Istio {target} is older than what runs: {named}", detail, hint)


def _parts(position: MeshPosition) -> Iterator[tuple[IstioVersion, str]]:
    if position.base:
        yield position.base, "the CRDs"
    for plane in position.planes:
        if plane.version:
            yield plane.version, f"istiod {plane.revision}"
    for agent in position.agents:
        if agent.version:
            yield agent.version, agent.component
    for one in position.proxied:
        for proxies in one.proxies:
            if proxies.version:
                yield proxies.version, f"proxies of {one.name}"


def _refusal(title: str, detail: str = "", hint: str = "") -> Finding:
    return Finding(NO_HOP, Severity.ERROR, title, detail, hint=hint)
