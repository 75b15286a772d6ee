"""Reads meshConfig.discoverySelectors, which say of what namespaces an istiod sees the objects; pure.

Of selectors one of which is not valid istiod logs an error and keeps those that it had before (istio: pkg/kube/namespace/filter.go), so
that they cannot be known: all of them are refused here.
"""

import re
from collections.abc import Mapping
from typing import Any

from meshinstall.engine.objects.json_fields import MalformedError, rows, table, text, texts
from meshinstall.model.selectors import LabelRule, LabelSelector

# What labels may be (k8s.io/apimachinery: pkg/util/validation/validation.go).
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_PREFIX = 253
_SPELLINGS = {"matchLabels": "matchLabels", "match_labels": "matchLabels", "matchExpressions": "matchExpressions"}
_SPELLINGS["match_expressions"] = "matchExpressions"
_WITH_VALUES = frozenset({"In", "NotIn"})
_OPERATORS = _WITH_VALUES | {"Exists", "DoesNotExist"}
# Istio before this saw Istio's own objects of all namespaces, unless it was told otherwise (ENABLE_ENHANCED_RESOURCE_SCOPING).
_SCOPED_SINCE = (1, 22)
_YES = frozenset({"", "1", "t", "T", "true", "TRUE", "True"})


def selectors(given: Any) -> tuple[LabelSelector, ...]:
    """All of them, of which one suffices; raises MalformedError when istiod would not take one."""
    return tuple(_selector(one) for one in rows(given))


def is_scoped(version: str, env: Mapping[str, str]) -> bool:
    """Whether an istiod is sure to go by selectors for Istio's own objects too."""
    found = re.match(r"(\d+)\.(\d+)\.", version)
    since = found is not None and (int(found[1]), int(found[2])) >= _SCOPED_SINCE
    return since and env.get("ENABLE_ENHANCED_RESOURCE_SCOPING", "") in _YES


def _selector(given: Any) -> LabelSelector:
    if not isinstance(given, dict):
        raise MalformedError(f"discoverySelectors: dict expected, found {type(given).__name__}")
    if unknown := sorted(str(name) for name in given.keys() - _SPELLINGS.keys()):
        raise MalformedError(f"discoverySelectors: {unknown[0]} is not a field of a selector")
    parts = {_SPELLINGS[name]: value for name, value in given.items()}
    same = [_rule(key, "In", (value,)) for key, value in texts(parts.get("matchLabels")).items()]
    return (*same, *(_expression(one) for one in rows(parts.get("matchExpressions"))))


def _expression(given: Any) -> LabelRule:
    told = table(given)
    return _rule(text(told.get("key")), text(told.get("operator")), tuple(text(one) for one in rows(told.get("values"))))


def _rule(key: Any, operator: str, values: tuple[str, ...]) -> LabelRule:
    prefix, slash, name = text(key).rpartition("/")
    named = _NAME.fullmatch(name) and (not slash or (len(prefix) <= _LONGEST_PREFIX and _PREFIX.fullmatch(prefix)))
    fits = operator in _OPERATORS and bool(values) == (operator in _WITH_VALUES)
    if not named or not fits or not all(not value or _NAME.fullmatch(value) for value in values):
        raise MalformedError(f"discoverySelectors: not a requirement of Kubernetes: {key} {operator} {', '.join(values)}".rstrip())
    return LabelRule(key, operator, values)
