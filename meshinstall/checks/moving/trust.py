"""Whether all istiods and namespaces still trust one another, and whether webhooks answer from the right version."""

from collections.abc import Iterator
from itertools import combinations

from meshinstall.checks.moving.comparing import Comparing, Found, Tally
from meshinstall.model.gate import GateCheck, GateOutcome, PlaneSeen, Snapshot, WebhookSeen
from meshinstall.model.istio_version import IstioVersion, istio_version

FAIL, UNPROVEN = GateOutcome.FAIL, GateOutcome.NOT_PROVEN
_SHORT = 12


def roots(comparing: Comparing) -> GateCheck:
    """Every istiod signs under one root in one trust domain, and every namespace's istio-ca-root-cert holds that root."""
    tally = Tally("roots and trust domain")
    for kind in sorted({"ConfigMap", "Namespace"} & comparing.now.unread):
        tally.bad(UNPROVEN, f"some {kind} objects could not be read, so it is unknown whether all roots agree")
    if not comparing.now.planes:
        tally.bad(UNPROVEN, "no istiod was found")
    _planes(comparing, tally)
    _domains(comparing, tally)
    _changed_root(comparing, tally)
    _namespaces(comparing, tally)
    return tally.check("all istiods and namespaces have the same root, and the trust domain is one")


def _planes(comparing: Comparing, tally: Tally) -> None:
    """What istiods wrote into their own webhooks, held against one another and against the root of the mesh."""
    for plane in comparing.now.planes:
        if not plane.roots:
            before = comparing.start.plane(plane.revision)
            words = f"istiod {plane.revision} has not written its root into its webhooks"
            if before is not None and not before.roots and not comparing.require_pass:
                tally.tell(f"{words}, nor had it at the start of this run")
            else:
                tally.bad(UNPROVEN, words)
    then = {_differing(*pair) for pair in _pairs(comparing.start)}
    for one, other in _pairs(comparing.now):
        words = f"istiods {one.revision} and {other.revision} have different roots: {_named(one.roots)} and {_named(other.roots)}"
        if _differing(one, other) in then and not comparing.require_pass:
            tally.tell(f"{words}; so it was at the start of this run")
        else:
            tally.bad(FAIL, words)
    known = {(frozenset(plane.roots), root) for plane, root in _against_mesh(comparing.start)}
    for plane, root in _against_mesh(comparing.now):
        words = f"istiod {plane.revision} has root {_named(plane.roots)}, and istio-ca-root-cert of its namespace {_named(root)}"
        if (frozenset(plane.roots), root) in known and not comparing.require_pass:
            tally.tell(f"{words}; so it was at the start of this run")
        else:
            tally.bad(FAIL, words)


def _pairs(seen: Snapshot) -> Iterator[tuple[PlaneSeen, PlaneSeen]]:
    for one, other in combinations(seen.planes, 2):
        if one.roots and other.roots and set(one.roots) != set(other.roots):
            yield one, other


def _differing(one: PlaneSeen, other: PlaneSeen) -> frozenset[tuple[str, frozenset[str]]]:
    return frozenset({(one.revision, frozenset(one.roots)), (other.revision, frozenset(other.roots))})


def _against_mesh(seen: Snapshot) -> Iterator[tuple[PlaneSeen, frozenset[str]]]:
    for plane in seen.planes:
        space = seen.namespaces.get(plane.place.namespace)
        if plane.roots and space and space.roots and set(plane.roots).isdisjoint(space.roots):
            yield plane, frozenset(space.roots)


def _domains(comparing: Comparing, tally: Tally) -> None:
    """Each istiod's proxies accept the names that the others give."""
    known = {_domain(one) for one in comparing.start.planes}
    for plane in comparing.now.planes:
        if not plane.trust_domain or "MeshConfig" in comparing.now.unread:
            words = f"the trust domain of istiod {plane.revision} could not be read"
            if _domain(plane) in known and "MeshConfig" in comparing.start.unread and not comparing.require_pass:
                tally.tell(f"{words}, nor could it at the start of this run")
            else:
                tally.bad(UNPROVEN, words)
    then = {frozenset({_domain(one), _domain(other)}) for one, other in combinations(comparing.start.planes, 2)}
    for one, other in combinations(comparing.now.planes, 2):
        if one.trust_domain and other.trust_domain and not (_accepts(one, other) and _accepts(other, one)):
            words = f"istiods {one.revision} and {other.revision} have trust domains {one.trust_domain} and {other.trust_domain}"
            if frozenset({_domain(one), _domain(other)}) in then and not comparing.require_pass:
                tally.tell(f"{words}; so it was at the start of this run")
            else:
                tally.bad(FAIL, f"{words}, and not both are aliases of each other")
    for plane in comparing.now.planes:
        before = comparing.start.plane(plane.revision)
        if before and before.trust_domain and plane.trust_domain and not _accepts(plane, before):
            tally.bad(FAIL, f"the trust domain of istiod {plane.revision} was {before.trust_domain} and is {plane.trust_domain}")


