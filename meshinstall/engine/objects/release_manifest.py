"""Reads the manifest text of a Helm release record into objects."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from meshinstall.errors import ClusterError
from meshinstall.model.release import Manifest, ReleaseRecord
from meshinstall.model.yaml_text import load

_SEPARATOR = re.compile(r"^---\s*$", re.MULTILINE)
# Helm cuts there too (helm: pkg/release/v1/util/manifest.go).
_MORE = re.compile(r"^---(?!\s*$)", re.MULTILINE)
# What helm does not delete with a release, by the manifest in its record (helm: pkg/action/resource_policy.go).
_POLICY, _KEEP = "helm.sh/resource-policy", "keep"
_CRD = re.compile(r"^kind: *\"?CustomResourceDefinition", re.MULTILINE)
_NAME = re.compile(r"^  name: *\"?([a-z0-9.-]+)", re.MULTILINE)


def objects(record: ReleaseRecord) -> tuple[Manifest, ...]:
    """The objects of a release but its CRDs, which are a megabyte of schema; raises ClusterError."""
    try:
        return read_objects(record.manifest)
    except ValueError as error:
        raise ClusterError(f"the manifest in Helm's record of {record.key} cannot be read: {error}") from error


def read_objects(text: str) -> tuple[Manifest, ...]:
    """The objects in rendered YAML documents but CRDs; raises ValueError."""
    found = (load(document) for document in _documents(text) if not _CRD.search(document))
    return tuple(one for one in found if isinstance(one, dict) and "kind" in one)


def deleted_objects(text: str) -> tuple[Manifest, ...]:
    """The objects that helm deletes with a release of this manifest: all but those that it says to keep, CRDs too.

    Raises ValueError where what helm would read may be something else.
    """
    return tuple(one for one in dropped_objects(text, ()) if (one["metadata"].get("annotations") or {}).get(_POLICY) != _KEEP)


def dropped_objects(text: str, same: Iterable[str]) -> tuple[Manifest, ...]:
    """The objects of a manifest but those that are written in the ``same`` words; raises ValueError as ``deleted_objects`` does."""
    if _MORE.search(text):
        raise ValueError("a line begins with --- and has more text")
    known = {document.strip() for document in same}
    found = [one for document in _documents(text) if document.strip() not in known and (one := load(document)) is not None]
    if not all(map(_is_object, found)):
        raise ValueError("a document in it is not an object with kind and name")
    return tuple(found)


def _is_object(found: Any) -> bool:
    if not isinstance(found, dict) or not isinstance(metadata := found.get("metadata"), dict):
        return False
    told = (found.get("apiVersion"), found.get("kind"), metadata.get("name"), metadata.get("namespace", "x") or "x")
    return all(isinstance(one, str) and one for one in told) and isinstance(metadata.get("annotations") or {}, dict)


def crd_names(text: str) -> tuple[str, ...]:
    """Names of the CRDs in rendered YAML documents."""
    return tuple(crd_texts(text))


def crd_texts(text: str) -> dict[str, str]:
    """The CRDs in rendered YAML documents as they are written, by name: to parse all of them takes longer than the rest of a plan."""
    return {match[1]: document for document in _documents(text) if _CRD.search(document) and (match := _NAME.search(document))}


def _documents(text: str) -> Iterator[str]:
    return (document for document in _SEPARATOR.split(text) if document.strip())
