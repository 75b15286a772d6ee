"""Where live objects differ from what their release says: pure comparison, no cluster."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from meshinstall.model.facts import Facts, ObjectKey, key_of
from meshinstall.model.paths import KINDS
from meshinstall.model.release import Manifest, ReleaseKey

# Fields that others write on purpose: istiod patches its webhooks' CA and, once
# it validates, their failurePolicy (pilot/pkg/webhooks, pkg/webhooks/validation).
_OTHERS = {
    "MutatingWebhookConfiguration": re.compile(r"webhooks\[[^]]*\]\.clientConfig\.caBundle"),
    "ValidatingWebhookConfiguration": re.compile(r"webhooks\[[^]]*\]\.(clientConfig\.caBundle|failurePolicy)"),
}
# Lists that admission controllers of platforms add to (AKS' admissions enforcer).
_ADDED_TO = re.compile(r"\.matchExpressions$")
_QUANTITY = re.compile(r"([0-9.]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_SCALE = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}
_QUANTITY_AT = re.compile(r"\.(requests|limits|hard|capacity)\.")
# What names an item of a list, in the order of trust.
_LIST_KEYS = ("name", "containerPort", "port", "mountPath", "key")


def drift(facts: Facts, release: ReleaseKey) -> tuple[str, ...]:
    """Sentences on how the release's live objects differ from its record; empty when they do not."""
    found = []
    for wanted in facts.owned.get(release, ()):
        key = key_of(wanted, release.namespace)
        if key.kind not in KINDS:
            continue
        key = key if KINDS[key.kind][1] else key._replace(namespace="")
        live = facts.live.get(key)
        found.append(f"{key} is gone" if live is None else _edited(key, wanted, live, facts, release))
    return tuple(sentence for sentence in found if sentence)


def _edited(key: ObjectKey, wanted: Manifest, live: Manifest, facts: Facts, release: ReleaseKey) -> str:
    ignored = _OTHERS.get(key.kind)
    paths = [path for path in differences(wanted, live) if not (ignored and ignored.fullmatch(path))]
    if _is_scaled(key, facts, release):
        paths = [path for path in paths if path != "spec.replicas"]
    return f"{key} was edited: {', '.join(paths[:3])}{' ...' if len(paths) > 3 else ''}" if paths else ""  # noqa: PLR2004


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
    for key in _LIST_KEYS:
        names = [[item.get(key) if isinstance(item, Mapping) else None for item in items] for items in (wanted, live)]
        if wanted and all(None not in some and len(set(map(str, some))) == len(some) for some in names):
            return key
    return ""


def _same(wanted: Any, live: Any, path: str) -> bool:
    if wanted == live or (wanted is None and not live):
        return True
    if _QUANTITY_AT.search(path) and (one := _quantity(wanted)) is not None:
        return one == _quantity(live)
    return not isinstance(live, Mapping | list) and not isinstance(wanted, bool) and str(wanted) == str(live)


def _quantity(value: Any) -> Decimal | None:
    match = _QUANTITY.fullmatch(str(value))
    return Decimal(match[1]) * _SCALE[match[2] or ""] if match else None
