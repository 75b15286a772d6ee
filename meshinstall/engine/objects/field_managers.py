"""Finds the manager that set a field of a live object: reads ``metadata.managedFields`` (structured-merge-diff's fieldpath); pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from meshinstall.engine.objects.field_paths import REPLICAS, Item, Path
from meshinstall.model import json_text
from meshinstall.model.ownership import ARGO, FLUX
from meshinstall.model.paths import LIST_KEYS
from meshinstall.model.release import Manifest

# Helm itself, we, and what Kubernetes writes for its own bookkeeping.
_NOT_EDITORS = frozenset({"helm", "Helm", "meshinstall", "kube-controller-manager"})

# What we wrote by server-side apply; and the length of the path of a label.
_APPLIED, _MARK = ("meshinstall", "Apply"), 3

# A person at a terminal; the plan shows the edits.
_PEOPLE = re.compile(r"kubectl(-.*)?")
# Set fields of webhooks on purpose, and do so again at once (istio pkg/webhooks; AKS' admission controller). What we put back
# ourselves is Helm's again with its next revision.
_HARMLESS = frozenset({"pilot-discovery", "admissionsenforcer", "meshinstall"})

# GitOps engines, which write what Git says (argo-cd: common/common.go; fluxcd: helm-controller, kustomize-controller, flux2).
ENGINE_MANAGERS: Mapping[str, frozenset[str]] = {
    ARGO: frozenset({"argocd-controller", "argocd-application-controller"}),
    FLUX: frozenset({"helm-controller", "kustomize-controller", "source-controller", "flux"}),
}
_ENGINES = "|".join(sorted(name for names in ENGINE_MANAGERS.values() for name in names))
# What else installs, and what Kubernetes, its clouds and its own bookkeeping write; with the engines nobody's additions.
_CONTROLLERS = re.compile(
    rf"{_ENGINES}|terraform-provider-helm.*|before-first-apply|kube-(apiserver|scheduler)|(.+-)?cloud-controller-manager"
    r"|clusterrole-aggregation-controller"
)
# What installs a whole object by the files of somebody: helm, we, an engine.
_INSTALLERS = re.compile(rf"{_ENGINES}|[Hh]elm|meshinstall|terraform-provider-helm.*|before-first-apply")
# kubectl apply, by the server and before.
_APPLYING = frozenset({("kubectl", "Apply"), ("kubectl-client-side-apply", "Update"), ("kubectl-last-applied", "Apply")})
_UNRECORDED = "somebody that Kubernetes did not record"


def may_be_taken_over(managers: frozenset[str], shown: tuple[str, ...]) -> bool:
    """Whether helm may force its fields on all ``managers``: harmless ones, and people whose edits the plan has ``shown``."""
    return bool(managers) and all(each in _HARMLESS or (each in shown and _PEOPLE.fullmatch(each)) for each in managers)


def is_person(manager: str) -> bool:
    """Whether somebody at a terminal writes so."""
    return bool(_PEOPLE.fullmatch(manager))


def is_controller(manager: str) -> bool:
    """Whether it writes what it should."""
    return manager in _NOT_EDITORS or manager in _HARMLESS or bool(_CONTROLLERS.fullmatch(manager))


def is_installer(editor: "Editor", *, kubectl: bool) -> bool:
    """Whether it writes what files say: an engine, helm, we; with ``kubectl`` also kubectl apply, where nothing else keeps a mesh."""
    return bool(_INSTALLERS.fullmatch(editor.name)) or (kubectl and (editor.name, editor.operation) in _APPLYING)


@dataclass(frozen=True, slots=True, order=True)
class Editor:
    """A field manager as ``managedFields`` has it; ``operation`` is Apply or Update, ``time`` of its last change."""

    name: str
    operation: str = ""
    time: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        """``kubectl-edit (Update, 2026-11-21T12:00:00Z)``."""
        more = ", ".join(text for text in (self.operation, self.time) if text)
        return f"{self.name} ({more})" if more else self.name


@dataclass(frozen=True, slots=True)
class Owned:
    """The fields of one manager; one that holds no other is owned as a whole."""

    editor: Editor
    paths: tuple[Path, ...]


def owned_fields(live: Manifest) -> tuple[Owned, ...]:
    """What each manager, but Helm, Kubernetes and us, owns of an object.

    Whoever writes the spec through a subresource (``scale`` of ``kubectl scale``) has it as if there were none: helm conflicts with it too.
    """
    return tuple(replace(one, editor=replace(one.editor, subresource="")) for one in all_owned(live) if one.editor.name not in _NOT_EDITORS)


def all_owned(live: Manifest) -> tuple[Owned, ...]:
    """The same of everybody who wrote more than the status."""
    found = []
    for entry in live["metadata"].get("managedFields") or ():
        manager, fields = entry.get("manager"), entry.get("fieldsV1")
        if isinstance(manager, str) and isinstance(fields, Mapping) and (below := str(entry.get("subresource") or "")) != "status":
            editor = Editor(manager, str(entry.get("operation") or ""), str(entry.get("time") or ""), below)
            found.append(Owned(editor, tuple(_leaves(fields, ()))))
    return tuple(found)


def our_marks(live: Manifest) -> tuple[Path, ...]:
    """Labels and annotations that we applied: without them in what is applied next, they go."""
    ours = [entry for entry in live["metadata"].get("managedFields") or () if (entry.get("manager"), entry.get("operation")) == _APPLIED]
    paths = [path for entry in ours if isinstance(entry.get("fieldsV1"), Mapping) for path in _leaves(entry["fieldsV1"], ())]
    return tuple(
        path for path in paths if path[:1] == ("metadata",) and path[1:2] in {("labels",), ("annotations",)} and len(path) == _MARK
    )


def editors(owned: Iterable[Owned], paths: Iterable[Path]) -> tuple[Editor, ...]:
    """The managers that own one of ``paths``, something below one, or the whole that one is in; sorted."""
    wanted = tuple(paths)
    return tuple(sorted({one.editor for one in owned if any(_touch(path, other) for path in wanted for other in one.paths)}))


def scaled_by(live: Manifest) -> tuple[Editor, ...]:
    """Who set the number of pods, and when: of kubectl scale, when the status last changed, as Kubernetes does not record more.

    Where nobody owned the number before, it does not record who either.
    """
    entries = live["metadata"].get("managedFields") or ()
    times = [str(entry["time"]) for entry in entries if entry.get("subresource") == "status" and entry.get("time")]
    about = f"about {max(times)}" if times else ""
    who = editors(owned_fields(live), [REPLICAS])
    return tuple(replace(one, time=one.time or about) for one in who) or ((Editor(_UNRECORDED, time=about),) if about else ())


def by(who: Iterable[Editor]) -> str:
    """`` by kubectl (Update, 2026-11-21T12:00:00Z)``; empty when nobody is known."""
    names = ", ".join(map(str, who))
    return f" by {names}" if names else ""


def _touch(one: Path, other: Path) -> bool:
    return all(map(_may_be_same, one, other))


def _may_be_same(one: str | int | Item, other: str | int | Item) -> bool:
    """Two keys may name one item: drift takes a port's name, managedFields its number."""
    if isinstance(one, Item) and isinstance(other, Item):
        return one.key != other.key or one.value == other.value
    return one == other


def _leaves(fields: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """Paths as ``drift`` has them; a field that holds no other is owned as a whole."""
    inner = [(name, below) for name, below in fields.items() if name != "." and isinstance(below, Mapping)]
    if not inner and path:
        yield path
    for name, below in inner:
        yield from _leaves(below, _step(path, name))


def _step(path: Path, name: str) -> Path:
    """``f:spec`` is a field, ``k:{"name":"x"}`` an item of a list; values of sets and indexes are their list's."""
    kind, _, text = name.partition(":")
    if kind == "f":
        return (*path, text)
    if kind != "k":
        return path
    try:
        keys = json_text.load(text)
    except ValueError:
        return path
    chosen = next((key for key in LIST_KEYS if key in keys), None) if isinstance(keys, dict) else None
    return path if chosen is None else (*path, Item(chosen, keys[chosen]))
