"""Finds drift: live objects that differ from the manifest of their release; pure."""

import json
import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from meshinstall.engine.objects.field_managers import Editor, by, editors, is_person, owned_fields, scaled_by
from meshinstall.engine.objects.field_names import names_of
from meshinstall.engine.objects.field_paths import ABSENT, REPLICAS, Item, Path, dotted, field_at
from meshinstall.engine.objects.readiness import SCALED, pods_wanted
from meshinstall.engine.plan.additions import additions
from meshinstall.engine.plan.compare import Difference, changed, narrowed
from meshinstall.model.facts import Facts, ObjectKey, key_of
from meshinstall.model.paths import KINDS
from meshinstall.model.plan import Undo
from meshinstall.model.release import Manifest, ReleaseKey
from meshinstall.model.secrets import HIDDEN, SECRET_DATA, hides, secrets, texts

# Fields that others write on purpose: istiod patches its webhooks' CA and, once
# it validates, their failurePolicy (pilot/pkg/webhooks, pkg/webhooks/validation).
_OTHERS = {
    "MutatingWebhookConfiguration": re.compile(r"webhooks\[[^]]*\]\.clientConfig\.caBundle"),
    "ValidatingWebhookConfiguration": re.compile(r"webhooks\[[^]]*\]\.(clientConfig\.caBundle|failurePolicy)"),
}
_CLOSED = "Fail"
# Fields of an object that a reason names; the diff has all.
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class FieldEdit:
    """A field that is not as its record has it; ABSENT in ``live`` or ``wanted`` where there is none; ``editors`` own it now.

    ``hidden`` are the texts in it that are not shown.
    """

    path: Path
    live: Any
    wanted: Any
    editors: tuple[Editor, ...] = ()
    hidden: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The path as people read it."""
        return dotted(self.path)

    def __str__(self) -> str:
        """``spec.replicas: 1 → 2``; of lists and maps, what only one side has."""
        return ", ".join(_line(one, self.hidden) for one in narrowed(Difference(self.path, self.wanted, self.live)))


@dataclass(frozen=True, slots=True)
class Edit:
    """An object that differs from its record, or is gone.

    ``fields`` are helm's to put back, ``ours`` are what helm leaves as it is. Neither goes back: what managers that nobody knows added
    (``strange``), and what the API server changes at admission (``admitted``).
    """

    key: ObjectKey
    fields: tuple[FieldEdit, ...] = ()
    ours: tuple[FieldEdit, ...] = ()
    is_gone: bool = False
    strange: tuple[FieldEdit, ...] = ()
    admitted: tuple[FieldEdit, ...] = ()

    @property
    def needs_helm(self) -> bool:
        """Whether a new revision of the release is needed."""
        return self.is_gone or bool(self.fields)

    def undo(self, *, edits: bool) -> tuple[Undo, ...]:
        """What is put back without helm; with ``edits``, also what people edited: helm would meet a conflict, and record a failure."""
        theirs = [one for one in self.fields if edits and one.editors and all(is_person(editor.name) for editor in one.editors)]
        return tuple(
            Undo(self.key, one.path, _told(one.live), _told(one.wanted), scales=one.path == REPLICAS and one in self.ours)
            for one in (*self.ours, *theirs)
        )

    def sentences(self) -> tuple[str, ...]:
        """For the plan: one for all that the same managers did."""
        if self.is_gone:
            return (f"{self.key} was deleted",)
        fields = (*self.ours, *self.fields)
        if not fields:
            return ()
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
        elif edit := _edit(key, wanted, live, manifests, facts.admitted.get(key, frozenset())):
            found.append(edit)
    return tuple(found)


def edit_of(facts: Facts, wanted: Manifest) -> Edit | None:
    """How an object of ours differs from what it should be, by the rules for those of releases; None if it does not."""
    key = key_of(wanted)
    live = facts.live.get(key)
    return Edit(key, is_gone=True) if live is None else _edit(key, wanted, live, (wanted,), facts.admitted.get(key, frozenset()))


def edit_between(key: ObjectKey, wanted: Manifest, live: Manifest, manifests: tuple[Manifest, ...]) -> Edit | None:
    """How a live object differs from what it should be; ``manifests`` are those of its release, whose autoscalers count."""
    return _edit(key, wanted, live, manifests, frozenset())


def _edit(key: ObjectKey, wanted: Manifest, live: Manifest, manifests: tuple[Manifest, ...], admitted: AbstractSet[Path]) -> Edit | None:
    owned = owned_fields(live)
    paths, pods = _edited(key, wanted, live, manifests), _scaled_to_nothing(key, wanted, live, manifests)
    added = {path: person for path, person in additions(wanted, live, owned).items() if _is_new(key, path, paths)} if owned else {}
    if not paths and not pods and not added:
        return None
    owners = {path: scaled_by(live) if path == REPLICAS else editors(owned, (path,)) for path in (*paths, *added)}
    edits = {path: _field(key, path, wanted, live, who) for path, who in owners.items()}
    scaled = [FieldEdit(REPLICAS, 0, pods, scaled_by(live))] if pods else []
    return Edit(
        key,
        fields=tuple(edits[path] for path in paths if path not in admitted and not (pods and path == REPLICAS)),
        ours=(*scaled, *(edits[path] for path, person in added.items() if person and path not in admitted)),
        strange=tuple(edits[path] for path, person in added.items() if not person and path not in admitted),
        admitted=tuple(edits[path] for path in paths if path in admitted),
    )


def _field(key: ObjectKey, path: Path, wanted: Manifest, live: Manifest, who: tuple[Editor, ...]) -> FieldEdit:
    here, there = field_at(wanted, path), field_at(live, path)
    names, sides = names_of(path, live, wanted), [value for value in (here, there) if value is not ABSENT]
    is_data = key.kind == "Secret" and path[0] in SECRET_DATA
    hidden = frozenset(text for value in sides for text in (texts(value) if is_data else secrets(value, *names)))
    return FieldEdit(path, there, here, who, hidden)


def _is_new(key: ObjectKey, path: Path, edited: tuple[Path, ...]) -> bool:
    """Whether an addition is not others' to make, and not in what helm puts back whole."""
    return not is_others(key, path) and not any(path[: len(one)] == one for one in edited)


