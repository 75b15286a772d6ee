"""Runs one program without a shell, with bounds on its output and on the time that it takes to stop."""

import asyncio
import errno
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import anyio

from meshinstall.adapters.leash import LEASH, WORD
from meshinstall.errors import HelmError

MAX_OUTPUT = 64 * 1024**2
# Seconds between SIGTERM and SIGKILL: Helm uses them to record the release as failed.
GRACE = 2.0
# Seconds that a pipe may stay open after the program ended: a child it left behind may hold it for ever.
_LINGER = 0.5
# Waits for a word of ours before it becomes the program. A run that is killed before its leash holds the program, or before the
# program has its input, would leave one that takes the end of its input for empty values, and carries on with them.
GATE = ("/bin/sh", "-c", 'IFS= read -r word && [ "$word" = go ] || exit 125; exec "$@"', "sh")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended and what it wrote; ``status`` is negative for a signal."""

    status: int
    stdout: bytes
    stderr: bytes


class _Conversation(asyncio.SubprocessProtocol):
    """Collects the output of a program and tracks its end."""

    def __init__(self) -> None:
        self.written = {1: bytearray(), 2: bytearray()}
        self.too_much = False
        self.stop = asyncio.Event()  # it ended, or wrote too much
        self.ended = asyncio.Event()  # it ended
        self.finished = asyncio.Event()  # it ended and nobody holds its pipes
        self._open_pipes = {1, 2}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep what came, up to the bound."""
        self.written[fd] += data
        if len(self.written[fd]) > MAX_OUTPUT:
            self.too_much = True
            self.written[fd].clear()
            self.stop.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Note that a pipe has no writer any more."""
        self._open_pipes.discard(fd)
        if self.ended.is_set() and not self._open_pipes:
            self.finished.set()

    def process_exited(self) -> None:
        """Note that the program itself ended."""
        self.ended.set()
        self.stop.set()
        if not self._open_pipes:
            self.finished.set()


async def run(argv: Sequence[str], stdin: bytes, environment: Mapping[str, str]) -> Outcome:
    """Run ``argv`` in a process group of its own; when cancelled, end the whole group within seconds.

    It gets all of ``stdin``, or does not begin. Raises OSError when the program cannot be started and HelmError when it
    writes more than MAX_OUTPUT bytes.
    """
    if shutil.which(argv[0], path=environment.get("PATH")) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
    # SubprocessProtocol and not the streams: its process_exited comes when the program
    # ends, where Process.wait() of some Python versions waits for every holder of a pipe.
    transport, conversation = await asyncio.get_running_loop().subprocess_exec(
        _Conversation, *GATE, *argv, env=dict(environment), start_new_session=True
    )
    try:
        with LEASH.holding(-transport.get_pid()):
            return await _talk(transport, conversation, argv[0], stdin)
    finally:
        transport.close()


async def _talk(transport: asyncio.SubprocessTransport, conversation: _Conversation, name: str, stdin: bytes) -> Outcome:
    try:
        _send(transport, stdin)
        await conversation.stop.wait()
        if conversation.too_much:
            await _end_group(transport.get_pid(), conversation)
            raise HelmError(f"{name} wrote more than {MAX_OUTPUT // 1024**2} MiB and was stopped")
        with anyio.move_on_after(_LINGER):
            await conversation.finished.wait()
        return Outcome(transport.get_returncode() or 0, *(bytes(conversation.written[fd]) for fd in (1, 2)))
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            await _end_group(transport.get_pid(), conversation)
        raise


def _send(transport: asyncio.SubprocessTransport, stdin: bytes) -> None:
    pipe = cast("asyncio.WriteTransport", transport.get_pipe_transport(0))
    # One write: a word without the beginning of the values, which are JSON, is never sent.
    pipe.write(WORD + stdin)
    pipe.write_eof()


async def _end_group(group: int, conversation: _Conversation) -> None:
    """SIGTERM, a grace, then SIGKILL: what the program started may outlive it, so the group always gets both."""
    _signal(group, signal.SIGTERM)
    with anyio.move_on_after(GRACE):
        await conversation.finished.wait()
    _signal(group, signal.SIGKILL)
    with anyio.move_on_after(GRACE):
        await conversation.ended.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
