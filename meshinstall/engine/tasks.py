"""Task groups whose errors arrive as themselves, and questions asked side by side."""

import math
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Generic, TypeVar, TypeVarTuple, Unpack

import anyio
from anyio.abc import TaskGroup

from meshinstall.errors import MeshinstallError, OutOfTimeError

_Input = TypeVar("_Input")
_Answer = TypeVar("_Answer")
_Given = TypeVarTuple("_Given")

# Seconds for one thing that is cleaned up where a run was stopped: helm takes two before, there may be three such things, and after
# 4.5 the process ends.
_HURRIED = 1.0


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """An anyio task group; a MeshinstallError among its errors is raised in the group's stead."""
    try:
        async with anyio.create_task_group() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise _telling(errors) from None


@contextmanager
def closing(seconds: float) -> Iterator[None]:
    """A block that is done however a run ends, within ``seconds``; a run that was stopped, or is out of time, does not wait so long."""
    stopping = isinstance(sys.exc_info()[1], (OutOfTimeError, anyio.get_cancelled_exc_class()))
    is_stopped = stopping or anyio.current_effective_deadline() == -math.inf
    with anyio.CancelScope(shield=True), anyio.move_on_after(min(seconds, _HURRIED) if is_stopped else seconds):
        yield


@asynccontextmanager
async def in_time(seconds: float, what: str) -> AsyncIterator[None]:
    """A block that has ``seconds``; raises OutOfTimeError, which says ``what`` was not done."""
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError:
        raise OutOfTimeError(f"{what} within {seconds:g} s", "raise --timeout, or check that the cluster answers") from None


async def gather(items: Iterable[_Input], ask: Callable[[_Input], Awaitable[_Answer]]) -> dict[_Input, _Answer]:
    """Ask for all ``items`` at the same time; map each to its answer."""
    answers: dict[_Input, _Answer] = {}

    async def one(item: _Input) -> None:
        answers[item] = await ask(item)

    async with task_group() as group:
        for item in items:
            group.start_soon(one, item)
    return answers


class Later(Generic[_Answer]):
    """An answer that is there when its task group has ended."""

    def __init__(self) -> None:
        self._answers: list[_Answer] = []

    @property
    def value(self) -> _Answer:
        """The answer."""
        return self._answers[0]

    async def wait_for(self, ask: Callable[[Unpack[_Given]], Awaitable[_Answer]], *given: *_Given) -> None:
        """Ask, and keep the answer."""
        self._answers.append(await ask(*given))


def soon(group: TaskGroup, ask: Callable[[Unpack[_Given]], Awaitable[_Answer]], *given: *_Given) -> Later[_Answer]:
    """Ask in a task group, beside whatever else is asked in it."""
    later: Later[_Answer] = Later()
    group.start_soon(later.wait_for, ask, *given)
    return later


def _telling(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    matching, rest = errors.split(MeshinstallError)
    if matching and not rest:
        return _first(matching)
    return _first(errors) if len(errors.exceptions) == 1 else errors


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
