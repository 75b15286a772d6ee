"""Scouts that start while the gate of the control plane starts its own pods: both need no more than an istiod that is Ready."""

from collections.abc import Awaitable, Callable
from functools import partial

import anyio

from meshinstall.engine.staging.judging import Checks
from meshinstall.engine.tasks import soon, task_group
from meshinstall.errors import MeshinstallError
from meshinstall.model.gate import GateOutcome, worst_of

# Seconds after which scouts that were sent early are sent again.
_FRESH = 60.0

Ask = Callable[[], Awaitable[Checks]]
Tell = Callable[[str], None]
Scout = Callable[[Tell], Awaitable[Checks]]


class EarlyScouts:
    """What scouts found early counts where all of it is good; for all else the stage of the scouts sends its own.

    What they told is told by their stage.
    """

    def __init__(self) -> None:
        self._found: Checks = ()
        self._told: list[str] = []
        self._sent = 0.0

    async def beside(self, prove: Ask, scout: Scout) -> Checks:
        """What ``prove`` says, with the scouts beside it."""
        self._sent, self._told = anyio.current_time(), []
        async with task_group() as group:
            proof = soon(group, prove)
            early = soon(group, _good, partial(scout, self._told.append))
        self._found = early.value
        # The scouts may have taken their room.
        return proof.value if _is_good(proof.value) else await prove()

    async def found(self, scout: Scout, tell: Tell) -> Checks:
        """What was found early, once and while it is fresh; else what ``scout`` says."""
        found, self._found = self._found, ()
        if not found or anyio.current_time() - self._sent >= _FRESH:
            return await scout(tell)
        for text in self._told:
            tell(text)
        return found


async def _good(scout: Ask) -> Checks:
    """What scouts found that were all good."""
    try:
        checks = await scout()
    except MeshinstallError:
        return ()
    return checks if _is_good(checks) else ()


def _is_good(checks: Checks) -> bool:
    return worst_of(check.outcome for check in checks) is GateOutcome.PASS
