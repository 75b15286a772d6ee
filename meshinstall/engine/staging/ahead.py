"""Plans of the pieces that come next, made while the gate of what was done is asked: both look alone, and change nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from meshinstall.engine.planning import make_plan
from meshinstall.engine.session import Session
from meshinstall.errors import MeshinstallError
from meshinstall.model.desired import Desired
from meshinstall.model.plan import Plan

# Seconds after which a plan is made again: what others change meanwhile counts.
_OLD = 30.0


@dataclass(slots=True)
class _Making:
    """A plan that is being made; ``plan`` stays None where it failed."""

    desired: Desired
    done: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    begun: float = field(default_factory=anyio.current_time)
    plan: Plan | None = None


class PlansAhead:
    """At most one plan at a time is made ahead, in ``group``, of the first in ``coming`` that was not taken yet.

    Whoever changed the mesh calls ``begin`` afterwards: a plan is never older than the last change of its own run.
    """

    def __init__(self, session: Session, coming: Iterable[Desired] = (), group: TaskGroup | None = None) -> None:
        self._session = session
        self._coming = list(coming)
        self._group = group
        self._making: _Making | None = None

    def begin(self) -> None:
        """Begin with what comes next; one that was begun before the last change is thrown away."""
        self._drop()
        if self._group is None or not self._coming:
            return
        self._making = _Making(self._coming[0])
        self._group.start_soon(self._make, self._making)

    async def take(self, desired: Desired) -> Plan:
        """The plan of this part of the mesh, made now where there is none of it; raises what making it raises."""
        making, self._making = self._making, None
        if desired in self._coming:
            del self._coming[: self._coming.index(desired) + 1]
        if making and making.desired == desired:
            await making.done.wait()
            if making.plan and anyio.current_time() - making.begun < _OLD:
                return making.plan
        elif making:
            making.scope.cancel()
        return await make_plan(desired, self._session, explains=False)

    async def _make(self, making: _Making) -> None:
        try:
            with making.scope:
                making.plan = await make_plan(making.desired, self._session, explains=False)
        except MeshinstallError:
            # Whoever takes it makes it again, and is told then.
            pass
        finally:
            making.done.set()

    def _drop(self) -> None:
        if self._making:
            self._making.scope.cancel()
        self._making = None
