"""What rules look at: a request after its token was read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.model.authz import Request

# Headers that a proxy writes, changes or removes before rules see them.
_OF_ENVOY = ("x-envoy-", "x-forwarded-")
_NAMES_OF_ENVOY = frozenset({"x-request-id", "connection", "transfer-encoding", "upgrade", "te", "keep-alive", "via", "content-length"})


class UnknownError(Exception):
    """A rule goes by something that neither the request nor the files tell."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as the filters of authorization get it.

    ``path`` is normalised and without a query; ``claims`` are those of an accepted token; ``of_tokens`` are headers that carry a token
    or what the proxy writes from one.
    """

    request: Request
    path: str = ""
    claims: Mapping[str, Any] | None = None
    of_tokens: frozenset[str] = frozenset()

    def header(self, name: str) -> str | None:
        """The value of a header, None without; raises UnknownError."""
        lower, http = name.lower(), self.request.http
        if lower in self.of_tokens:
            raise UnknownError(f"the header {name}, whose value a token decides")
        if lower.startswith(_OF_ENVOY) or lower in _NAMES_OF_ENVOY:
            raise UnknownError(f"the header {name}, which the proxy itself writes")
        if http is None:
            return None
        special = {":method": http.method, ":authority": http.host, "host": http.host}
        if lower.startswith(":") and lower not in special:
            raise UnknownError(f"the header {name}")
        return special[lower] if lower in special else http.headers.get(lower)

    def claim(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """The texts of a claim, which may be a list; empty where it is something else or not there."""
        found: Any = self.claims
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(found, str):
            return (found,)
        return tuple(item for item in found if isinstance(item, str)) if isinstance(found, list | tuple) else ()