def _domain(plane: PlaneSeen) -> tuple[str, str, frozenset[str]]:
    return plane.revision, plane.trust_domain, frozenset(plane.aliases)


def _accepts(one: PlaneSeen, other: PlaneSeen) -> bool:
    return other.trust_domain in {one.trust_domain, *one.aliases}


def _mesh_roots(seen: Snapshot) -> frozenset[str]:
    homes = {plane.place.namespace for plane in seen.planes}
    return frozenset(root for name in homes if name in seen.namespaces for root in seen.namespaces[name].roots)


def _changed_root(comparing: Comparing, tally: Tally) -> None:
    before, after = _mesh_roots(comparing.start), _mesh_roots(comparing.now)
    if before and not after:
        tally.bad(UNPROVEN, "the root of the mesh could not be read")
    elif not after:
        tally.bad(UNPROVEN, "the namespaces of istiods have no istio-ca-root-cert")
    elif before and before != after:
        other = before.isdisjoint(after)
        tally.bad(FAIL if other else UNPROVEN, f"the root of the mesh was {_named(before)} and is {_named(after)}")


def _namespaces(comparing: Comparing, tally: Tally) -> None:
    """What was moved needs the root; of the rest one namespace may be as its owner made it."""
    before, after = _mesh_roots(comparing.start), _mesh_roots(comparing.now)
    gateways = {place.namespace for place in comparing.moved.gateways}
    moved = {*gateways, *comparing.moved.namespaces, *(place.namespace for place in comparing.moved.workloads)}
    worse: dict[str, Found] = {}
    sound: set[str] = set()
    for name, space in sorted(comparing.now.namespaces.items()):
        then = comparing.start.namespaces.get(name)
        if not after or name in comparing.homes() or (not space.roots and name not in moved and not (then and then.roots)):
            continue
        if set(space.roots) == after:
            sound.add(name)
            continue
        has = f"root {_named(space.roots)}" if space.roots else "no root"
        words = f"istio-ca-root-cert of namespace {name} has {has}, and the mesh {_named(after)}"
        outcome = FAIL if space.roots else UNPROVEN
        if comparing.require_pass and name not in moved:
            tally.bad(outcome, words, name)
        elif then is None and name not in moved:
            tally.tell(f"{words}; the namespace is new")
        elif then is not None and before and set(then.roots) != before and not comparing.require_pass:
            tally.tell(f"{words}; it differed at the start of this run")
        elif name in moved:
            tally.bad(outcome, words, "" if name in gateways else name)
        else:
            worse[name] = (outcome, words)
    tally.spread(worse, sound)


def _named(found: frozenset[str] | tuple[str, ...]) -> str:
    return ", ".join(sorted(one[:_SHORT] for one in found)) or "none"


def webhooks(comparing: Comparing) -> GateCheck:
    """The webhooks of each revision answer, and those of what was moved from an istiod of the target's version."""
    tally = Tally("webhooks by version")
    silent = {*comparing.moved.gone, *comparing.moved.switched_off}
    wanted: dict[str, IstioVersion | None] = {
        one.revision: None for one in (*comparing.start.webhooks, *comparing.now.webhooks) if one.revision not in silent
    }
    if comparing.moved.revision:
        wanted[comparing.moved.revision] = comparing.moved.version
    wanted |= {plane.revision: plane.version for plane in comparing.moved.planes}
    found = {one.revision: one for one in comparing.now.webhooks}
    for revision, version in sorted(wanted.items()):
        _webhook(revision, version, found.get(revision), comparing, tally)
    return tally.check("the webhooks of every revision answer as its version")


def _webhook(revision: str, version: IstioVersion | None, found: WebhookSeen | None, comparing: Comparing, tally: Tally) -> None:
    before = next((one for one in comparing.start.webhooks if one.revision == revision), None)
    if found is None or not found.asked:
        words = f"the webhooks of revision {revision} could not be asked: {found.trouble if found else 'nobody asked them'}"
        if version is None and before and not before.asked and not comparing.require_pass:
            tally.tell(f"{words}; so it was at the start of this run")
        else:
            tally.bad(UNPROVEN, words)
    elif found.trouble:
        words = f"the webhooks of revision {revision} do not work: {found.trouble}"
        if before and before.asked and before.trouble and not comparing.require_pass:
            tally.tell(f"{words}; they did not at the start of this run either")
        else:
            tally.bad(FAIL, words)
    elif version and istio_version(found.version) != version:
        tally.bad(FAIL, f"the webhooks of revision {revision} answer from version {found.version}, expected {version}")
