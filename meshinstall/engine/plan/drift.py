"""Finds drift: live objects that differ from the manifest of their release; pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.engine.objects.field_managers import editors
from meshinstall.model.facts import Facts, ObjectKey, key_of
from meshinstall.model.paths import KINDS, LIST_KEYS
from meshinstall.model.quantity import quantity
from meshinstall.model.release import Manifest, ReleaseKey

# Fields that others write on purpose: istiod patches its webhooks' CA and, once
# it validates, their failurePolicy (pilot/pkg/webhooks, pkg/webhooks/validation).
_OTHERS = {
    "MutatingWebhookConfiguration": re.compile(r"webhooks\[[^]]*\]\.clientConfig\.caBundle"),
    "ValidatingWebhookConfiguration": re.compile(r"webhooks\[[^]]*\]\.(clientConfig\.caBundle|failurePolicy)"),
}
# Lists that admission controllers of platforms add to (AKS' admissions enforcer).
_ADDED_TO = re.compile(r"\.matchExpressions$")
_QUANTITY_AT = re.compile(r"\.(requests|limits|hard|capacity)\.")
# Fields that are spelled out.
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Edit:
    """An object that differs in ``paths`` from its record, or is gone; ``editors`` are the field managers that own these now."""

    key: ObjectKey
    paths: tuple[str, ...] = ()
    editors: tuple[str, ...] = ()

    def __str__(self) -> str:
        """A sentence for the plan."""
        if not self.paths:
            return f"{self.key} was deleted"
        by = f" by {', '.join(self.editors)}" if self.editors else ""
        return f"{self.key} was edited{by}: {', '.join(self.paths[:_SHOWN])}{' ...' if len(self.paths) > _SHOWN else ''}"


def drift(facts: Facts, release: ReleaseKey) -> tuple[Edit, ...]:
    """How the release's live objects differ from its record; empty when they do not."""
    found = []
    for wanted in facts.owned.get(release, ()):
        key = key_of(wanted, release.namespace)
        if key.kind not in KINDS:
            continue
        key = key if KINDS[key.kind][1] else key._replace(namespace="")
        live = facts.live.get(key)
        if live is None:
            found.append(Edit(key))
        elif paths := _edited(key, wanted, live, facts, release):
            found.append(Edit(key, paths, editors(live, paths)))
    return tuple(found)


def _edited(key: ObjectKey, wanted: Manifest, live: Manifest, facts: Facts, release: ReleaseKey) -> tuple[str, ...]:
    ignored = _OTHERS.get(key.kind)
    paths = [path for path in differences(wanted, live) if not (ignored and ignored.fullmatch(path))]
    if _is_scaled(key, facts, release):
        paths = [path for path in paths if path != "spec.replicas"]
    return tuple(paths)


def _is_scaled(key: ObjectKey, facts: Facts, release: ReleaseKey) -> bool:
    """Whether an autoscaler of the same release sets the replicas."""
    return any(
        owned.get("kind") == "HorizontalPodAutoscaler" and owned["spec"].get("scaleTargetRef", {}).get("name") == key.name
        for owned in facts.owned.get(release, ())
    )


def differences(wanted: Manifest, live: Manifest) -> list[str]:
    """Paths of everything in ``wanted`` that ``live`` does not have so; what the server adds is no difference."""
    return list(_compare({key: value for key, value in wanted.items() if key not in {"apiVersion", "kind", "status"}}, live, ""))


def _compare(wanted: Any, live: Any, path: str) -> Iterator[str]:
    if not wanted and not live and not isinstance(live, bool | int):
        # {} and [] and "" are the server's way to say nothing.
        return
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        for key, value in wanted.items():
            inner = f"{path}.{key}" if path else key
            if key not in live and not value:
                continue
            if inner not in {"metadata.namespace", "metadata.creationTimestamp"}:
                yield from _compare(value, live.get(key), inner)
    elif isinstance(wanted, list) and isinstance(live, list):
        yield from _compare_lists(wanted, live, path)
    elif not _same(wanted, live, path):
        yield path


def _compare_lists(wanted: list[Any], live: list[Any], path: str) -> Iterator[str]:
    key = _list_key(wanted, live)
    if key:
        there = {item[key]: item for item in live}
        for item in wanted:
            if item[key] in there:
                yield from _compare(item, there[item[key]], f"{path}[{item[key]}]")
            else:
                yield f"{path}[{item[key]}]"
    elif _ADDED_TO.search(path):
        yield from (path for item in wanted if item not in live)
    elif len(wanted) != len(live):
        yield path
    else:
        for index, (one, other) in enumerate(zip(wanted, live, strict=True)):
            yield from _compare(one, other, f"{path}[{index}]")


def _list_key(wanted: list[Any], live: list[Any]) -> str:
    for key in LIST_KEYS:
        names = [[item.get(key) if isinstance(item, Mapping) else None for item in items] for items in (wanted, live)]
        if wanted and all(None not in some and len(set(map(str, some))) == len(some) for some in names):
            return key
    return ""


def _same(wanted: Any, live: Any, path: str) -> bool:
    if wanted == live or (wanted is None and not live):
        return True
    if _QUANTITY_AT.search(path) and (one := quantity(wanted)) is not None:
        return one == quantity(live)
    return not isinstance(live, Mapping | list) and not isinstance(wanted, bool) and str(wanted) == str(live)