def is_others(key: ObjectKey, path: Path) -> bool:
    """Whether a field is istiod's to write."""
    ignored = _OTHERS.get(key.kind)
    return bool(ignored and ignored.fullmatch(dotted(path)))


def _scaled_to_nothing(key: ObjectKey, wanted: Manifest, live: Manifest, manifests: tuple[Manifest, ...]) -> int:
    """How many pods there should be where there are to be none: autoscalers stop at 0 (kubernetes: pkg/controller/podautoscaler)."""
    if key.kind not in SCALED or (live.get("spec") or {}).get("replicas") != 0:
        return 0
    return pods_wanted(wanted, manifests)


def _edited(key: ObjectKey, wanted: Manifest, live: Manifest, manifests: tuple[Manifest, ...]) -> tuple[Path, ...]:
    # Validation that fails open is an edit where the values ask for more; istiod itself only closes it.
    paths = [path for path in changed(wanted, live) if not is_others(key, path) or field_at(wanted, path) == _CLOSED]
    if REPLICAS in paths and _is_scaled(key, manifests):
        paths.remove(REPLICAS)
    return tuple(paths)


def _is_scaled(key: ObjectKey, manifests: tuple[Manifest, ...]) -> bool:
    """Whether an autoscaler of the same release sets the replicas."""
    return any(
        one.get("kind") == "HorizontalPodAutoscaler" and one["spec"].get("scaleTargetRef", {}).get("name") == key.name for one in manifests
    )


def _line(one: Difference, hidden: AbstractSet[str]) -> str:
    # Whoever sets a variable by hand, or adds a container, may have set a password.
    is_item = one.wanted is ABSENT and isinstance(one.path[-1], Item)
    live = "(added)" if is_item else "…" if "env" in one.path and one.live is not ABSENT else shown(one.live, hidden)
    return f"{dotted(one.path)}: {live} → {'(removed)' if one.wanted is ABSENT else shown(one.wanted, hidden)}"


def shown(value: Any, hidden: AbstractSet[str] = frozenset()) -> str:
    """A value on one line, to its end: a person agrees to it; nothing of it where one of the ``hidden`` texts is in it."""
    if value is ABSENT:
        return "(absent)"
    return HIDDEN if not hidden.isdisjoint(texts(value)) or hides(value) else json.dumps(value, ensure_ascii=False, default=str)


def _told(value: Any) -> Any:
    return None if value is ABSENT else value
