"""What a client of the API server rides out, for how long, and what it does before it asks again. Pure.

As client-go does, a request that the server did not take (429, 503 of a server that starts) is sent again. It goes further where a
proxy or an election of etcd answers in the server's place: reads are asked again, and of a write without an answer nobody knows
whether it was done, so that its object is read back first (client-go: rest/with_retry.go, rest/request.go).
"""

import re
from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from typing import Any

# Seconds: how long trouble is ridden out, as an API server of a single node is away when it restarts; and the pauses where the server
# names none, the last one again and again.
LONGEST = 30.0
_PAUSES = (0.5, 1.0, 2.0, 4.0)
_PASSING = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
# An etcd without a leader, or that changes it, as the API server passes it on with status 500 (etcd: server/etcdserver/errors).
_ELECTION = re.compile(r"etcdserver: |leader changed|transport is closing|connection error: desc =", re.IGNORECASE)
EVICTION = "/eviction"


class Trouble(Enum):
    """What is known of a request that brought no answer of its own."""

    # The server did not take it.
    REFUSED = "refused"
    # It may have been done.
    UNKNOWN = "unknown"


def trouble(method: str, path: str, status: int, body: Mapping[str, Any]) -> Trouble | None:
    """What an answer is a sign of; None for one that is about the request itself."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        # That of an eviction is the word of a PodDisruptionBudget, which stands until other pods are ready.
        return None if path.endswith(EVICTION) and method == "POST" else Trouble.REFUSED
    if status in _PASSING or (status == HTTPStatus.INTERNAL_SERVER_ERROR and _ELECTION.search(str(body.get("message") or ""))):
        return Trouble.UNKNOWN
    return None


def pause(tries: int, passed: float, after: float | None) -> float | None:
    """Seconds to wait after so many ``tries``, ``passed`` seconds after the first of them began; None when it would take too long.

    ``after`` is what the server asks for: to come earlier is no use, so a longer one than is left ends it at once.
    """
    seconds = _PAUSES[min(tries, len(_PAUSES)) - 1] if after is None else after
    return seconds if passed + seconds <= LONGEST else None


def is_done(sent: Mapping[str, Any], live: Mapping[str, Any], *, exactly: bool) -> bool:
    """Whether an object is as a write wanted it: it has all that was sent, and not what was sent as null.

    What the server writes itself is not compared, and lists only ``exactly``: the server and its webhooks add to those of a new object.
    """
    wanted = {name: value for name, value in sent.items() if name not in {"status", "apiVersion", "kind"}}
    metadata = {name: value for name, value in (sent.get("metadata") or {}).items() if name not in {"resourceVersion", "uid"}}
    return _holds(live, {**wanted, "metadata": metadata}, exactly=exactly)


def _holds(live: object, sent: object, *, exactly: bool) -> bool:
    if isinstance(sent, Mapping):
        there = live if isinstance(live, Mapping) else {}
        return all(_holds(there.get(name), value, exactly=exactly) for name, value in sent.items())
    if isinstance(sent, list):
        same = isinstance(live, list) and len(live) == len(sent)
        return not exactly or (same and all(_holds(one, other, exactly=True) for one, other in zip(live, sent, strict=True)))  # type: ignore[call-overload] # a list
    return live == sent
