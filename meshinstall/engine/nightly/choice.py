"""Decides to which version a night may move a mesh: inside what the files say, and never to what is worse or not known; pure."""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from meshinstall import catalog
from meshinstall.catalog.upgrades import KNOWN_BAD, NEWEST_PATCH, SECURITY_FIXES, TABLE_DATE, Fix, KnownBad
from meshinstall.engine.upgrade.pieces import own_moves
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition
from meshinstall.model.upgrade import UpgradePlan

# Versions that are named.
_SHOWN = 2


def _end_of(line: str) -> date | None:
    found = catalog.support(f"{line}.0")
    return found.end_of_life if found else None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of versions of Istio on a day: the newest patch of each minor, faults, fixes, and when support of a minor ends."""

    newest: Mapping[str, int]
    bad: Mapping[str, KnownBad]
    fixes: tuple[Fix, ...]
    end_of: Callable[[str], date | None]
    day: date


TABLE = Known(NEWEST_PATCH, KNOWN_BAD, SECURITY_FIXES, _end_of, TABLE_DATE)


@dataclass(frozen=True, slots=True)
class Offer:
    """Versions that the files let a night take. With ``is_exact`` they name one, and no other counts; ``source`` says what names them."""

    versions: tuple[IstioVersion, ...]
    source: str
    is_exact: bool = False


class Kind(StrEnum):
    """What a night has to do."""

    MOVE = "move"
    NOTHING = "nothing"
    # Nothing of ours; owners of workloads have something to do.
    LEFT = "left"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a night does, with the plan to its target; ``why`` it was refused, and which newer versions were ``passed`` over, in words.

    ``is_begun``: the target runs already beside what is older.
    """

    kind: Kind
    plan: UpgradePlan | None = None
    why: str = ""
    passed: tuple[str, ...] = ()
    is_begun: bool = False


PlanTo = Callable[[IstioVersion], UpgradePlan]


def decide(offer: Offer, position: MeshPosition, plan_to: PlanTo, known: Known, today: date) -> Decision:
    """What the files and what is known let this night do; ``plan_to`` plans from this position."""
    running = frozenset(plane.version for plane in position.planes if plane.version)
    newest = max(running, default=None)
    candidates = sorted({*offer.versions, *(() if offer.is_exact else _staying(offer, newest))}, reverse=True)
    passed: list[str] = []
    for version in candidates:
        if why := next(why_not(version, running, known, today), ""):
            passed.append(f"{version} {why}")
            continue
        plan = plan_to(version)
        return Decision(_kind(plan), plan, passed=tuple(passed), is_begun=version in running)
    return _stay(offer, newest, plan_to, tuple(passed))


def why_not(version: IstioVersion, running: AbstractSet[IstioVersion], known: Known, today: date) -> Iterator[str]:
    """Why a night does not move to a version; nothing where it may.

    Whoever began it allowed its end of support and what it lacks, and half of it is worse than either end; a fault stops that, too.
    """
    newest = max(running, default=version)
    if version < newest:
        yield f"is older than what runs ({newest}): take the upgrade back with meshinstall upgrade rollback"
    if len({one.line for one in running}) > 1 and version.line != newest.line:
        yield f"waits for the upgrade to {newest} that is in progress: meshinstall upgrade continue, or rollback"
    if fault := known.bad.get(str(version)):
        yield f"has a known fault: {fault.what} ({fault.issue})"
    if version in running:
        return
    if version.stage != "release" or version.patch > known.newest.get(version.line, -1):
        yield f"is not known to this meshinstall, whose tables are of {known.day}: a newer one may know it"
    lacking = [fix for fix in known.fixes if fix.is_in(version) is False and any(fix.is_in(one) for one in running)]
    if lacking:
        yield f"lacks what runs has: {lacking[0].what}{f', and {len(lacking) - 1} more' if len(lacking) > 1 else ''}"
    if (end := known.end_of(version.line)) and today > end:
        yield f"has been without support since {end}"


def _staying(offer: Offer, newest: IstioVersion | None) -> tuple[IstioVersion, ...]:
    """What runs, where it is of a minor that the source was asked for: it may be there no longer."""
    return (newest,) if newest and newest.line in {version.line for version in offer.versions} else ()


def _kind(plan: UpgradePlan) -> Kind:
    if plan.is_empty:
        return Kind.NOTHING
    restarts = any(planned.restarts for planned in plan.waves.waves)
    return Kind.MOVE if own_moves(plan) or restarts or plan.refusals else Kind.LEFT


def _stay(offer: Offer, newest: IstioVersion | None, plan_to: PlanTo, passed: tuple[str, ...]) -> Decision:
    """Where no version may be taken: nothing to do for a mesh that is where the files want it, else a night is refused."""
    wanted = max(offer.versions, default=None)
    if newest and (wanted == newest or not offer.is_exact) and newest.line == (wanted or newest).line:
        plan = plan_to(newest)
        if _kind(plan) in {Kind.NOTHING, Kind.LEFT}:
            return Decision(_kind(plan), plan, passed=passed)
    more = f"; and {len(passed) - _SHOWN} more" if len(passed) > _SHOWN else ""
    named = "; ".join(passed[:_SHOWN]) + more or "it has no version of this minor"
    return Decision(Kind.REFUSED, why=f"{offer.source}: {named}", passed=passed)
