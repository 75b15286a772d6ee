"""Label selectors of Kubernetes, with expressions; plain data."""

from collections.abc import Mapping
from typing import NamedTuple


class LabelRule(NamedTuple):
    """One requirement: ``operator`` is In, NotIn, Exists or DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


# Everything that meets all of its requirements; one without any selects everything.
LabelSelector = tuple[LabelRule, ...]


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether something with these labels is selected (k8s.io/apimachinery: pkg/labels/selector.go)."""
    return all(_meets(rule, labels) for rule in selector)


def _meets(rule: LabelRule, labels: Mapping[str, str]) -> bool:
    match rule.operator:
        case "In":
            return labels.get(rule.key) in rule.values
        case "NotIn":
            return labels.get(rule.key) not in rule.values
        case "Exists":
            return rule.key in labels
        case _:
            return rule.key not in labels
