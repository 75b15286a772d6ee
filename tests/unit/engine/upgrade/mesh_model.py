"""A mesh as injection and xDS make it, on which the moves of an upgrade are tried; and positions to start from."""

from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from meshinstall.engine.upgrade.stages import Goal
from meshinstall.model.istio_version import IstioVersion, istio_version
from meshinstall.model.mesh_position import (
    AgentAt,
    Carrier,
    MeshPosition,
    NamespaceAt,
    PlaneAt,
    Proxied,
    ProxyCount,
    Rollout,
    TagAt,
)
from meshinstall.model.place import Place
from meshinstall.model.upgrade import Move, Part, StageName

DEFAULT = "default"


@dataclass
class Model:
    """What runs, by name; ``switched_off`` is that the injector of the istiod without a revision matches nothing any more."""

    planes: dict[str, IstioVersion]
    releases: dict[str, str]
    proxies: dict[str, set[tuple[str, IstioVersion]]]
    homes: dict[str, str]
    pinned: dict[str, str]
    selectors: dict[str, str]
    tags: dict[str, str]
    agents: dict[str, IstioVersion]
    validator: str
    base: str
    goal: Goal
    switched_off: bool = False
    stopped: list[str] = field(default_factory=list)

    def leads(self, selector: str) -> str:
        """The revision whose istiod injects a new pod."""
        if selector in self.planes and not (selector == DEFAULT and self.switched_off):
            return selector
        return self.tags.get(selector, "")

    def start_again(self, name: str, selector: str = "") -> None:
        """Replace the pods of a workload: the injector that its labels lead to gives them its own version."""
        revision = self.leads(selector or self.pinned[name] or self.selectors[self.homes[name]] or DEFAULT)
        assert revision in self.planes, f"{name} would start without a proxy"
        self.proxies[name] = {(revision, self.planes[revision])}

    def wrong(self) -> set[str]:
        """What the skew table forbids, of what runs now."""
        found = set()
        for name, counts in self.proxies.items():
            for revision, version in counts:
                plane = self.planes.get(revision)
                if plane is None:
                    found.add(f"{name} has lost its istiod")
                elif version > plane:
                    found.add(f"{name} is ahead of its istiod")
                elif plane.minors_after(version) > 1:
                    found.add(f"{name} is too far behind its istiod")
        if self.validator and self.validator not in self.planes:
            found.add("the validator has lost its istiod")
        found |= {f"tag {tag} leads nowhere" for tag, revision in self.tags.items() if revision not in self.planes}
        return found

    def apply(self, stage: StageName, move: Move) -> None:
        """Do what a move says."""
        match move.part:
            case Part.CRDS:
                self.base = move.after
            case Part.PLANE:
                self._plane(move)
            case Part.AGENT:
                self.agents[move.name] = _version(move.after)
            case Part.GATEWAY:
                # A chart without a revision names none.
                self.pinned[move.name] = "" if self.goal.revision == DEFAULT else self.goal.revision
                self.start_again(move.name)
            case Part.PROXIES:
                if stage is not StageName.CATCH_UP and move.by_hand and self.pinned[move.name]:
                    self.pinned[move.name] = self.goal.revision
                self.start_again(move.name)
            case Part.TAG | Part.NAMESPACE:
                self._label(move)
            case Part.VALIDATOR:
                self.validator = move.after
            case _:
                assert move.part is Part.SCOUT

    def _label(self, move: Move) -> None:
        if move.part is Part.NAMESPACE:
            self.selectors[move.name] = move.after
        else:
            is_back = move.name == DEFAULT and self.goal.revision == DEFAULT
            self.switched_off = not is_back and (self.switched_off or move.name == DEFAULT)
            self.tags[move.name] = move.after
            if is_back:
                # The istiod without a revision serves its namespaces by itself.
                del self.tags[move.name]

    def _plane(self, move: Move) -> None:
        if not move.after:
            gone = self.releases.pop(move.name)
            self.planes.pop(gone)
        elif move.before:
            self.planes[self.releases[move.name]] = _version(move.after)
        else:
            assert move.name not in self.releases
            self.releases[move.name] = self.goal.revision
            self.planes[self.goal.revision] = _version(move.after)


def seen(mesh: Model, start: MeshPosition) -> MeshPosition:
    """What would be read of a mesh that lives; ``start`` is what was read of it before."""
    names = {revision: release for release, revision in mesh.releases.items()}
    planes = tuple(
        PlaneAt(revision, version, Place("istio-system", names[revision]), names[revision]) for revision, version in mesh.planes.items()
    )
    counts = {name: tuple(ProxyCount(revision, version, 1) for revision, version in some) for name, some in mesh.proxies.items()}
    return replace(
        start,
        base=_version(mesh.base),
        planes=planes,
        proxied=tuple(replace(one, proxies=counts[one.name], pinned=mesh.pinned[one.name]) for one in start.proxied),
        namespaces=tuple(_labelled(space, mesh.selectors[space.name]) for space in start.namespaces),
        tags=tuple(TagAt(name, revision) for name, revision in mesh.tags.items()),
        validator=mesh.validator,
        switched_off=mesh.switched_off,
        agents=tuple(replace(agent, version=mesh.agents[agent.component]) for agent in start.agents),
    )


