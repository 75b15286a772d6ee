"""Finds drift: live objects that differ from the manifest of their release; pure."""

import json
import re
from dataclasses import dataclass
from typing import Any

from meshinstall.engine.objects.field_managers import Editor, by, editors, owned_fields, scaled_by
from meshinstall.engine.objects.field_paths import ABSENT, REPLICAS, Path, dotted, field_at
from meshinstall.engine.objects.readiness import SCALED, pods_wanted
from meshinstall.engine.plan.compare import changed
from meshinstall.model.facts import Facts, ObjectKey, key_of
from meshinstall.model.paths import KINDS
from meshinstall.model.plan import Mend
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
    """An object that differs from its record, or is gone: ``fields`` are helm's to put back, ``ours`` are what helm leaves as it is."""

    key: ObjectKey
    fields: tuple[FieldEdit, ...] = ()
    ours: tuple[FieldEdit, ...] = ()
    is_gone: bool = False

    @property
    def needs_helm(self) -> bool:
        """Whether a new revision of the release is needed."""
        return self.is_gone or bool(self.fields)

    @property
    def mends(self) -> tuple[Mend, ...]:
        """What is put back without helm."""
        return tuple(
            Mend(self.key, one.path, one.live, None if one.wanted is ABSENT else one.wanted, scales=one.path == REPLICAS)
            for one in self.ours
        )

    def sentences(self) -> tuple[str, ...]:
        """For the plan: one for all that the same managers did."""
        if self.is_gone:
            return (f"{self.key} was deleted",)
        fields = (*self.ours, *self.fields)
        found: dict[tuple[str, tuple[Editor, ...]], list[str]] = {}
        for field in fields[:_SHOWN]:
            verb = "scaled to 0 pods" if field.path == REPLICAS and not field.live else "edited"
            found.setdefault((verb, field.editors), []).append(str(field))
        more = f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
        told = [f"{self.key} was {verb}{by(who)}: {'; '.join(texts)}" for (verb, who), texts in found.items()]
        return (*told[:-1], told[-1] + more)


def drift(facts: Facts, release: ReleaseKey) -> tuple[Edit, ...]:
    """How the release's live objects differ from its record; empty when they do not."""
    manifests = facts.owned.get(release, ())
    found = []
    for wanted in manifests:
        key = key_of(wanted, release.namespace)
        if key.kind not in KINDS:
            continue
        key = key if KINDS[key.kind][1] else key._replace(namespace="")
        live = facts.live.get(key)
        if live is None:
            found.append(Edit(key, is_gone=True))
        elif edit := _edit(key, wanted, live, manifests):
            found.append(edit)
    return tuple(found)


def _edit(key: ObjectKey, wanted: Manifest, live: Manifest, manifests: tuple[Manifest, ...]) -> Edit | None:
    paths, pods = _edited(key, wanted, live, manifests), _scaled_to_nothing(key, wanted, live, manifests)
    if not paths and not pods:
        return None
    owned = owned_fields(live)
    fields = [FieldEdit(path, field_at(live, path), field_at(wanted, path), editors(owned, (path,))) for path in paths]
    if not pods:
        return Edit(key, tuple(fields))
    scaled = FieldEdit(REPLICAS, 0, pods, scaled_by(live))
    return Edit(key, tuple(field for field in fields if field.path != REPLICAS), (scaled,))


def _scaled_to_nothing(key: ObjectKey, wanted: Manifest, live: Manifest, manifests: tuple[Manifest, ...]) -> int:
    """How many pods there should be where there are to be none: autoscalers stop at 0 (kubernetes: pkg/controller/podautoscaler)."""
    if key.kind not in SCALED or (live.get("spec") or {}).get("replicas") != 0:
        return 0
    return pods_wanted(wanted, manifests)


def _edited(key: ObjectKey, wanted: Manifest, live: Manifest, manifests: tuple[Manifest, ...]) -> tuple[Path, ...]:
    ignored = _OTHERS.get(key.kind)
    paths = [path for path in changed(wanted, live) if not (ignored and ignored.fullmatch(dotted(path)))]
    if REPLICAS in paths and _is_scaled(key, manifests):
        paths.remove(REPLICAS)
    return tuple(paths)


def _is_scaled(key: ObjectKey, manifests: tuple[Manifest, ...]) -> bool:
    """Whether an autoscaler of the same release sets the replicas."""
    return any(
        one.get("kind") == "HorizontalPodAutoscaler" and one["spec"].get("scaleTargetRef", {}).get("name") == key.name for one in manifests
    )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
