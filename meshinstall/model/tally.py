"""What a gate counts beside what it judges: the proxies of a mesh by revision, and the requests that it made of its own."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ProxyGroup:
    """Proxies of one version that are connected to the istiod of one revision; empty where no istiod lists them, or no Envoy answered."""

    revision: str
    version: str
    count: int


@dataclass(frozen=True, slots=True)
class ProxyTally:
    """The proxies of ready pods at the time ``at``, the oldest version first; ``not_ready`` counts the pods that are not ready.

    ``is_whole``: all pods could be listed. Else there may be more.
    """

    at: datetime
    groups: tuple[ProxyGroup, ...] = ()
    not_ready: int = 0
    is_whole: bool = True

    def is_like(self, other: "ProxyTally | None") -> bool:
        """Whether another one counted the same, whenever that was."""
        return other is not None and (self.groups, self.not_ready, self.is_whole) == (other.groups, other.not_ready, other.is_whole)


# Failed requests that are named.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of a gate's own: connections of its probes, and questions to webhooks; ``failures`` are the first that ``failed``."""

    asked: int = 0
    failed: int = 0
    failures: tuple[str, ...] = ()

    def __add__(self, other: "Requests") -> "Requests":
        """Those of both."""
        return Requests(self.asked + other.asked, self.failed + other.failed, (*self.failures, *other.failures)[:_NAMED])


@dataclass(frozen=True, slots=True)
class Counted:
    """What the gates of a run counted: the proxies as the last of them saw them, None before the first, and all requests."""

    proxies: ProxyTally | None = None
    requests: Requests = Requests()
