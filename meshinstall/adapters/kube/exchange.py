"""One request to the API server and its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from meshinstall.errors import ClusterError, UnreachableError
from meshinstall.model.release import Manifest

FIELD_MANAGER = "meshinstall"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Request:
    """One request; empty query values are left out."""

    method: str
    path: str
    body: Manifest | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    accept: str = "application/json"
    content: str = "application/json"
    missing_ok: bool = False

    @property
    def changes(self) -> str:
        """The path of the object that it changes; empty for a look, a dry run, and what the server only answers, such as a review."""
        if self.method == "GET" or self.query.get("dryRun"):
            return ""
        if self.method != "POST":
            return self.path
        name = ((self.body or {}).get("metadata") or {}).get("name")
        return f"{self.path}/{name}" if name else ""

    def target(self) -> str:
        """Path and query."""
        text = urlencode({key: value for key, value in self.query.items() if value})
        return f"{self.path}?{text}" if text else self.path


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; ``warnings`` are headers as they were sent, ``after`` is what Retry-After has."""

    status: int
    body: dict[str, Any]
    warnings: tuple[str, ...] = ()
    after: str = ""


class BrokenOffError(UnreachableError):
    """The connection ended before the answer did: whether the request was done is not known."""


class ExpiredError(ClusterError):
    """The rest of a list is not kept any more (410)."""
