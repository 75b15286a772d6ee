"""Two observations of a mesh and what was moved between them: what counts, and who changed it.

Whoever owns a workload may change it, or its policies, at any time. What he changed since the start of the run is listed and does not
count; what the stage neither moved nor feeds does not count; and what happens to moved proxies' neighbours counts only where it happens
to more than one namespace, or to all: else one tenant could stop, or send back, what belongs to others.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from meshinstall.model.foreign_text import line
from meshinstall.model.gate import GateCheck, GateOutcome, Moved, NamespaceSeen, Snapshot, WorkloadSeen, worst_of
from meshinstall.model.place import Place

# Lines of evidence of one kind.
_SHOWN = 20

# What was found in a namespace: how bad it is, and in words.
Found = tuple[GateOutcome, str]


@dataclass(frozen=True, slots=True)
class Comparing:
    """The start of a run, what is seen after a stage, and what the stage moved."""

    start: Snapshot
    now: Snapshot
    moved: Moved
    require_pass: bool = False

    def is_ours(self, place: Place) -> bool:
        """Whether it is a gateway of the mesh, which no tenant owns."""
        return place in self.moved.gateways

    def is_restarted(self, place: Place) -> bool:
        """Whether the stage replaced its pods."""
        return self.is_ours(place) or place in self.moved.workloads

    def is_moved(self, place: Place) -> bool:
        """Whether the stage replaced its pods, or decided by whom new ones are injected."""
        return self.is_restarted(place) or place.namespace in self.moved.namespaces

    def is_fed(self, place: Place) -> bool:
        """Whether it was not moved and belonged to an istiod that was."""
        before = self.start.workloads.get(place)
        revisions = {*(plane.revision for plane in self.moved.planes), *self.moved.gone}
        return before is not None and not self.is_moved(place) and any(one.revision in revisions for one in before.proxies)

    def touched(self) -> tuple[Place, ...]:
        """All that the stage replaced the pods of, and what was in the namespaces that it moved."""
        named = {*self.moved.gateways, *self.moved.workloads}
        return tuple(sorted(named | {place for place in self.start.workloads if place.namespace in self.moved.namespaces}))

    def changed(self, place: Place) -> str:
        """Why a workload cannot be held against what it was at the start, in words; empty when it can."""
        before, after = self.start.workloads.get(place), self.now.workloads.get(place)
        if self.is_ours(place) or (before is not None and after is None):
            return ""
        if before is None or after is None:
            return "it was not there at the start of this run"
        same = after.recipes <= before.recipes if self.is_moved(place) else after.labelled <= before.labelled
        return "" if same else "its owner changed it during this run"

    def has_new_policies(self, namespace: str) -> bool:
        """Whether somebody changed the PeerAuthentications of a namespace of a tenant."""
        before, after = self._spaces(namespace)
        return namespace not in self.homes() and (before is None or after is None or before.policies != after.policies)

    def has_new_objects(self, namespace: str) -> bool:
        """Whether somebody changed what decides in a namespace of a tenant what clients send."""
        before, after = self._spaces(namespace)
        return namespace not in self.homes() and (before is None or after is None or before.objects != after.objects)

    def _spaces(self, namespace: str) -> tuple[NamespaceSeen | None, NamespaceSeen | None]:
        return self.start.namespaces.get(namespace), self.now.namespaces.get(namespace)

    def homes(self) -> frozenset[str]:
        """The namespaces of istiods, where all holds for the whole mesh, and of the gateways that were moved, which no tenant owns."""
        planes = (plane.place.namespace for plane in (*self.start.planes, *self.now.planes))
        return frozenset({*planes, *(place.namespace for place in self.moved.gateways)})

    def blamed(self, place: Place) -> str:
        """The namespace whose own workload it is; empty for what belongs to the mesh."""
        return "" if self.is_ours(place) else place.namespace

    def pair(self, place: Place) -> tuple[WorkloadSeen | None, WorkloadSeen | None]:
        """A workload at the start and now."""
        return self.start.workloads.get(place), self.now.workloads.get(place)


class Tally:
    """Collects what is wrong, with whom, and what is only worth a line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bad: list[tuple[GateOutcome, str, str]] = []
        self._told: list[str] = []

    def bad(self, outcome: GateOutcome, words: str, namespace: str = "") -> None:
        """Something that keeps the check from PASS; ``namespace`` is the tenant's whose workload it is, empty for the mesh."""
        self._bad.append((outcome, line(words), namespace))

    def tell(self, words: str) -> None:
        """Something that does not count."""
        self._told.append(line(words))

    def spread(self, worse: Mapping[str, Found], sound: Collection[str]) -> None:
        """What was not moved counts only where it is more than one tenant's, or everybody's."""
        counts = len(worse) > 1 or not set(sound) - worse.keys()
        for outcome, words in (worse[name] for name in sorted(worse)):
            if counts:
                self.bad(outcome, words)
            else:
                self.tell(f"{words}; the stage did not change it, and all other namespaces are as before")

    def check(self, good: str) -> GateCheck:
        """The check; ``good`` are its words when nothing is wrong."""
        if not self._bad:
            return GateCheck(self._name, GateOutcome.PASS, good, tuple(_few(self._told)))
        outcome = worst_of(one for one, _, _ in self._bad)
        lines = [f"{one}: {words}" for one, words, _ in sorted(self._bad, key=lambda bad: (bad[0] is not GateOutcome.FAIL, bad[1]))]
        words = next(words for one, words, _ in self._bad if one is outcome)
        more = f", and {len(self._bad) - 1} more" if len(self._bad) > 1 else ""
        spaces = {namespace for _, _, namespace in self._bad}
        whose = () if "" in spaces else tuple(sorted(spaces))
        return GateCheck(self._name, outcome, f"{words}{more}", (*_few(lines), *_few(self._told)), whose)


def _few(lines: Iterable[str]) -> list[str]:
    found = list(dict.fromkeys(lines))
    return found if len(found) <= _SHOWN else [*found[:_SHOWN], f"and {len(found) - _SHOWN} more"]
