"""Who may call what of all workloads, by one set of policies or by two that are compared."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshinstall.checks.authz.access import Verdicts, cells
from meshinstall.checks.authz.decide import World, guard
from meshinstall.checks.policies.reading import GATEWAY_NAME
from meshinstall.model.access import Access, Callee, Cell, Openness, openness
from meshinstall.model.authz import Workload


@dataclass(slots=True)
class Matrix:
    """Makes the cells of workloads by some sets of policies; those to which the same policies apply are looked at once."""

    worlds: Sequence[World]
    wanted: Callable[[Verdicts], bool]
    known: dict[Any, tuple[Cell, ...]] = field(default_factory=dict)

    def of(self, callees: Iterable[Callee]) -> Iterator[Access]:
        """One for each, in this order; without cells where nothing is wanted."""
        for callee in callees:
            yield Access(callee, () if callee.unguarded else self._cells(callee.workload))

    def _cells(self, workload: Workload) -> tuple[Cell, ...]:
        applying = [_applying(world, workload) for world in self.worlds]
        # By these decide() knows what it does not decide, and what no PeerAuthentication is for.
        fronts = [world.fronts.why_undecided(workload) for world in self.worlds]
        key = (*fronts, GATEWAY_NAME in workload.labels, workload.is_gateway, *(tuple(map(id, one)) for one in applying))
        if key not in self.known:
            self.known[key] = cells([guard(world, workload) for world in self.worlds], self.wanted)
        return self.known[key]


def _applying(world: World, workload: Workload) -> tuple[object, ...]:
    """All that decides for a workload; objects of one world are the same ones whenever they are asked for."""
    modes = [one for scope in world.peers.scopes(workload.namespace, workload.labels) for one in scope]
    return (*world.applying(world.rules, workload), None, *world.applying(world.tokens, workload), None, *modes)


def open_somehow(verdicts: Verdicts) -> bool:
    """Whether a request gets through by one set of policies, or may."""
    return any(openness(one) is not Openness.CLOSED for one in verdicts)


def changes(verdicts: Verdicts) -> bool:
    """Whether the last set of policies lets more or less through than the first."""
    return openness(verdicts[0]) is not openness(verdicts[-1])
