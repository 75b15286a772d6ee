"""What rules look at: a request after its token was read."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from meshinstall.model.authz import Normalization, Request

# Headers that a proxy writes, changes or removes before rules see them.
_OF_ENVOY = ("x-envoy-", "x-forwarded-")
_NAMES_OF_ENVOY = frozenset({"x-request-id", "connection", "transfer-encoding", "upgrade", "te", "keep-alive", "via", "content-length"})


_One = TypeVar("_One")


class UnknownError(Exception):
    """A rule goes by something that neither the request nor the files tell."""


def some(many: Iterable[_One], holds: Callable[[_One], bool]) -> bool:
    """Whether one holds, whatever the unknown ones do; raises UnknownError where only an unknown one may."""
    unknown = None
    for one in many:
        try:
            if holds(one):
                return True
        except UnknownError as error:
            unknown = unknown or error
    if unknown:
        raise unknown
    return False


def every(many: Iterable[_One], holds: Callable[[_One], bool]) -> bool:
    """Whether all hold: one that does not decides, whatever the unknown ones do; raises UnknownError where an unknown one decides."""
    return not some(many, lambda one: not holds(one))


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as the filters of authorization get it.

    ``normalization`` is what the proxy makes of its path; ``claims`` are those of an accepted token; ``of_tokens`` are headers that
    carry a token or what the proxy writes from one.
    """

    request: Request
    normalization: Normalization = Normalization.BASE
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
        if lower in {":authority", "host"} and not http.host:
            raise UnknownError("the host, which the request does not say")
        return special[lower] if lower in special else http.headers.get(lower)

    def claim(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """The texts of a claim, which may be a list; empty where it is something else or not there."""
        found: Any = self.claims
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(found, str):
            return (found,)
        return tuple(item for item in found if isinstance(item, str)) if isinstance(found, list | tuple) else ()
