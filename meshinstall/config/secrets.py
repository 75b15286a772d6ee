"""Finds secrets in the configuration; no message contains their value."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.config.source import Document
from meshinstall.errors import Problem
from meshinstall.model.secrets import is_reference, shape
from meshinstall.model.values import KeyPath

_HINT = "refer to an existing Secret, an ExternalSecret or a CSI volume by name instead"

# The last words of a key whose value is the secret itself; secretName, existingSecret or tokenAudience are not.
_NAMES = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|token|api_?key|(?:client|shared|app)_secret|(?:secret|private)_(?:access_)?key)$|^secret$"
)
# It names a Secret, and there is one name that it may have (config/own_ca.py).
_CA = re.compile(r"(?:environments\.[^.]+\.(?:clouds\.[^.]+\.)?)?ca\.secret")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def find_secrets(document: Document) -> Iterator[Problem]:
    """A problem for each value that looks like a secret."""
    for path, name, value in _texts(document.values, (), ""):
        if what := shape(value) if _CA.fullmatch(".".join(path)) else _looks_like(name, value):
            yield document.problem(path, f"{'.'.join(path)} looks like {what}; secrets are not allowed in files or flags", _HINT)


def _texts(value: Any, path: KeyPath, name: str) -> Iterator[tuple[KeyPath, str, str]]:
    """Every text with its path and the name that says what it is for."""
    if isinstance(value, str):
        yield path, name, value
    elif isinstance(value, Mapping):
        # An item of a container's env: its name says what its value is.
        named = value.get("name") if "value" in value else None
        for key, item in value.items():
            yield from _texts(item, (*path, key), named if key == "value" and isinstance(named, str) else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, str(index)), "")


def _looks_like(name: str, value: str) -> str:
    if what := shape(value):
        return what
    words = _CAMEL.sub("_", name).replace("-", "_").lower()
    return "a secret" if value and _NAMES.search(words) and not is_reference(value) else ""
