"""The fields of one cluster, user or context of a kubeconfig, with errors that name the field and never what it holds."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meshinstall.errors import ClusterError, UsageError

# Go: encoding/base64, StdEncoding. Line breaks are left out before.
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
# Go: golang.org/x/net/http/httpguts, ValidHeaderFieldValue.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One named item of a kubeconfig and the folder that its relative paths count from."""

    content: Mapping[str, Any]
    folder: Path


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of ``entry``; ``what`` and ``source`` name it in errors. Every method raises UsageError for a wrong type."""

    entry: Entry
    what: str
    source: str

    def wrong(self, key: str, problem: str) -> UsageError:
        """The error for a field."""
        return UsageError(f"{key} of {self.what} in the kubeconfig {self.source} {problem}")

    def has(self, key: str) -> bool:
        """Whether the field is set to something."""
        return bool(self.entry.content.get(key))

    def text(self, key: str) -> str:
        """A text; empty where it is not set."""
        value = self._typed(key, str, "is not text: put it in quotes")
        return value or ""

    def flag(self, key: str) -> bool:
        """True or false."""
        return bool(self._typed(key, bool, "is neither true nor false"))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        found = self._typed(key, list, "is not a list") or []
        if not all(isinstance(one, str) for one in found):
            raise self.wrong(key, "holds something that is not text: put it in quotes")
        return tuple(found)

    def pairs(self, key: str) -> dict[str, str]:
        """A list of names and values, as variables of the environment are written."""
        found = {}
        for item in self._typed(key, list, "is not a list") or []:
            name, value = (item.get("name"), item.get("value", "")) if isinstance(item, Mapping) else (None, None)
            if not (isinstance(name, str) and name and isinstance(value, str)):
                raise self.wrong(key, "must be a list of name and value, both text")
            found[name] = value
        return found

    def inner(self, key: str) -> "Fields | None":
        """A map inside of it."""
        found = self._typed(key, Mapping, "is not a map")
        return None if found is None else replace(self, entry=replace(self.entry, content=found), what=f"{key} of {self.what}")

    def header(self, key: str) -> str:
        """A text that goes into a header."""
        return self._sendable(key, self.text(key))

    def headers(self, key: str) -> tuple[str, ...]:
        """A list of such texts."""
        return tuple(self._sendable(key, one) for one in self.texts(key))

    def header_map(self, key: str) -> dict[str, tuple[str, ...]]:
        """A map of such lists."""
        inner = self.inner(key)
        return {} if inner is None else {name: inner.headers(name) for name in inner.entry.content}

    def path(self, key: str) -> Path | None:
        """A path, which counts from the kubeconfig's folder."""
        text = self.text(key)
        if "\0" in text:
            raise self.wrong(key, "holds a character that no path has")
        return self.entry.folder / text if text else None

    def file(self, key: str) -> Path | None:
        """The file that ``KEY`` names where there is no ``KEY-data``."""
        return None if self.has(f"{key}-data") else self.path(key)

    def pem(self, key: str) -> bytes | None:
        """What ``KEY-data`` holds, or the file that ``KEY`` names; raises ClusterError, also where both are there."""
        if (data := self.text(f"{key}-data")) and self.has(key):
            # helm refuses it too (client-go: tools/clientcmd/validation.go), and would do so in the middle of a run.
            raise self.wrong(key, f"is there besides {key}-data, and kubectl and helm take one of the two only: remove one")
        if data:
            return self._decoded(f"{key}-data", data)
        path = self.file(key)
        if path is None:
            return None
        try:
            found = path.read_bytes()
        except OSError as error:
            raise ClusterError(f"{key} in the kubeconfig: {error.strerror}: {path}") from error
        if not found:
            raise ClusterError(f"{key} of {self.what} in the kubeconfig {self.source} is an empty file: {path}")
        return found

    def extension(self, name: str) -> Any:
        """The extension of a name; None when there is none."""
        for item in self._typed("extensions", list, "is not a list") or []:
            if isinstance(item, Mapping) and item.get("name") == name:
                return item.get("extension")
        return None

    def _typed(self, key: str, kind: type, problem: str) -> Any:
        value = self.entry.content.get(key)
        if value is not None and not isinstance(value, kind):
            raise self.wrong(key, problem)
        return value

    def _sendable(self, key: str, text: str) -> str:
        if _CONTROL.search(text):
            raise self.wrong(key, "holds a line break or another control character")
        return text

    def _decoded(self, key: str, data: str) -> bytes:
        plain = data.replace("\r", "").replace("\n", "")
        if not _BASE64.fullmatch(plain):
            raise ClusterError(f"{key} of {self.what} in the kubeconfig {self.source} is not base64")
        return base64.b64decode(plain)
