"""The stack of a command is one piece of memory: no depth at which calls happen to be made is slow."""

import resource

import anyio
import pytest

from meshinstall.cli.running import in_one_piece, in_thread, in_time

# Calls at each depth, and depths: frames of a few hundred bytes come to more than one piece of 16 KiB.
_CALLS, _DEPTHS, _LEVELS = 200, 300, 5


def _new_pages(depth: int) -> int:
    """The pages of memory that this thread is given during many calls at such a depth."""
    if depth:
        return _new_pages(depth - 1)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(_CALLS):
        _descend(_LEVELS)
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


def _descend(levels: int) -> None:
    """A few calls below, so that no border falls between two depths."""
    if levels:
        _descend(levels - 1)


def _most() -> int:
    return max(_new_pages(depth) for depth in range(_DEPTHS))


@pytest.mark.parametrize("way", ["all", "in time", "in a thread"])
def test_no_call_in_a_loop_gets_new_memory_each_time(way: str) -> None:
    match way:
        case "in time":
            most = in_time(_most, 60)
        case "in a thread":
            most = anyio.run(in_thread, _most)
        case _:
            most = in_one_piece(_most)
    assert most < _CALLS / 2
