"""Task groups whose errors arrive as themselves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from meshinstall.errors import MeshinstallError


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """An anyio task group; a MeshinstallError among its errors is raised in the group's stead."""
    try:
        async with anyio.create_task_group() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise _telling(errors) from None


def _telling(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    matching, rest = errors.split(MeshinstallError)
    if matching and not rest:
        return _first(matching)
    return _first(errors) if len(errors.exceptions) == 1 else errors


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
