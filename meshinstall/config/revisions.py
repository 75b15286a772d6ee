"""Revisions and tags: what ``istio.revisions`` and ``istio.tags`` say for a choice, and the values that come of it.

Source: the charts base, istiod, ztunnel and gateway. The name of an istiod's revision is on all of its objects; base's validating webhook
leads to the default revision; a gateway's pods, and ztunnel, are of the revision that their value names. cni has none that matters.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from meshinstall.config.choice import Choice
from meshinstall.config.documents import Istio, Project
from meshinstall.config.source import Document
from meshinstall.errors import Problem
from meshinstall.model.release import Component
from meshinstall.model.revision import DEFAULT_TAG, revision_of
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import KeyPath, Layer, LayerKind, Origin
from meshinstall.model.version import is_full, is_minor

# Where each chart reads the revision, and the other names of that value: an old prefix, and what is copied to the root.
_REVISION: Mapping[Component, KeyPath] = {
    Component.BASE: ("defaultRevision",),
    Component.ISTIOD: ("revision",),
    Component.ZTUNNEL: ("revision",),
    Component.GATEWAY: ("revision",),
}
_OTHER_NAMES: Mapping[Component, tuple[KeyPath, ...]] = {
    Component.ISTIOD: (("pilot", "revision"),),
    Component.ZTUNNEL: (("global", "revision"),),
    Component.GATEWAY: (("global", "revision"),),
}
_TAGS: tuple[KeyPath, ...] = (("revisionTags",), ("pilot", "revisionTags"))

_MOST_TAGS = 32
# A label's value and a part of names of a Service: istiod-revision-tag-NAME has at most 63 characters.
_TAG = re.compile(r"[a-z]([-a-z0-9]{0,41}[a-z0-9])?")
_TAG_HINT = "use at most 43 lower-case letters, digits and hyphens, a letter first"
# What the chart writes without quotes, and YAML 1.1 reads as another type.
_NOT_TEXT = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_REVISION_NAME = re.compile(r"\d+[-.]\d+([-.].*)?")


@dataclass(frozen=True, slots=True)
class Revisions:
    """The revision of a mesh, empty where it has none, its tags, and where either is written."""

    revision: str = ""
    tags: tuple[str, ...] = ()
    origin: Origin | None = None


def check_tags(document: Document, istio: Istio, above: KeyPath) -> Iterator[Problem]:
    """Tags at one place of meshinstall.yaml that could not be made, or could be mistaken."""
    at = (*above, "istio", "tags")
    tags = istio.tags or ()
    if len(tags) > _MOST_TAGS:
        yield document.problem(at, f"istio.tags has {len(tags)} tags, and may have {_MOST_TAGS}")
    for index, tag in enumerate(tags[:_MOST_TAGS]):
        if wrong := _wrong(tag) or ("is listed twice" if tag in tags[:index] else ""):
            yield document.problem((*at, str(index)), f"istio.tags: {tag!r} {wrong}", "" if "twice" in wrong else _TAG_HINT)
    if tags and istio.revisions is False:
        yield document.problem(at, "istio.tags need istio.revisions: true, and it is false here", "remove one of the two")


def _wrong(tag: str) -> str:
    if _REVISION_NAME.fullmatch(tag):
        return "has the form of a revision, which a tag points to"
    return "" if _TAG.fullmatch(tag) and tag not in _NOT_TEXT else "is not a valid tag"


def find_revisions(project: Project, choice: Choice, version: str, *, wanted: bool | None = None) -> Revisions:
    """What the nearest places say; the tag ``default`` is always there, so that namespaces with istio-injection=enabled get proxies.

    ``wanted`` goes over what they say of revisions.
    """
    said = (project.settings.istio, choice.environment.istio, choice.site.istio)
    places = list(zip(said, choice.places, strict=False))
    on = next(((istio.revisions, place) for istio, place in reversed(places) if istio.revisions is not None), None)
    is_on = bool(on and on[0]) if wanted is None else wanted
    if not is_on or not (is_full(version) or is_minor(version)):
        return Revisions()
    tags = next((istio.tags for istio, _ in reversed(places) if istio.tags is not None), ())
    origin = Origin(LayerKind.FLAG, "meshinstall upgrade")
    if on and on[0]:
        kind, above = on[1]
        origin = Origin(kind, project.document.source, *project.document.place((*above, "istio", "revisions")))
    return Revisions(revision_of(version), tuple(dict.fromkeys((DEFAULT_TAG, *tags))), origin)


def check_unused_tags(project: Project, choice: Choice, found: Revisions) -> Iterator[Problem]:
    """Tags that an environment or a site asks for, where the mesh has no revisions that they could point to."""
    said = (project.settings.istio, choice.environment.istio, choice.site.istio)
    for istio, (kind, above) in zip(said, choice.places, strict=False):
        # Tags of the whole project are for those environments that have revisions.
        if istio.tags and not found.revision and (kind is not LayerKind.PROJECT or not _anywhere(project)) and istio.revisions is None:
            text, hint = "istio.tags need istio.revisions: true", "add it, or remove the tags"
            yield project.document.problem((*above, "istio", "tags"), text, hint)


def _anywhere(project: Project) -> bool:
    """Whether any environment has revisions."""
    environments = project.settings.environments.values()
    sites = [site.istio for environment in environments for site in environment.clouds.values()]
    return any(istio.revisions for istio in (project.settings.istio, *(one.istio for one in environments), *sites))


def with_revision(
    found: Revisions, components: Mapping[str, Component], stacks: Mapping[str, ValuesStack], problems: list[Problem]
) -> dict[str, ValuesStack]:
    """The stacks of each release with its revision; a value of the user's that says another is added to ``problems``."""
    if not found.revision or found.origin is None:
        return dict(stacks)
    made = {}
    for name, stack in stacks.items():
        component = components[name]
        problems += _contradictions(name, component, stack, found.revision, found.origin)
        path = _REVISION.get(component)
        made[name] = replace(stack, layers=_inserted(stack.layers, _layer(path, found.revision, found.origin))) if path else stack
    return made


def _layer(path: KeyPath, revision: str, origin: Origin) -> Layer:
    return Layer(origin.kind, origin.source, {path[0]: revision}, {path: (origin.line, origin.column)})


def _inserted(layers: Sequence[Layer], layer: Layer) -> tuple[Layer, ...]:
    """By where it is written: after those of farther places."""
    before = [one for one in layers if one.kind <= layer.kind]
    return (*before, layer, *(one for one in layers if one.kind > layer.kind))


def _contradictions(name: str, component: Component, stack: ValuesStack, revision: str, origin: Origin) -> Iterator[Problem]:
    own = _REVISION.get(component)
    for path in (*((own,) if own else ()), *_OTHER_NAMES.get(component, ())):
        if (spoken := stack.explain(path)) and spoken[-1].value != revision:
            value, key = spoken[-1].value, ".".join((name, *path))
            text = f"{key} is {'null' if value is None else repr(value)}, and istio.revisions ({origin}) makes it {revision!r}"
            yield spoken[-1].origin.problem(text, "remove this value, or set istio.revisions: false")
    for path in _TAGS if component is Component.ISTIOD else ():
        if (spoken := stack.explain(path)) and spoken[-1].value:
            text = f"{'.'.join((name, *path))} would put tags into the release of one istiod, from which they cannot move to another"
            yield spoken[-1].origin.problem(text, f"write them into istio.tags: istio.revisions is true ({origin})")
