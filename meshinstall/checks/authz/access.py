"""Who may call what of a workload: every request that its policies tell apart is decided, once for all that they do not.

Aspects are gone through one after the other, as a decision diagram: what no rule that is still open looks at is not told apart. What a
class of requests gets is asked of checks/authz/decide.py with a request of that class: there is no second evaluator.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshinstall.checks.authz.axes import Axis, Deciding, Point, axes, request_at
from meshinstall.checks.authz.classes import TooManyError, described
from meshinstall.model.access import Aspect, Cell
from meshinstall.model.authz import Outcome, Verdict

# Of one workload: nodes, classes that are looked at for them, and rows that are made of them. Policies are tenants' and may mean harm.
_MOST_NODES, _MOST_LOOKS, _MOST_CELLS = 20_000, 500_000, 5_000

Verdicts = tuple[Verdict, ...]
# For sets of classes, a bit for each, the number of the next node.
_Branches = tuple[tuple[int, int], ...]
# Sets of classes, one for each aspect.
_Way = tuple[int, ...]


def cells(guards: Sequence[Deciding], wanted: Callable[[Verdicts], bool]) -> tuple[Cell, ...]:
    """The requests to a workload whose verdicts are wanted, one verdict for each set of policies that guards it.

    Where rules tell too much apart there is one cell for all requests, undecided, with the reason, whatever is wanted: it may be there.
    """
    try:
        return told_apart(guards, wanted)
    except TooManyError as error:
        reason = f"the policies of this workload distinguish too many kinds of requests: {error}"
        return (Cell((), (Verdict(Outcome.UNDECIDED, reason),) * len(guards)),)


def told_apart(guards: Sequence[Deciding], wanted: Callable[[Verdicts], bool]) -> tuple[Cell, ...]:
    """The same; raises TooManyError."""
    return tuple(_Diagram(guards, axes(guards), wanted).cells())


@dataclass(slots=True)
class _Diagram:
    """Nodes by their number, equal ones once; ``known`` are those that were made, by what matters of the way there."""

    guards: Sequence[Deciding]
    axes: tuple[Axis, ...]
    wanted: Callable[[Verdicts], bool]
    nodes: list[_Branches] = field(default_factory=list)
    leaves: list[Verdicts] = field(default_factory=list)
    numbers: dict[_Branches | Verdicts, int | None] = field(default_factory=dict)
    known: dict[tuple[Any, ...], int | None] = field(default_factory=dict)
    looks: int = 0

    def cells(self) -> Iterator[Cell]:
        """All ways to verdicts that are wanted."""
        every = (1 << max(axis.boxes.bit_length() for axis in self.axes)) - 1
        root = self._node(0, every, every, (), {})
        for count, (masks, verdicts) in enumerate(self._ways(root, 0)):
            if count >= _MOST_CELLS:
                raise TooManyError(f"more than {_MOST_CELLS:,} kinds of requests")
            yield Cell(tuple(self._aspects(masks)), verdicts)

    def _node(self, depth: int, open_boxes: int, sure: int, apart: tuple[Any, ...], point: Point) -> int | None:
        """The node for requests that are in some of ``open_boxes``, and surely in those of them that are ``sure`` so far.

        None where nothing that is wanted comes of any of them.
        """
        key = (depth, open_boxes, sure & open_boxes, apart)
        if key not in self.known:
            if len(self.known) > _MOST_NODES or self.looks > _MOST_LOOKS:
                raise TooManyError(f"more than {_MOST_NODES:,} kinds of requests")
            is_last = depth == len(self.axes)
            self.known[key] = self._leaf(point) if is_last else self._branches(depth, open_boxes, sure, apart, point)
        return self.known[key]

    def _leaf(self, point: Point) -> int | None:
        request = request_at(point)
        verdicts = tuple(guard.decide(request) for guard in self.guards)
        return _numbered(verdicts, self.leaves, self.numbers) if self.wanted(verdicts) else None

    def _branches(self, depth: int, open_boxes: int, sure: int, apart: tuple[Any, ...], point: Point) -> int | None:
        axis = self.axes[depth]
        self.looks += len(axis.classes)
        groups: dict[tuple[Any, ...], int] = {}
        for index in range(len(axis.classes)):
            alike = (axis.sure[index] & open_boxes, axis.never[index] & open_boxes, axis.apart[index])
            groups[alike] = groups.get(alike, 0) | 1 << index
        found: dict[int, int] = {}
        for (holds, fails, more), members in groups.items():
            first = (members & -members).bit_length() - 1
            there = {**point, axis.name: axis.classes[first].value}
            still = sure & (holds | ~axis.boxes)
            child = self._node(depth + 1, open_boxes & ~fails, still, (*apart, more), there)
            if child is not None:
                found[child] = found.get(child, 0) | members
        branches = tuple((members, child) for child, members in found.items())
        return _numbered(branches, self.nodes, self.numbers) if branches else None

    def _ways(self, number: int | None, depth: int) -> Iterator[tuple[_Way, Verdicts]]:
        if number is None:
            return
        if depth == len(self.axes):
            yield (), self.leaves[number]
            return
        for members, child in self.nodes[number]:
            yield from (((members, *rest), verdicts) for rest, verdicts in self._ways(child, depth + 1))

    def _aspects(self, way: _Way) -> Iterator[Aspect]:
        for axis, members in zip(self.axes, way, strict=True):
            if members != (1 << len(axis.classes)) - 1:
                yield Aspect(axis.name, described(axis.classes, members))


def _numbered(one: Any, all_of_them: list[Any], numbers: dict[Any, int | None]) -> int | None:
    """Its place in the list, to which it is added once."""
    if one not in numbers:
        numbers[one] = len(all_of_them)
        all_of_them.append(one)
    return numbers[one]
