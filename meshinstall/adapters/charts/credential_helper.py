"""Asks docker-credential-* programs for a login, by docker's protocol: https://github.com/docker/docker-credential-helpers#development."""

import os
import re
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from meshinstall.errors import safe
from meshinstall.model import json_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen

# Seconds; some ask a cloud, or wait for a keychain.
PATIENCE = 30.0
# Bytes; a token of a cloud's registry has some 4,000.
_MAX_ANSWER = 64 * 1024
_PIECE = 4096
# Seconds between two looks at the clock.
_LOOK = 0.1
_MAX_SHOWN = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOTHING = "credentials not found in native keychain"


class HelperError(Exception):
    """A helper did not answer as it should; the text names it and holds nothing of its answer."""


class Stored(NamedTuple):
    """What a helper keeps for a registry."""

    username: str
    secret: str


def program(helper: str) -> str:
    """The name of the program behind a name in a configuration file."""
    return f"docker-credential-{helper}"


def ask(helper: str, server: str, left: "Callable[[], float]", patience: float = PATIENCE) -> Stored | None:
    """What ``helper`` keeps for ``server``, None when it has nothing; raises HelperError.

    ``left`` gives the seconds that remain of the operation, or raises what ends it; the program and what it started end with it.
    """
    name = program(helper)
    path = shutil.which(name) if _NAME.fullmatch(helper) else None
    # A relative folder in PATH would run a program of whatever folder this is started in.
    if not path or not Path(path).is_absolute():
        raise HelperError(f"{name} is not on PATH")
    status, written, complaint = _run(path, name, server, left, patience)
    if status:
        if written.decode(errors="replace").strip() == _NOTHING:
            return None
        raise HelperError(f"{name} exited with status {status}{_last_line(complaint)}")
    try:
        answer = json_text.load(written)
        found = Stored(answer.get("Username") or "", answer.get("Secret") or "")
        is_text = all(isinstance(part, str) for part in found)
    except (ValueError, AttributeError):
        is_text = False
    if not is_text:
        raise HelperError(f"{name} did not print a login in JSON")
    return found if found.secret else None


def _run(path: str, name: str, server: str, left: "Callable[[], float]", patience: float) -> tuple[int, bytes, bytes]:
    """Exit status, and what it wrote to stdout and stderr."""
    from subprocess import PIPE, Popen

    try:
        process = Popen([path, "get"], stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True, bufsize=0)
    except OSError as error:
        raise HelperError(f"{name} cannot be started: {error.strerror}") from error
    with process:
        try:
            with suppress(BrokenPipeError), cast("IO[bytes]", process.stdin) as question:
                question.write(server.encode())
            written, complaint = _listen(process, name, left, patience)
            return process.wait(), written, complaint
        finally:
            # What it started may hold its pipes and outlive it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()


def _listen(process: "Popen[bytes]", name: str, left: "Callable[[], float]", patience: float) -> tuple[bytes, bytes]:
    """All that it writes until it ends."""
    end = time.monotonic() + patience
    written = {"stdout": bytearray(), "stderr": bytearray()}
    with DefaultSelector() as selector:
        for stream, kind in ((process.stdout, "stdout"), (process.stderr, "stderr")):
            selector.register(cast("IO[bytes]", stream), EVENT_READ, kind)
        while selector.get_map():
            if time.monotonic() > end:
                raise HelperError(f"{name} did not answer within {patience:g} s")
            ready = selector.select(min(_LOOK, left()))
            for key, _ in ready:
                piece = os.read(key.fd, _PIECE)
                written[key.data] += piece
                if not piece:
                    selector.unregister(key.fileobj)
                if len(written[key.data]) > _MAX_ANSWER:
                    raise HelperError(f"{name} printed more than {_MAX_ANSWER // 1024} KiB")
            if not ready and process.poll() is not None:
                # A child that it left behind holds its pipes.
                break
        while process.poll() is None:
            if time.monotonic() > end:
                raise HelperError(f"{name} did not end within {patience:g} s")
            time.sleep(min(_LOOK, left()))
    return bytes(written["stdout"]), bytes(written["stderr"])


def _last_line(complaint: bytes) -> str:
    lines = complaint.decode(errors="replace").strip().splitlines()
    return f": {safe(lines[-1][:_MAX_SHOWN], '')}" if lines else ""
