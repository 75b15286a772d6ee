"""Orders what happens to policies so that between what was and what will be nothing is ever wider than both; pure.

Who may call is what no DENY matches and, where there is any ALLOW, what one of them matches. So first comes what narrows, then routes go,
then ALLOWs come before ALLOWs go, as the last of them to go opens its workloads; then routes come; and what narrowed before goes last. A
run that is killed between two steps leaves a state from which the same holds again.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from meshinstall.checks.policies.waypoints import WAYPOINT_CLASS
from meshinstall.engine.objects.field_paths import Path, field_at
from meshinstall.engine.plan.compare import exact, is_nothing
from meshinstall.model.facts import key_of
from meshinstall.model.labels import REVISION
from meshinstall.model.plan import Action, ObjectStep
from meshinstall.model.policy_kinds import SECURITY, group_of
from meshinstall.model.release import Manifest

# Of an AuthorizationPolicy, all but its rules: what it does, and to whom.
_SCOPE: tuple[Path, ...] = (
    ("spec", "action"),
    ("spec", "provider"),
    ("spec", "selector"),
    ("spec", "targetRef"),
    ("spec", "targetRefs"),
    ("metadata", "labels", REVISION),
    ("metadata", "annotations", "istio.io/dry-run"),
)
_RULES: Path = ("spec", "rules")
_CLASS: Path = ("spec", "gatewayClassName")
_STRICT = "STRICT"
# Routes lead to what stands before them; a namespace whose pods get proxies does after all that decides for these.
_ROUTES = frozenset({"VirtualService", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"})
_MIDDLE = frozenset({"Gateway"})
# Of the name of an object that is there while another one changes; names have 253 characters.
_SUFFIX, _LONGEST, _HASH = "-meshinstall-meanwhile", 230, 16


class Phase(IntEnum):
    """When a move is made, the first first."""

    NARROW = 1
    ROUTES_GO = 2
    ALLOWS_COME = 3
    ALLOWS_GO = 4
    ROUTES_COME = 5
    WIDEN = 6
    CLEAN_UP = 7


@dataclass(frozen=True, slots=True)
class Move:
    """A step with the object before and after it; None where there is none."""

    step: ObjectStep
    before: Manifest | None
    after: Manifest | None

    @property
    def kind(self) -> str:
        """Such as AuthorizationPolicy."""
        return str(self.step.manifest["kind"])

    @property
    def namespace(self) -> str:
        """Where it is."""
        return key_of(self.step.manifest).namespace

    @property
    def is_authorization(self) -> bool:
        """Whether it decides who may call."""
        return self.kind == "AuthorizationPolicy"

    @property
    def is_security(self) -> bool:
        """Whether it is of Istio's security."""
        return group_of(str(self.step.manifest["apiVersion"])) == SECURITY


def arranged(moves: Iterable[Move], root: str) -> tuple[ObjectStep, ...]:
    """The steps, each after the one before it; of a change that no moment is right for, with a second object while it is made."""
    every = tuple(moves)
    helped = {_named(_meanwhile(move.step)): move for move in every if _needs_help(move, every, root)}
    # What a run that was killed left for such a change is still needed, and goes with it.
    rest = [move for move in every if move.after is not None or _named(move.step.manifest) not in helped]
    placed = [one for move in rest for one in (_helped(move) if move in helped.values() else _placed(move))]
    found: list[ObjectStep] = []
    for _, step in sorted(placed, key=lambda one: (one[0], one[1].name)):
        before = (found[-1].name,) if found else ()
        found.append(replace(step, needs=(*step.needs, *before)))
    return tuple(found)


def _named(manifest: Manifest) -> tuple[str, ...]:
    """What names it, whatever version it is listed in."""
    key = key_of(manifest)
    return key.kind, key.namespace, key.name


def _needs_help(move: Move, moves: Iterable[Move], root: str) -> bool:
    """Whether an AuthorizationPolicy takes something away and gives something in one, beside another change for the same workloads."""
    if not move.is_authorization or move.before is None or move.after is None:
        return False
    mixed = _denies(move.after) and _more(move.after, move.before) and _more(move.before, move.after)
    return bool((mixed or _changes_scope(move)) and _companions(move, moves, root))


