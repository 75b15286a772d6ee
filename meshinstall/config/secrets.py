"""Finds secrets in the configuration; no message contains their value."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.config.source import Document
from meshinstall.errors import Problem
from meshinstall.model.values import KeyPath

_HINT = "refer to an existing Secret, an ExternalSecret or a CSI volume by name instead"

# What the formats of the issuers look like.
_SHAPES = (
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")),
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a JSON web token", re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.")),
    ("a bearer token", re.compile(r"\bbearer\s+[A-Za-z0-9._~+/-]{16,}", re.IGNORECASE)),
    ("a GitHub token", re.compile(r"\b(?:gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})")),
    ("a Google API key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("an Azure storage key", re.compile(r"\bAccountKey=[A-Za-z0-9+/=]{40,}")),
    ("a password in a URL", re.compile(r"://[^/\s:@]+:[^/\s@$]+@")),
)
# The last words of a key whose value is the secret itself; secretName, existingSecret or tokenAudience are not.
_NAMES = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|token|api_?key|(?:client|shared|app)_secret|(?:secret|private)_(?:access_)?key)$|^secret$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# A reference, a template, a path, or a word that switches something.
_REFERENCE = re.compile(
    r"\$[({].*|.*\{\{.*|/.*|(?:vault|ref\+[a-z0-9]+|secretref|file|env):.*|true|false|none|null|disabled|enabled", re.IGNORECASE
)


def find_secrets(document: Document) -> Iterator[Problem]:
    """A problem for each value that looks like a secret."""
    for path, name, value in _texts(document.values, (), ""):
        if what := _looks_like(name, value):
            yield document.problem(path, f"{'.'.join(path)} looks like {what}; secrets are not allowed in files or flags", _HINT)


def hides(value: Any, name: str) -> bool:
    """Whether a value whose key is ``name``, or anything in it, looks like a secret."""
    return any(_looks_like(inner, text) for _, inner, text in _texts(value, (), name))


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
    for what, shape in _SHAPES:
        if shape.search(value):
            return what
    words = _CAMEL.sub("_", name).replace("-", "_").lower()
    return "a secret" if value and _NAMES.search(words) and not _REFERENCE.fullmatch(value) else ""
