"""Decides how a hop is made: in place, or by a second control plane beside the first; pure, with the reason in words."""

from meshinstall.catalog.upgrades import CANARY_MINORS, IN_PLACE_MINORS
from meshinstall.model.desired import Desired
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition
from meshinstall.model.revision import DEFAULT_REVISION, DEFAULT_TAG, revision_of
from meshinstall.model.upgrade import Strategy, Way


def wanted_revision(desired: Desired, target: IstioVersion) -> str:
    """The revision that a canary ends with: the minor of the target, also where the configuration has no revisions yet."""
    return desired.revision or revision_of(str(target))


def wanted_tags(desired: Desired) -> tuple[str, ...]:
    """The tags that the configuration wants beside ``default``."""
    return tuple(tag for tag in desired.tags if tag != DEFAULT_TAG)


def minors(position: MeshPosition, target: IstioVersion) -> int:
    """How many minors the target is newer than the oldest istiod."""
    return max((target.minors_after(plane.version) for plane in position.planes if plane.version), default=0)


def choose(position: MeshPosition, target: IstioVersion, revision: str) -> Strategy | None:
    """How to reach the target in one hop, where a canary ends with ``revision``; None when one hop may not go so far.

    The positions that are asked for have at least one istiod, all of known versions, and nothing newer than the target.
    """
    if reason := _in_place(position, target, revision):
        return Strategy(Way.IN_PLACE, position.planes[0].revision, reason, is_proven=not position.is_ambient)
    distance = minors(position, target)
    own = next((plane.version for plane in position.planes if plane.revision == revision), None)
    # An istiod that has the name already is upgraded in place, beside the others.
    is_taken = own is not None and target.minors_after(own) > IN_PLACE_MINORS
    alone = len(position.planes) == 1
    if distance > CANARY_MINORS or is_taken or (alone and (position.is_ambient or own)):
        return None
    if not alone:
        named = ", ".join(f"{plane.revision} ({plane.version})" for plane in position.planes)
        return Strategy(Way.CANARY, revision, f"several control planes run: {named}; one is left at the end", distance < CANARY_MINORS)
    if distance == CANARY_MINORS:
        reason = f"{target.line} is two minors newer, which Istio allows with a second control plane alone; not proven here"
        return Strategy(Way.CANARY, revision, reason, is_proven=False)
    return Strategy(Way.CANARY, revision, f"{target.line} is the next minor: proxies move to a second control plane, and back if it fails")


def goes(position: MeshPosition, strategy: Strategy, selector: str) -> bool:
    """Whether a label names a revision that a canary removes, and not a tag; ``default`` becomes a tag."""
    old = {plane.revision for plane in position.planes} - {strategy.revision, DEFAULT_REVISION}
    return selector in old and selector not in {tag.name for tag in position.tags}


def _in_place(position: MeshPosition, target: IstioVersion, revision: str) -> str:
    """Why the only istiod is upgraded where it is; empty when it may not be, or need not be."""
    distance = minors(position, target)
    if len(position.planes) != 1 or distance > IN_PLACE_MINORS:
        return ""
    if distance == 0:
        return f"{target} is of the minor that runs"
    if not position.proxied:
        return "no proxy is there yet that could be interrupted"
    if position.is_ambient:
        return "ztunnel and the CNI have no revisions; not proven here"
    return f"the istiod that runs has the revision {revision} already" if position.planes[0].revision == revision else ""
