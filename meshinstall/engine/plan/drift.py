"""Finds drift: live objects that differ from the manifest of their release; pure."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from meshinstall.engine.objects.field_managers import Editor, Owned, editors, owned_fields
from meshinstall.engine.objects.field_paths import ABSENT, Path, dotted, field_at
from meshinstall.engine.plan.compare import changed
from meshinstall.model.facts import Facts, ObjectKey, key_of
from meshinstall.model.paths import KINDS
from meshinstall.model.release import Manifest, ReleaseKey

# Fields that others write on purpose: istiod patches its webhooks' CA and, once
# it validates, their failurePolicy (pilot/pkg/webhooks, pkg/webhooks/validation).
_OTHERS = {
    "MutatingWebhookConfiguration": re.compile(r"webhooks\[[^]]*\]\.clientConfig\.caBundle"),
    "ValidatingWebhookConfiguration": re.compile(r"webhooks\[[^]]*\]\.(clientConfig\.caBundle|failurePolicy)"),
}
# Fields of an object that are spelled out, and characters of a value.
_SHOWN = 10
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class FieldEdit:
    """A field that is not as its record has it; ABSENT in ``live`` or ``wanted`` where there is none; ``editors`` own it now."""

    path: Path
    live: Any
    wanted: Any
    editors: tuple[Editor, ...] = ()

    def __str__(self) -> str:
        """``spec.replicas: 1 → 2``."""
        # Whoever sets a variable by hand may have set a password.
        is_variable = "env" in self.path
        before = "(absent)" if self.live is ABSENT else "…" if is_variable else _short(self.live)
        return f"{dotted(self.path)}: {before} → {'(removed)' if self.wanted is ABSENT else _short(self.wanted)}"


@dataclass(frozen=True, slots=True)
class Edit:
    """An object that differs from its record in some fields, or is gone."""

    key: ObjectKey
    fields: tuple[FieldEdit, ...] = ()

    def sentences(self) -> tuple[str, ...]:
        """For the plan: one for all that the same managers did."""
        if not self.fields:
            return (f"{self.key} was deleted",)
        by: dict[tuple[Editor, ...], list[str]] = {}
        for field in self.fields[:_SHOWN]:
            by.setdefault(field.editors, []).append(str(field))
        more = f" and {len(self.fields) - _SHOWN} more" if len(self.fields) > _SHOWN else ""
        told = [f"{self.key} was edited{_by(who)}: {'; '.join(texts)}" for who, texts in by.items()]
        return (*told[:-1], told[-1] + more)


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
            found.append(Edit(key, tuple(field_edits(paths, wanted, live, owned_fields(live)))))
    return tuple(found)


def field_edits(paths: Iterable[Path], wanted: Manifest, live: Manifest, owned: tuple[Owned, ...]) -> Iterable[FieldEdit]:
    """Each path with both its values and the managers that own it."""
    return (FieldEdit(path, field_at(live, path), field_at(wanted, path), editors(owned, (path,))) for path in paths)


def _edited(key: ObjectKey, wanted: Manifest, live: Manifest, facts: Facts, release: ReleaseKey) -> tuple[Path, ...]:
    ignored = _OTHERS.get(key.kind)
    paths = [path for path in changed(wanted, live) if not (ignored and ignored.fullmatch(dotted(path)))]
    if _is_scaled(key, facts, release):
        paths = [path for path in paths if path != ("spec", "replicas")]
    return tuple(paths)


def _is_scaled(key: ObjectKey, facts: Facts, release: ReleaseKey) -> bool:
    """Whether an autoscaler of the same release sets the replicas."""
    return any(
        owned.get("kind") == "HorizontalPodAutoscaler" and owned["spec"].get("scaleTargetRef", {}).get("name") == key.name
        for owned in facts.owned.get(release, ())
    )


def _by(who: tuple[Editor, ...]) -> str:
    return f" by {', '.join(map(str, who))}" if who else ""


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