def _labelled(space: NamespaceAt, selector: str) -> NamespaceAt:
    return space if space.selector == selector else NamespaceAt(space.name, "", selector)


def _version(text: str) -> IstioVersion:
    found = istio_version(text)
    assert found
    return found


def model(position: MeshPosition, goal: Goal) -> Model:
    """A position that lives."""
    return Model(
        planes={plane.revision: plane.version for plane in position.planes if plane.version},
        releases={plane.release: plane.revision for plane in position.planes},
        proxies={one.name: {(each.revision, each.version) for each in one.proxies if each.version} for one in position.proxied},
        homes={one.name: one.place.namespace for one in position.proxied},
        pinned={one.name: one.pinned for one in position.proxied},
        selectors={space.name: space.selector for space in position.namespaces},
        tags={tag.name: tag.revision for tag in position.tags},
        agents={agent.component: agent.version for agent in position.agents if agent.version},
        validator=position.validator,
        base=str(position.base),
        goal=goal,
        switched_off=position.switched_off,
    )


def some_versions(first: int, last: int) -> st.SearchStrategy[IstioVersion]:
    """Releases of these minors."""
    return st.tuples(st.integers(first, last), st.integers(0, 9)).map(lambda one: IstioVersion(1, *one))


versions = some_versions(27, 32)
revisions = st.sampled_from([DEFAULT, "1-29", "1-30", "1-31", "1-32", "blue"])
rollouts = st.builds(
    Rollout,
    strategy=st.sampled_from(["RollingUpdate", "Recreate", "OnDelete", ""]),
    replicas=st.integers(0, 3),
    max_unavailable=st.integers(0, 3),
    max_surge=st.integers(0, 1),
    held=st.integers(0, 1),
    is_paused=st.booleans(),
)


@st.composite
def positions(draw: st.DrawFn, first: int = 27, last: int = 32) -> MeshPosition:
    """A mesh of any shape, all of it of these minors."""
    some = some_versions(first, last)
    chosen = draw(st.lists(revisions, min_size=1, max_size=3, unique=True))
    planes = tuple(PlaneAt(name, draw(some), Place("istio-system", f"istiod-{name}"), f"istiod-{name}") for name in chosen)
    tags = [TagAt(name, draw(st.sampled_from(chosen))) for name in draw(st.sets(st.sampled_from(["canary", "stable"])))]
    # Whatever asks for the default is injected by something.
    tags += [TagAt(DEFAULT, draw(st.sampled_from(chosen)))] if DEFAULT not in chosen else []
    selectors = st.sampled_from(["", *chosen, *(tag.name for tag in tags)])
    spaces = [_space(draw, name, selectors) for name in ("a", "b", "c")]
    return MeshPosition(
        base=draw(some),
        planes=planes,
        proxied=tuple(_proxied(draw, number, chosen, some, selectors) for number in range(draw(st.integers(0, 3)))),
        namespaces=tuple(spaces),
        tags=tuple(tags),
        validator=draw(st.sampled_from(["", *chosen])),
        agents=tuple(
            AgentAt(name, draw(some), Place("istio-system", name)) for name in sorted(draw(st.sets(st.sampled_from(["cni", "ztunnel"]))))
        ),
    )


def _space(draw: st.DrawFn, name: str, selectors: st.SearchStrategy[str]) -> NamespaceAt:
    return NamespaceAt(name, "enabled") if draw(st.booleans()) else NamespaceAt(name, "", draw(selectors))


def _proxied(
    draw: st.DrawFn, number: int, chosen: list[str], some: st.SearchStrategy[IstioVersion], selectors: st.SearchStrategy[str]
) -> Proxied:
    counts = draw(st.lists(st.builds(ProxyCount, st.sampled_from(chosen), some, st.integers(1, 3)), min_size=1, max_size=2))
    return Proxied(
        kind=draw(st.sampled_from(["Deployment", "StatefulSet", "DaemonSet", "Job", "Pod", "Rollout"])),
        place=Place(draw(st.sampled_from("abc")), f"w{number}"),
        carrier=draw(st.sampled_from(Carrier)),
        proxies=tuple(counts),
        rollout=draw(rollouts),
        pinned=draw(st.sampled_from(["", ""]) | selectors),
    )


@st.composite
def upgrades(draw: st.DrawFn) -> tuple[MeshPosition, IstioVersion]:
    """A mesh within two minors, as most are, and a target that nothing of it is newer than."""
    last = draw(st.integers(30, 31))
    return draw(positions(29, last)), IstioVersion(1, last, draw(st.integers(9, 10)))
