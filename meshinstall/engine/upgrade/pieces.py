"""Cuts a stage into pieces: each is a part of the desired mesh that is run at once, and judged by one gate; pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from meshinstall.engine.upgrade.restarts import HOLD, kept_until
from meshinstall.model.desired import Desired, Release
from meshinstall.model.mesh_position import Carrier, MeshPosition, Proxied
from meshinstall.model.release import Component
from meshinstall.model.revision import DEFAULT_REVISION
from meshinstall.model.upgrade import Part, Stage, StageName, UpgradePlan
from meshinstall.model.values import Layer, LayerKind

_SOURCE = "meshinstall upgrade"
_VALIDATOR = "defaultRevision"
_COMPONENTS: Mapping[StageName, tuple[Component, ...]] = {
    StageName.CONTROL_PLANE: (Component.ISTIOD,),
    StageName.NODE_AGENTS: (Component.CNI, Component.ZTUNNEL),
}
# Stages that nobody but the owners of workloads can do.
OF_OTHERS = frozenset({StageName.WORKLOADS, StageName.CATCH_UP})
_OF_OTHERS = frozenset({Part.NAMESPACE, Part.PROXIES, Part.GATEWAY})


@dataclass(frozen=True, slots=True)
class Piece:
    """One run of a stage; ``desired`` is what it makes so, ``after`` what is made so when its gate has passed.

    ``gateway`` is the workload that it replaces, ``tags`` are those that it moves; with ``takes_over`` the injector of the istiod
    without a revision is switched off, with ``gives_back`` on again, and the tag ``default`` goes. ``restarts`` are workloads of other
    people that it replaces.
    """

    stage: StageName
    name: str
    desired: Desired
    after: Desired | None = None
    gateway: Proxied | None = None
    tags: tuple[str, ...] = ()
    takes_over: bool = False
    gives_back: bool = False
    restarts: tuple[Proxied, ...] = ()


def cut(stage: Stage, desired: Desired, position: MeshPosition) -> tuple[Piece, ...]:
    """The pieces of a stage, in their order; none where everything in it is others' to do."""
    match stage.name:
        case StageName.GATEWAYS:
            return tuple(_gateways(stage, desired, position))
        case StageName.CANARY | StageName.TAGS:
            return tuple(_tags(stage, desired, position))
        case StageName.CRDS:
            # In place it has no such stage.
            revision = position.validator if desired.revision else position.validator or DEFAULT_REVISION
            releases = tuple(with_validator(one, revision) for one in _of(desired, Component.BASE))
        case StageName.DEFAULT:
            releases = _of(desired, Component.BASE)
        case _:
            releases = tuple(one for component in _COMPONENTS.get(stage.name, ()) for one in _of(desired, component))
    return tuple(Piece(stage.name, str(one.key), narrow(desired, [one])) for one in releases)


def coming(stage: Stage, desired: Desired, position: MeshPosition) -> tuple[Desired, ...]:
    """What the pieces of a stage make so, in their order."""
    pieces = () if stage.name in {*OF_OTHERS, StageName.SCOUT, StageName.RETIRE} else cut(stage, desired, position)
    return tuple(part for piece in pieces for part in (piece.desired, piece.after) if part)


def own_moves(plan: UpgradePlan) -> tuple[tuple[str, ...], ...]:
    """What a run of the plan changes by itself: workloads of others come and go at any time, and their restarts are not its own."""
    return tuple(
        (stage.name, move.part, move.name, move.before, move.after)
        for stage in plan.stages
        for move in stage.moves
        if not move.by_hand and (move.part is not Part.PROXIES or stage.name is StageName.CANARY)
    )


def narrow(desired: Desired, releases: Iterable[Release], tags: tuple[str, ...] = ()) -> Desired:
    """The desired mesh with these releases and tags alone, and without what a stage does not touch."""
    kept = tuple(releases)
    spaces = {desired.mesh_namespace, *(release.key.namespace for release in kept)}
    namespaces = tuple(one for one in desired.namespaces if one.name in spaces)
    return replace(desired, releases=kept, tags=tags, namespaces=namespaces, policies=(), layered=None, warnings=(), acceptance=None)


