"""Who calls in plaintext now, as the proxies that are called count it."""

from dataclasses import dataclass
from typing import NamedTuple


class Caller(NamedTuple):
    """A source that reached a workload without mutual TLS: both ``namespace/name``, a source without a proxy is "unknown".

    ``times`` are requests of HTTP and connections of everything else.
    """

    workload: str
    source: str
    times: int


@dataclass(frozen=True, slots=True)
class Callers:
    """What was counted in ``seconds``, None since the proxies started, by the proxies that were ``asked`` but for ``silent`` of them.

    ``uncounted`` are workloads whose proxies count nothing. ``identities`` are those who came with mutual TLS, by the principal of their
    certificates.
    """

    seconds: float | None
    asked: int
    found: tuple[Caller, ...] = ()
    uncounted: tuple[str, ...] = ()
    silent: int = 0
    identities: tuple[Caller, ...] = ()
