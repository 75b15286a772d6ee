"""Compares the CRDs of a release with those of its last revision; pure."""

from collections.abc import Collection, Iterator, Mapping

from meshinstall.engine.rehearsal.fields import field_changes, shown
from meshinstall.model.diff import FieldChange, ObjectChange, Verb
from meshinstall.model.facts import ObjectKey
from meshinstall.model.release import Manifest, ReleaseKey
from meshinstall.model.yaml_text import load

_KIND = "CustomResourceDefinition"
# Helm leaves such a CRD, with all of its objects, when its release no longer has it.
_KEPT = "helm.sh/resource-policy: keep"


def crd_changes(release: ReleaseKey, last: Mapping[str, str], made: Mapping[str, str], live: Collection[str]) -> Iterator[ObjectChange]:
    """CRDs that are new, differ in more than words, or go; each as it is written, by name."""
    for name, text in made.items():
        if name not in live:
            yield ObjectChange(_key(name), release, Verb.CREATE)
        elif name in last and last[name] != text:
            yield ObjectChange(_key(name), release, Verb.CHANGE, tuple(_fields(last[name], text)))
    yield from (
        ObjectChange(_key(name), release, Verb.DELETE)
        for name, text in last.items()
        if name in live and name not in made and _KEPT not in text
    )


def _key(name: str) -> ObjectKey:
    return ObjectKey("apiextensions.k8s.io/v1", _KIND, "", name)


def _fields(last: str, text: str) -> Iterator[FieldChange]:
    """What the API server takes or does otherwise: not labels, nor the words of a schema."""
    before, after = _read(last), _read(text)
    for one in field_changes(before, after, before):
        if one.place.outer[0] == "spec" and one.place.outer[-1] != "description":
            yield shown(_KIND, one)


def _read(text: str) -> Manifest:
    """A CRD; one that cannot be read has nothing to compare, and the API server says what is wrong with it."""
    try:
        found = load(text)
    except ValueError:
        return {}
    return {"spec": found["spec"]} if isinstance(found, dict) and isinstance(found.get("spec"), dict) else {}
