"""Where an object stands."""

from typing import NamedTuple


class Place(NamedTuple):
    """A namespaced object: ``namespace/name``."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"