def _helped(move: Move) -> Iterator[tuple[tuple[int, int], ObjectStep]]:
    """First the new rules by another name, then the object itself when the old ones may go, then the other one goes."""
    step, manifest = move.step, _meanwhile(move.step)
    name = f"{step.name.rpartition('/')[0]}/{manifest['metadata']['name']}"
    reasons = (f"it holds what {step.name} will say until all other changes are made",)
    come = Phase.NARROW if _denies(move.after or {}) else Phase.ALLOWS_COME
    yield (come, 0), replace(step, name=name, manifest=manifest, reasons=reasons, changes=(), patch={})
    yield (Phase.WIDEN if _denies(move.before or {}) else Phase.ALLOWS_GO, 0), step
    stub = {**manifest, "metadata": {name: value for name, value in manifest["metadata"].items() if name in {"name", "namespace"}}}
    stub.pop("spec", None)
    gone = replace(step, name=f"{name} (removed)", action=Action.DELETE, manifest=stub, changes=(), patch={})
    yield (Phase.CLEAN_UP, 0), replace(gone, reasons=(f"{step.name} says the same by now",))


def _meanwhile(step: ObjectStep) -> dict[str, Any]:
    """The object by another name, which no other object's is."""
    metadata = step.manifest["metadata"]
    name = str(metadata["name"])
    short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - _HASH]}{hashlib.sha256(name.encode()).hexdigest()[:_HASH]}"
    return {**step.manifest, "metadata": {**metadata, "name": f"{short}{_SUFFIX}"}}


def _companions(move: Move, moves: Iterable[Move], root: str) -> list[Move]:
    """Other changes of authorization that may be for the same workloads: those of one namespace, and of the root namespace all."""
    if not move.is_authorization:
        return []
    there = (other for other in moves if other is not move and other.is_authorization)
    return [other for other in there if other.namespace == move.namespace or root in {other.namespace, move.namespace}]


def _placed(move: Move) -> Iterator[tuple[tuple[int, int], ObjectStep]]:
    if move.is_authorization:
        yield (_authorization(move), 0), move.step
    elif move.is_security:
        yield (_security(move), 0), move.step
    else:
        yield ((Phase.ROUTES_COME, _rank(move)) if move.after else (Phase.ROUTES_GO, -_rank(move))), move.step


def _rank(move: Move) -> int:
    """A waypoint enforces policies for the namespaces whose labels lead to it."""
    if move.kind in _ROUTES:
        return 3
    if move.kind in _MIDDLE and field_at(move.after or move.before or {}, _CLASS) != WAYPOINT_CLASS:
        return 2
    return 1 if move.kind == "Namespace" else 0


def _authorization(move: Move) -> Phase:
    before, after = move.before, move.after
    if before is None or after is None:
        come, go = (Phase.NARROW, Phase.WIDEN) if _denies(after or before or {}) else (Phase.ALLOWS_COME, Phase.ALLOWS_GO)
        return come if after else go
    if _changes_scope(move) or not _denies(after):
        return Phase.ALLOWS_COME
    # Where rules come and go in one, nothing else changes.
    return Phase.WIDEN if _more(before, after) and not _more(after, before) else Phase.NARROW


def _changes_scope(move: Move) -> bool:
    if move.before is None or move.after is None:
        return False
    return any(next(exact(field_at(move.after, path), field_at(move.before, path)), None) for path in _SCOPE if not _is_default(move, path))


def _is_default(move: Move, path: Path) -> bool:
    """ALLOW is what an AuthorizationPolicy does that says nothing."""
    return path == _SCOPE[0] and _action(move.before or {}) == _action(move.after or {})


def _action(policy: Manifest) -> str:
    found = field_at(policy, _SCOPE[0])
    return "ALLOW" if is_nothing(found) else str(found)


def _denies(policy: Manifest) -> bool:
    """Whether it takes requests away, enforced or not: a CUSTOM one asks somebody who may."""
    return _action(policy) in {"DENY", "CUSTOM"}


def _rules(policy: Manifest) -> list[Any]:
    found = field_at(policy, _RULES)
    return found if isinstance(found, list) else []


def _more(one: Manifest, other: Manifest) -> list[Any]:
    """Rules of one that the other has not."""
    return [rule for rule in _rules(one) if not any(next(exact(rule, there), None) is None for there in _rules(other))]


def _security(move: Move) -> Phase:
    """A token that is checked, and mTLS that is asked for, narrow."""
    if move.kind != "PeerAuthentication":
        return Phase.NARROW if move.after else Phase.WIDEN
    is_strict = _is_strict(move.after or move.before or {})
    return Phase.NARROW if is_strict == bool(move.after) else Phase.WIDEN


def _is_strict(peers: Manifest) -> bool:
    ports = field_at(peers, ("spec", "portLevelMtls"))
    modes = [
        field_at(peers, ("spec", "mtls", "mode")),
        *(field_at(one, ("mode",)) for one in (ports.values() if isinstance(ports, dict) else ())),
    ]
    return all(mode == _STRICT for mode in modes)
