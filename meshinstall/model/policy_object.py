"""An object of a file that a user wrote, with the place of each of its fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from meshinstall.model.foreign_text import plain
from meshinstall.model.values import KeyPath


@dataclass(frozen=True, slots=True)
class PolicyObject:
    """An object of Kubernetes as it stands in ``source``; ``positions`` has line and column of every key and list item."""

    source: str
    manifest: Mapping[str, Any]
    positions: Mapping[KeyPath, tuple[int, int]]

    @property
    def kind(self) -> str:
        """Such as AuthorizationPolicy; empty where it has none."""
        return _text(self.manifest.get("kind"))

    @property
    def group(self) -> str:
        """Such as security.istio.io; empty for the core of Kubernetes."""
        return _text(self.manifest.get("apiVersion")).rpartition("/")[0]

    @property
    def namespace(self) -> str:
        """Where it is; kubectl's own default where it says none."""
        return _text(self._metadata.get("namespace")) or "default"

    @property
    def name(self) -> str:
        """Its name, without control characters."""
        return _text(self._metadata.get("name"))

    @property
    def labels(self) -> Mapping[str, Any]:
        """Its labels."""
        return _map(self._metadata.get("labels"))

    @property
    def annotations(self) -> Mapping[str, Any]:
        """Its annotations."""
        return _map(self._metadata.get("annotations"))

    @property
    def created(self) -> datetime | None:
        """When a cluster made it; None for an object of a file."""
        try:
            return datetime.fromisoformat(_text(self._metadata.get("creationTimestamp")))
        except ValueError:
            return None

    @property
    def spec(self) -> Mapping[str, Any]:
        """What it wants; empty where it has none."""
        return _map(self.manifest.get("spec"))

    @property
    def _metadata(self) -> Mapping[str, Any]:
        return _map(self.manifest.get("metadata"))

    def place(self, path: KeyPath) -> tuple[int, int]:
        """Line and column of ``path``, or of its nearest written parent."""
        found = (self.positions[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.positions)
        return next(found, (0, 0))

    def __str__(self) -> str:
        """Such as AuthorizationPolicy shop/web."""
        return f"{self.kind} {self.namespace}/{self.name}"


def _text(value: Any) -> str:
    return plain(value) if isinstance(value, str) else ""


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
