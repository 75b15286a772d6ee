"""Removes values that would be rendered beside what contradicts them, or as empty text; ``explain`` shows what removed them, and where.

Sources: templates and schema of Istio's gateway chart of 1.31; Kubernetes' rules for PodDisruptionBudgets and DaemonSets.
"""

from collections.abc import Iterator

from meshinstall.config import bundled
from meshinstall.config.value_types import is_text_entry
from meshinstall.errors import Problem
from meshinstall.model.release import Component
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import KeyPath, Layer, Spoken, value_at

_BUDGET = "podDisruptionBudget"
_LEAST, _MOST = (_BUDGET, "minAvailable"), (_BUDGET, "maxUnavailable")
# What the gateway's schema refuses as null, and the chart leaves empty by itself.
_EMPTY_BY_DEFAULT = frozenset(
    {(_BUDGET,), _LEAST, _MOST, (_BUDGET, "unhealthyPodEvictionPolicy"), ("strategy",), ("topologySpreadConstraints",)}
)


def settle(component: Component, stack: ValuesStack, problems: list[Problem]) -> ValuesStack:
    """The values with what is removed; contradictions between the user's own values are added to ``problems``."""
    if component is Component.GATEWAY:
        stack = _settle_budget(stack, problems)
        stack = _settle_daemon_set(stack, problems)
    return ValuesStack(stack.layers, stack.unsent | frozenset(_unsent_nulls(component, stack)))


def _settle_budget(stack: ValuesStack, problems: list[Problem]) -> ValuesStack:
    """A budget has one of the two limits: the user's replaces that of a built-in profile."""
    values = stack.merged()
    if value_at(values, _LEAST) is None or value_at(values, _MOST) is None:
        return stack
    least, most = stack.explain(_LEAST)[-1], stack.explain(_MOST)[-1]
    for path, removed, by in ((_MOST, most, least), (_LEAST, least, most)):
        if _is_builtin(removed) and not _is_builtin(by):
            return _remove(stack, path, by)
    text = f"podDisruptionBudget has minAvailable ({least.origin}) and maxUnavailable ({most.origin}): Kubernetes refuses both"
    later = max(least, most, key=lambda spoken: (spoken.origin.kind, spoken.origin.line))
    problems.append(later.origin.problem(text, "remove one of the two"))
    return stack


def _settle_daemon_set(stack: ValuesStack, problems: list[Problem]) -> ValuesStack:
    """A DaemonSet has no strategy, no replicas, and no budget of the kind that built-in profiles set."""
    values = stack.merged()
    if values.get("kind") != "DaemonSet":
        return stack
    kind = stack.explain(("kind",))[-1]
    for key in ("strategy", _BUDGET):
        if values.get(key):
            owner = next((spoken for spoken in reversed(stack.explain((key,))) if not _is_builtin(spoken)), None)
            if owner is None:
                stack = _remove(stack, (key,), kind)
            elif key == "strategy":
                problems.append(
                    owner.origin.problem(f"a DaemonSet has no strategy, and kind is DaemonSet ({kind.origin})", "remove one of the two")
                )
    if value_at(values, ("autoscaling", "enabled")) is False and values.get("replicaCount") is not None:
        owner = stack.explain(("replicaCount",))[-1]
        problems.append(owner.origin.problem(f"a DaemonSet has no replicas, and kind is DaemonSet ({kind.origin})", "remove replicaCount"))
    return stack


def _unsent_nulls(component: Component, stack: ValuesStack) -> Iterator[KeyPath]:
    """Nulls that remove what only a lower layer of ours sets: the chart has nothing to delete there, and would render them."""
    for path, spoken in stack.winners().items():
        is_removable = is_text_entry(component, path) or (component is Component.GATEWAY and path in _EMPTY_BY_DEFAULT)
        if spoken.value is None and is_removable and any(below.value is not None for below in stack.explain(path)[:-1]):
            yield path


def _remove(stack: ValuesStack, path: KeyPath, by: Spoken) -> ValuesStack:
    """Put a null on top, at the line of the value that removes ``path``."""
    values: object = None
    for key in reversed(path):
        values = {key: values}
    origin = by.origin
    positions = {path: (origin.line, origin.column)} if origin.line else {}
    layer = Layer(origin.kind, origin.source, values if isinstance(values, dict) else {}, positions)
    return ValuesStack((*stack.layers, layer), stack.unsent)


def _is_builtin(spoken: Spoken) -> bool:
    return bundled.is_bundled(spoken.origin.source)
