"""Orders an upgrade into stages, each with what it moves; what is at its goal already is left out; pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from meshinstall.catalog.upgrades import PROXY_MINORS_BEHIND
from meshinstall.checks.words import first
from meshinstall.engine.upgrade.restarts import is_held, kept_until, meaning
from meshinstall.engine.upgrade.strategy import goes
from meshinstall.model.istio import DEFAULT_VALIDATOR
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import Carrier, MeshPosition, PlaneAt, Proxied
from meshinstall.model.revision import DEFAULT_REVISION, istiod_release
from meshinstall.model.upgrade import Kept, Move, Part, Stage, StageName, Strategy, Way

_BASE = "istio-base"
_CANARY = "canary"
_UNKNOWN = "unknown"
# Namespaces that are named.
_SHOWN = 5
# In this order: an older CNI under a newer ztunnel drops traffic (istio/istio#58523).
_AGENTS = ("cni", "ztunnel")
_MANAGED = (Carrier.MANAGED_GATEWAY, Carrier.WAYPOINT)


class Goal(NamedTuple):
    """Where everything is at the end; ``tags`` must lead to the revision then, whether they exist or not."""

    target: IstioVersion
    strategy: Strategy
    tags: tuple[str, ...] = ()

    @property
    def revision(self) -> str:
        """The revision of the one istiod that is left."""
        return self.strategy.revision


def order_stages(position: MeshPosition, goal: Goal) -> tuple[Stage, ...]:
    """The stages that have something to do, in the order in which each is legal after those before."""
    staged = _Staging(position, goal)
    found = staged.in_place() if goal.strategy.way is Way.IN_PLACE else staged.by_canary()
    stages = [stage for stage in found if stage.moves or stage.note]
    return tuple(stages) if any(stage.moves for stage in stages) else ()


# The stages of a way back, in their order.
STAGES_BACK = (StageName.DEFAULT, StageName.CONTROL_PLANE, StageName.TAGS, StageName.GATEWAYS, StageName.WORKLOADS, StageName.RETIRE)


def is_beyond(stage: StageName, last: StageName, *, is_back: bool) -> bool:
    """Whether a stage comes after the last one that was asked for, which may be done already."""
    order = STAGES_BACK if is_back else tuple(StageName)
    return last in order and stage in order and order.index(stage) > order.index(last)


def of_rollback(position: MeshPosition, goal: Goal) -> tuple[Stage, ...]:
    """The stages back to a goal that is older: of a canary what leads to the old istiod first, in place the istiod."""
    staged = _Staging(position, goal)
    found = staged.back_in_place() if goal.strategy.way is Way.IN_PLACE else staged.back_from_canary()
    return tuple(stage for stage in found if stage.moves)


def kept(position: MeshPosition, goal: Goal) -> tuple[Kept, ...]:
    """Workloads that are behind the goal and that no restart replaces."""
    behind = (one for one in position.proxied if is_behind(one, goal))
    return tuple(Kept(one.name, one.pods, until) for one in behind if (until := kept_until(one)))


def selector_of(position: MeshPosition, one: Proxied) -> str:
    """The tag or revision that new pods of a workload are injected by: of its pod template, else of its namespace, else the default."""
    spaces = {space.name: space.selector for space in position.namespaces}
    return one.pinned or spaces.get(one.place.namespace) or DEFAULT_REVISION


def needs_default(position: MeshPosition) -> bool:
    """Whether anything is injected by the tag, or the revision, ``default``."""
    selectors = (space.selector for space in position.namespaces)
    return DEFAULT_REVISION in {*selectors, *(selector_of(position, one) for one in position.proxied)}


@dataclass(frozen=True, slots=True)
class _Staging:
    """The stages of either strategy."""

    position: MeshPosition
    goal: Goal

    def in_place(self) -> Iterator[Stage]:
        """One istiod is replaced by its newer self; its proxies follow."""
        plane = self.position.planes[0]
        yield self._catch_up([plane])
        yield self._crds()
        control_plane = self._control_plane(plane)
        yield control_plane
        yield self._agents()
        yield self._gateways()
        yield self._workloads([*control_plane.moves])

    def by_canary(self) -> Iterator[Stage]:
        """A second istiod comes beside the first; gateways, tags and workloads go over to it; the first is removed."""
        own = next((plane for plane in self.position.planes if plane.revision == self.goal.revision), None)
        canaries = self._canary_tags()
        yield self._catch_up([own] if own else [])
        yield self._crds()
        yield self._control_plane(own)
        yield self._agents()
        yield self._scout()
        canary = self._canary(canaries)
        yield canary
        yield self._gateways()
        tags = self._tags(canaries)
        yield tags
        yield self._workloads([*canary.moves, *tags.moves])
        yield self._default()
        yield self._retire()

    def back_from_canary(self) -> Iterator[Stage]:
        """The old istiod gets everything back, and the new one is removed."""
        yield replace(self._default(), does="the old istiod validates Istio's objects again")
        tags = replace(self._tags(()), does="moves revision tags back: new pods of their namespaces get the old proxy", note="")
        yield tags
        yield replace(self._gateways(), does="puts the gateways back one by one")
        yield self._workloads([*tags.moves])
        yield replace(self._retire(), does="removes the new istiod, once no proxy, tag or label leads to it")

    def back_in_place(self) -> Iterator[Stage]:
        """The istiod that injects them goes back before the proxies can."""
        control_plane = self._control_plane(self.position.planes[0])
        yield control_plane
        yield replace(self._gateways(), does="puts the gateways back one by one")
        yield self._workloads([*control_plane.moves])

    def _catch_up(self, planes: Iterable[PlaneAt]) -> Stage:
        """Proxies that would be too far behind the new istiod get the version of the one that they have first."""
        moves = []
        for plane in planes:
            if plane.version == self.goal.target:
                continue
            for one in self.position.proxied:
                old = [each.version for each in one.proxies if each.revision == plane.revision and each.version]
                if old and self.goal.target.minors_after(min(old)) > PROXY_MINORS_BEHIND:
                    moves.append(_of_proxies(one, str(plane.version)))
        does = "restarts workloads whose proxies would be more than one minor behind the new istiod"
        return Stage(StageName.CATCH_UP, does, tuple(moves))

    def _crds(self) -> Stage:
        base, target = self.position.base, self.goal.target
        moves = () if base == target else (Move(Part.CRDS, _BASE, str(base or _UNKNOWN), str(target)),)
        return Stage(StageName.CRDS, "applies the CRDs of the new version", moves)

    def _control_plane(self, own: PlaneAt | None) -> Stage:
        target = str(self.goal.target)
        if own and own.version == self.goal.target:
            return Stage(StageName.CONTROL_PLANE, "", ())
        if own is None:
            move = Move(Part.PLANE, self._release(), "", target)
            return Stage(StageName.CONTROL_PLANE, "installs the second istiod, which nothing uses yet", (move,))
        restart = "injection and configuration wait while it has no pod Ready; traffic goes through the proxies as before"
        moves = [Move(Part.PLANE, own.release or own.place.name, str(own.version), target, restart)]
        moves += [_of_proxies(one, target) for one in self._managed() if self._leads(self._selector(one)) == own.revision]
        return Stage(StageName.CONTROL_PLANE, "replaces istiod", tuple(moves))

    def _agents(self) -> Stage:
        target = self.goal.target
        agents = sorted((agent for agent in self.position.agents if agent.version != target), key=lambda one: _AGENTS.index(one.component))
        moves = tuple(
            Move(Part.AGENT, agent.component, str(agent.version or _UNKNOWN), str(target), "one node after the other") for agent in agents
        )
        return Stage(StageName.NODE_AGENTS, "replaces the DaemonSets of every node", moves)

    def _scout(self) -> Stage:
        moves = tuple(Move(Part.SCOUT, move.name, "", "") for move in self._gateways().moves)
        return Stage(StageName.SCOUT, "starts a gateway of the new version without traffic, compares it, and removes it", moves)

    def _canary(self, tags: tuple[str, ...]) -> Stage:
        does = "moves the namespaces of the tag canary first"
        if not tags:
            return Stage(StageName.CANARY, does, (), self._no_canary())
        moved = [self._move_of_tag(tag) for tag in tags if self._leads(tag) != self.goal.revision]
        moved += [self._workload(one) for one in self._of_tags(tags)]
        return Stage(StageName.CANARY, does, tuple(moved))

    def _no_canary(self) -> str:
        spaces = {one.place.namespace for one in self.position.proxied if one.carrier is Carrier.SIDECAR}
        said = [space.name for space in self.position.namespaces if space.name in spaces and space.injection == "enabled"]
        if spaces and len(said) == len(spaces):
            return "no canary possible: every namespace says istio-injection=enabled, and no other tag selects it"
        return "no canary: no tag of that name is there; label namespaces istio.io/rev=canary, without istio-injection, to have one"

    def _gateways(self) -> Stage:
        moves = []
        for one in self.position.proxied:
            late = is_behind(one, self.goal)
            if one.carrier is Carrier.GATEWAY and (late or is_held(one)):
                what = meaning(one) if late else "no pod is replaced: the hold that an interrupted run left is taken away"
                by_hand = late and bool(kept_until(one))
                moves.append(Move(Part.GATEWAY, one.name, versions_of(one), str(self.goal.target), what, by_hand=by_hand))
        return Stage(StageName.GATEWAYS, "replaces the gateways one by one", tuple(moves))

    def _tags(self, done: tuple[str, ...]) -> Stage:
        names = dict.fromkeys((*(tag.name for tag in self.position.tags), *self.goal.tags))
        if needs_default(self.position):
            names.setdefault(DEFAULT_REVISION)
        wanted = [name for name in names if name not in done and (self._leads(name) != self.goal.revision or self._is_left_over(name))]
        moves = [self._move_of_tag(name) for name in wanted]
        moves += [_of_proxies(one, str(self.goal.target)) for one in self._managed() if not self._names_old(self._selector(one))]
        note = ""
        if DEFAULT_REVISION in wanted and any(plane.revision == DEFAULT_REVISION for plane in self.position.planes):
            note = "the injector of the istiod without a revision is switched off first: of two that match, the old one would win"
        return Stage(StageName.TAGS, "moves revision tags: new pods of their namespaces get the new proxy", tuple(moves), note)

    def _workloads(self, done: Iterable[Move]) -> Stage:
        """Restarts what no stage before did; labels that name the old revision are their owners' to change."""
        before, moves = {move.name for move in done}, []
        rest = [one for one in self._behind(Carrier.SIDECAR, *_MANAGED) if one.name not in before]
        if self.goal.strategy.way is Way.CANARY:
            how = "change its label istio.io/rev to a tag or to this revision"
            old = (space for space in self.position.namespaces if self._names_old(space.selector))
            moves += [Move(Part.NAMESPACE, space.name, space.selector, self.goal.revision, how, by_hand=True) for space in old]
        moves += [self._workload(one) for one in rest]
        return Stage(StageName.WORKLOADS, "leaves workloads with sidecars to their owners, who restart them", tuple(moves))

    def _default(self) -> Stage:
        is_there = self.position.validator and self.position.validator != self.goal.revision
        moves = (Move(Part.VALIDATOR, DEFAULT_VALIDATOR, self.position.validator, self.goal.revision),) if is_there else ()
        return Stage(StageName.DEFAULT, "the new istiod validates Istio's objects and becomes the default", moves)

    def _retire(self) -> Stage:
        old = [plane for plane in self.position.planes if plane.revision != self.goal.revision]
        moves = tuple(Move(Part.PLANE, plane.release or plane.place.name, str(plane.version), "") for plane in old)
        return Stage(StageName.RETIRE, "removes the old istiod, once no proxy, tag or label leads to it", moves)

    def _release(self) -> str:
        return istiod_release("" if self.goal.revision == DEFAULT_REVISION else self.goal.revision)

    def _managed(self) -> list[Proxied]:
        """What istiod makes for Gateways, and is behind."""
        return self._behind(*_MANAGED)

    def _behind(self, *carriers: Carrier) -> list[Proxied]:
        return [one for one in self.position.proxied if one.carrier in carriers and is_behind(one, self.goal)]

    def _selector(self, one: Proxied) -> str:
        return selector_of(self.position, one)

    def _names_old(self, selector: str) -> bool:
        return goes(self.position, self.goal.strategy, selector)

    def _leads(self, tag: str) -> str:
        """The revision that a tag leads to now, by what the injectors would do."""
        plane = self.position.plane(tag)
        return plane.revision if plane else ""

    def _canary_tags(self) -> tuple[str, ...]:
        return tuple(tag.name for tag in self.position.tags if tag.name == _CANARY)

    def _of_tags(self, tags: tuple[str, ...]) -> tuple[Proxied, ...]:
        """Workloads with sidecars that these tags inject, and that are behind."""
        return tuple(one for one in self._behind(Carrier.SIDECAR) if self._selector(one) in tags)

    def _is_left_over(self, name: str) -> bool:
        """Whether a way back that was killed left the tag of the istiod without a revision, whose injector is on again, and wins."""
        led = {tag.revision for tag in self.position.tags if tag.name == name}
        return name == self.goal.revision == DEFAULT_REVISION and bool(led - {DEFAULT_REVISION})

    def _move_of_tag(self, name: str) -> Move:
        spaces = [space.name for space in self.position.namespaces if space.selector == name]
        what = f"new pods of {first(spaces, _SHOWN)}" if spaces else "no namespace has it"
        leads = self._leads(name)
        if leads == self.goal.revision:
            leads = next((tag.revision for tag in self.position.tags if tag.name == name), leads)
        return Move(Part.TAG, name, leads, self.goal.revision, what)

    def _workload(self, one: Proxied) -> Move:
        if self.goal.strategy.way is Way.CANARY and self._names_old(one.pinned):
            return Move(Part.PROXIES, one.name, versions_of(one), str(self.goal.target), _RELABEL, by_hand=True)
        return _of_proxies(one, str(self.goal.target))


_RELABEL = "change the label istio.io/rev of its pod template, which names the old revision"


def _of_proxies(one: Proxied, after: str) -> Move:
    return Move(Part.PROXIES, one.name, versions_of(one), after, meaning(one), by_hand=bool(kept_until(one)))


def versions_of(one: Proxied) -> str:
    """The versions of its proxies, the oldest first."""
    known = sorted({proxies.version for proxies in one.proxies if proxies.version})
    return ", ".join(map(str, known)) or _UNKNOWN


def is_behind(one: Proxied, goal: Goal) -> bool:
    """Whether a proxy of a workload is of another istiod, or version, than that of the goal."""
    return any(proxies.version != goal.target or proxies.revision != goal.revision for proxies in one.proxies)
