"""Reads the manifest text of a Helm release record into objects."""

import re
from collections.abc import Iterator

from meshinstall.errors import ClusterError
from meshinstall.model.release import Manifest, ReleaseRecord
from meshinstall.model.yaml_text import load

_SEPARATOR = re.compile(r"^---\s*$", re.MULTILINE)
_CRD = re.compile(r"^kind: *\"?CustomResourceDefinition", re.MULTILINE)
_NAME = re.compile(r"^  name: *\"?([a-z0-9.-]+)", re.MULTILINE)


def objects(record: ReleaseRecord) -> tuple[Manifest, ...]:
    """The objects of a release but its CRDs, which are a megabyte of schema; raises ClusterError."""
    found = []
    for text in _documents(record):
        if _CRD.search(text):
            continue
        try:
            document = load(text)
        except ValueError as error:
            raise ClusterError(f"the manifest in Helm's record of {record.key} cannot be read: {error}") from error
        if isinstance(document, dict) and "kind" in document:
            found.append(document)
    return tuple(found)


def crd_names(record: ReleaseRecord) -> tuple[str, ...]:
    """Names of the CRDs of a release."""
    return tuple(match[1] for text in _documents(record) if _CRD.search(text) and (match := _NAME.search(text)))


def _documents(record: ReleaseRecord) -> Iterator[str]:
    return (text for text in _SEPARATOR.split(record.manifest) if text.strip())
