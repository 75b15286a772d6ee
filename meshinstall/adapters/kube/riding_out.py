"""Sends a request until it has an answer of its own, as long as adapters/kube/patience.py says."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import anyio

from meshinstall.adapters.kube import patience
from meshinstall.adapters.kube.exchange import APPLY, FIELD_MANAGER, BrokenOffError, Reply, Request
from meshinstall.adapters.kube.patience import Trouble
from meshinstall.adapters.net.retry_after import retry_after
from meshinstall.errors import ClusterError, UnreachableError

# Tries of a server that never answered: one that is wrongly named or down does the same again and again.
_FIRST_TRIES = 3


class Patient:
    """Rides out what passes.

    ``once`` sends a request, ``refusal`` makes an error of an answer, ``say`` hears of trouble, once for all requests that have it.
    """

    def __init__(
        self, once: Callable[[Request], Awaitable[Reply]], refusal: Callable[[Reply, Request], ClusterError], say: Callable[[str], None]
    ) -> None:
        self._once = once
        self._refusal = refusal
        self._say = say
        self._answered = False
        self._quiet_until = 0.0

    async def reply(self, request: Request) -> Reply:
        """The first answer that is about the request itself, whatever its status; raises UnreachableError when none comes.

        A write that may have been done is looked for before it is sent again.
        """
        started, tries, may_be_done = anyio.current_time(), 0, False
        while True:
            tries += 1
            after = None
            try:
                if may_be_done and (done := await self._done(request)):
                    return done
                reply = await self._once(request)
            except UnreachableError as error:
                if not self._answered and (tries >= _FIRST_TRIES or not isinstance(error, BrokenOffError)):
                    raise
                found, failure = Trouble.UNKNOWN, error
            else:
                self._answered = True
                passing = patience.trouble(request.method, request.path, reply.status, reply.body)
                if passing is None:
                    return await self._settled(reply, request) if may_be_done else reply
                found, after = passing, retry_after(reply.after, datetime.now(UTC))
                failure = UnreachableError(*_words(self._refusal(reply, request)))
            may_be_done = may_be_done or (found is Trouble.UNKNOWN and bool(request.changes))
            seconds = patience.pause(tries, anyio.current_time() - started, after)
            if seconds is None:
                raise failure
            self._tell(failure, seconds)
            await anyio.sleep(seconds)

    async def _settled(self, reply: Reply, request: Request) -> Reply:
        """The answer to a write that was sent twice: its first try may be what the second one is in conflict with."""
        if reply.status == HTTPStatus.CONFLICT and (done := await self._done(request)):
            return done
        return reply

    async def _done(self, request: Request) -> Reply | None:
        """The object when it is as a write wanted it; None when it is not. Raises ClusterError when that cannot be seen."""
        look = Request("GET", request.changes)
        reply = await self._once(look)
        if reply.status == HTTPStatus.NOT_FOUND:
            return reply if request.method == "DELETE" else None
        if reply.status >= HTTPStatus.BAD_REQUEST:
            error = self._refusal(reply, look)
            passing = patience.trouble(look.method, look.path, reply.status, reply.body)
            raise UnreachableError(*_words(error)) if passing else error
        return reply if _is_done(request, reply.body) else None

    def _tell(self, failure: ClusterError, seconds: float) -> None:
        now = anyio.current_time()
        if now >= self._quiet_until:
            self._quiet_until = now + patience.LONGEST
            self._say(f"{failure.message}; trying again in {seconds:g} s, for at most {patience.LONGEST:g} s")


def _is_done(request: Request, live: dict[str, Any]) -> bool:
    metadata = live.get("metadata") or {}
    if request.method == "DELETE":
        return "deletionTimestamp" in metadata
    if request.content == APPLY and not any(
        (one.get("manager"), one.get("operation")) == (FIELD_MANAGER, "Apply") for one in metadata.get("managedFields") or ()
    ):
        return False
    return patience.is_done(request.body or {}, live, exactly=request.method != "POST")


def _words(error: ClusterError) -> tuple[str, str]:
    return error.message, error.hint or "wait a moment, then repeat the command"
