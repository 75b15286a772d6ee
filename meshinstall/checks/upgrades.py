"""What ``up`` does not do: an upgrade from one minor, or from one revision, to another; and what it never undoes."""

from collections.abc import Iterator

from meshinstall import catalog
from meshinstall.checks.position import where
from meshinstall.checks.words import first
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.labels import REVISION
from meshinstall.model.ownership import is_ours, made_by_us
from meshinstall.model.plan import Action, Change, ObjectStep, Plan, ReleaseStep
from meshinstall.model.position import ControlPlane, Position
from meshinstall.model.release import Component
from meshinstall.model.version import is_full, order

_SHOWN = 5


def upgrades(desired: Desired, facts: Facts, plan: Plan) -> Iterator[Finding]:
    """That the plan is an upgrade, or that one is in progress; nothing on a fresh cluster and for a patch of the minor that runs."""
    found = where(desired, facts)
    if in_progress(found, facts):
        yield _in_progress(found, desired, facts, plan)
    elif found.others:
        if found.others[0].is_ours:
            yield from _other_revision(found.others[0], desired)
    elif found.planes:
        yield from _other_minor(found.planes[0], desired, is_revisioned=bool(desired.revision))


def told_of(desired: Desired, facts: Facts) -> tuple[ControlPlane, ...]:
    """The istiods of another revision of which these findings tell: no other check speaks of them."""
    found = where(desired, facts)
    return found.others if in_progress(found, facts) or (found.others and found.others[0].is_ours) else ()


def in_progress(found: Position, facts: Facts) -> bool:
    """Whether a mesh of ours has istiods of two revisions, or one of another revision that no run of ours installed."""
    if not (found.wanted and found.others and _is_ours(found, facts)):
        return False
    return len({plane.revision for plane in found.planes}) > 1 or not found.planes[0].is_ours


def _is_ours(found: Position, facts: Facts) -> bool:
    """Whether a run of ours made any of this mesh: of one that was upgraded by hand, the namespaces are left of it."""
    made = any(made_by_us(record) for record in facts.releases.values()) or any(plane.is_ours for plane in found.planes)
    return made or any(live is not None and is_ours(live) for live in facts.namespaces.values())


def _other_revision(plane: ControlPlane, desired: Desired) -> Iterator[Finding]:
    """Another minor by revision, or a mesh that would get revisions, or lose them."""
    version, wanted = plane.version or plane.runs, desired.istio_version
    if catalog.minor_of(version) != catalog.minor_of(wanted):
        title = _upgrade(version, wanted)
    elif desired.revision:
        title = f"this mesh has no revisions yet: Istio {version} would be installed a second time, as revision {desired.revision}"
    else:
        title = f"this mesh has revisions: Istio {wanted} would be installed a second time, without one"
    detail = f"{plane} serves this mesh, and up installs no second istiod beside it"
    yield Finding("PRE036", Severity.ERROR, title, detail, f"release {plane.release}", desired.revision_origin, _stages(wanted))


def _other_minor(plane: ControlPlane, desired: Desired, *, is_revisioned: bool) -> Iterator[Finding]:
    """Another minor in place: up does that where it is allowed by name, and never on a mesh that has revisions."""
    wanted = desired.istio_version
    running = [version for version in (plane.runs, plane.version) if version and catalog.minor_of(version) != catalog.minor_of(wanted)]
    if not running or not is_full(wanted) or not (is_revisioned or order(running[0]) < order(wanted)):
        return
    code, hint = "PRE036", _stages(wanted)
    if not is_revisioned:
        code, hint = "PRE048", f"meshinstall upgrade --to {wanted} runs it in stages, each with a gate; or allow it: --allow minor-in-place"
    detail = f"{plane} would change in place, for all of its proxies at once"
    yield Finding(code, Severity.ERROR, _upgrade(running[0], wanted), detail, f"Deployment {plane.name}", hint=hint)


def _upgrade(before: str, after: str) -> str:
    is_back = order(after) < order(before)
    return f"this is {'a way back' if is_back else 'an upgrade'} from {before or 'an unknown version'} to {after}"


def _stages(version: str) -> str:
    return f"see its stages: meshinstall upgrade plan --to {version}"


def _in_progress(found: Position, desired: Desired, facts: Facts, plan: Plan) -> Finding:
    undone = tuple(_undone(found, facts, plan))
    old, new = found.planes[0], found.planes[-1]
    title = (
        f"an upgrade from {old} to {new} is in progress, at the stage {found.stage}"
        if old is not new
        else f"an upgrade to {new} was not made by meshinstall, and is at its end: no istiod of revision {found.wanted} is there"
    )
    detail = "; ".join((*_users(found), *((f"up would undo it: {first(list(undone), _SHOWN)}",) if undone else ())))
    severity = Severity.ERROR if undone else Severity.WARNING
    others = ", ".join(f"Deployment {plane.name}" for plane in found.others)
    back = "meshinstall upgrade rollback" if new.is_ours else "with what began it"
    hint = f"{_stages((new.version or new.runs) or desired.istio_version)}; or take it back: {back}"
    return Finding("PRE037", severity, title, detail, others, desired.revision_origin, hint)


def _users(found: Position) -> Iterator[str]:
    """Who uses which, and what the old istiod still has."""
    yield f"istio-injection=enabled is served by {_named(found.users.default)}"
    yield f"Istio's objects are checked by {_named(found.users.validator)}"
    for what, by_revision in (("gateways", found.gateways), ("namespaces", found.users.namespaces)):
        for revision, names in sorted(by_revision.items()):
            yield f"{what} of revision {revision}: {first(sorted(names), _SHOWN)}"


def _named(revision: str) -> str:
    return f"revision {revision}" if revision else "no istiod"


def _undone(found: Position, facts: Facts, plan: Plan) -> Iterator[str]:
    """Steps that would take back what an upgrade did, each in words."""
    for step in plan.pending:
        if isinstance(step, ReleaseStep):
            yield from _undoing(step, found, facts)
        elif isinstance(step, ObjectStep):
            # Of an object of a tag: the revision that it leads to.
            moved = [one for one in step.changes if one.path == f"metadata.labels.{REVISION}"]
            yield from (f"{step.name} from revision {one.before} to {one.after}" for one in moved)


def _undoing(step: ReleaseStep, found: Position, facts: Facts) -> Iterator[str]:
    record = facts.releases.get(step.release)
    if step.component is Component.ISTIOD:
        if step.action is Action.INSTALL:
            yield f"install {step.release}"
        elif record and catalog.minor_of(record.version) != catalog.minor_of(step.chart.version):
            yield f"{step.release} from {record.version} to {step.chart.version}"
        return
    revisions = {"revision", "defaultRevision"}
    yield from (f"{step.release}: {_moved(change)}" for change in step.changes if change.path in revisions)
    newest = max((plane.version or plane.runs for plane in found.planes), key=order)
    if record and step.action is Action.UPGRADE and order(step.chart.version) < order(record.version) <= order(newest):
        yield f"{step.release} from {record.version} to {step.chart.version}"


def _moved(change: Change) -> str:
    return f"{change.path} from {change.before or 'nothing'} to {change.after or 'nothing'}"
