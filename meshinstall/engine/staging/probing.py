"""One pair of probes for all looks of a run: to start them takes longer than to look."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Self

import anyio

from meshinstall.engine.probe.prober import Announce, Prober
from meshinstall.engine.session import Session

# Seconds that one pair serves: other runs take older ones for forgotten, and remove them.
_OLD = 600.0

Tell = Callable[[str], None]
# Starts probes that get their proxies from the istiod of a revision, of the default one where it is empty.
Start = Callable[[Session, Tell, str, Announce], AbstractAsyncContextManager[Prober]]


class SharedProbes:
    """Probes that are started when they are asked for, and again when they are old or have trouble; with no ``start`` there are none.

    ``revision`` is the istiod of those that are started next; the block's end removes them. ``announce`` hears of each namespace.
    """

    def __init__(self, start: Start | None, session: Session, tell: Tell, announce: Announce) -> None:
        self.revision = ""
        self._announce = announce
        self._start = start
        self._session = session
        self._tell = tell
        self._stack = AsyncExitStack()
        self._prober: Prober | None = None
        self._since = 0.0

    async def __aenter__(self) -> Self:
        """Nothing is started yet."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Remove them, however the block ends."""
        await self._stack.__aexit__(kind, error, trace)

    async def ready(self) -> Prober | None:
        """The probes; None where a look starts its own."""
        if self._start is None:
            return None
        now = anyio.current_time()
        if self._prober is None or self._prober.problem or now - self._since > _OLD:
            await self.end()
            self._prober = await self._stack.enter_async_context(self._start(self._session, self._tell, self.revision, self._announce))
            self._since = now
        return self._prober

    async def of(self, revision: str) -> str:
        """Let the looks that follow have probes of the istiod of ``revision``; why they do not run, and then they keep those of before."""
        before, self.revision = self.revision, revision
        await self.end()
        found = await self.ready()
        problem = (found.problem or "; ".join(found.gaps)) if found else "no pods are started"
        if problem:
            await self.end()
            self.revision = before
        return problem

    async def end(self) -> None:
        """Remove them: the next look starts others."""
        self._prober = None
        await self._stack.aclose()