def with_validator(base: Release, revision: str) -> Release:
    """The base chart with the default validator where it is, of no ``revision`` where there is none: it moves in a stage of its own."""
    if base.values.merged().get(_VALIDATOR, DEFAULT_REVISION) == revision:
        return base
    # The chart's own default is not written: a mesh that goes back is then as it was.
    return _unsaid(base, _VALIDATOR) if revision == DEFAULT_REVISION else _with(base, {_VALIDATOR: revision})


def scouted(stage: Stage, desired: Desired, position: MeshPosition) -> tuple[tuple[Proxied, Release], ...]:
    """The gateways of ours among the moves of a stage, each with its release, in install order."""
    names = {move.name for move in stage.moves if not move.by_hand}
    by_release = {one.release: one for one in position.proxied if one.name in names and one.release}
    return tuple((by_release[str(one.key)], one) for one in _of(desired, Component.GATEWAY) if str(one.key) in by_release)


def left_to_others(stage: Stage, position: MeshPosition, pieces: Iterable[Piece]) -> tuple[str, ...]:
    """What of a stage none of its ``pieces`` does, nor istiod by itself, in words."""
    done = {one.name for piece in pieces for one in (*piece.restarts, *((piece.gateway,) if piece.gateway else ()))}
    managed = {one.name for one in position.proxied if one.carrier in {Carrier.MANAGED_GATEWAY, Carrier.WAYPOINT}}
    if stage.name is StageName.TAGS:
        done |= managed
    listed = (move for move in stage.moves if move.part in _OF_OTHERS and move.name not in done)
    return tuple(f"{move.name}: {move.before or 'nothing'} → {move.after or 'nothing'}" for move in listed)


def _gateways(stage: Stage, desired: Desired, position: MeshPosition) -> Iterator[Piece]:
    for live, release in scouted(stage, desired, position):
        final = narrow(desired, [release])
        is_held = live.kind == "Deployment"
        held = narrow(desired, [_with(release, {"minReadySeconds": HOLD})]) if is_held else final
        yield Piece(stage.name, str(release.key), held, final if is_held else None, gateway=live)


def _tags(stage: Stage, desired: Desired, position: MeshPosition) -> Iterator[Piece]:
    tags = tuple(move.name for move in stage.moves if move.part is Part.TAG)
    named = {move.name for move in stage.moves if move.part is Part.PROXIES and not move.by_hand}
    restarts = tuple(one for one in position.proxied if one.name in named and one.carrier is Carrier.SIDECAR and not kept_until(one))
    istiod = _of(desired, Component.ISTIOD)
    # Of a webhook of a tag and of an istiod of the same name, the istiod's wins.
    is_shared = DEFAULT_REVISION in tags and any(plane.revision == DEFAULT_REVISION for plane in position.planes)
    # The istiod without a revision serves these namespaces by itself.
    kept = tags if desired.revision else tuple(tag for tag in tags if tag != DEFAULT_REVISION)
    if tags or restarts:
        yield Piece(
            stage.name,
            ", ".join(tags) or "workloads",
            narrow(desired, istiod, kept),
            tags=tags,
            takes_over=is_shared and bool(desired.revision),
            gives_back=is_shared and not desired.revision,
            restarts=restarts,
        )


def _unsaid(release: Release, key: str) -> Release:
    """The release without a value that layers above the chart's own say."""
    stack = release.values
    layers = (replace(one, values={name: value for name, value in one.values.items() if name != key}) for one in stack.layers)
    return replace(release, values=replace(stack, layers=tuple(layers)))


def _with(release: Release, values: dict[str, object]) -> Release:
    stack = replace(release.values, layers=(*release.values.layers, Layer(LayerKind.FLAG, _SOURCE, values)))
    return replace(release, values=stack)


def _of(desired: Desired, component: Component) -> tuple[Release, ...]:
    return tuple(one for one in desired.releases if one.component is component)
