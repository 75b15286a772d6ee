"""Commands end: at their --timeout, at each signal, and whatever an API server does to keep them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from meshinstall import catalog
from testbed.waiting import until
from tests.cluster.mesh import hearing_ctrl_c
from tests.contracts.servers import QuietHandler, packed, serving

REPOSITORY = Path(__file__).parents[2]
# Seconds: what a command gets, how long a busy machine may take to start one, and until it is gone (4.5 s where nothing else runs).
TIMEOUT = "1"
START, GONE = 30, 15
TARGET = ("--env", "dev", "--cloud", "local", "--charts", "charts")
COMMANDS = {
    "status": ("status", "--env", "dev", "--cloud", "local"),
    "plan": ("plan", *TARGET),
    "check": ("check",),
    "up": ("up", *TARGET, "--yes"),
}


def drips(begin: bytes, then: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """A server that sends ``begin``, and then ``then`` again and again, or nothing."""

    def respond(request: BaseHTTPRequestHandler) -> None:
        with suppress(OSError):
            request.wfile.write(begin)
            while then:
                time.sleep(0.1)
                request.wfile.write(then)
            request.rfile.read(1)

    return respond


HEAD = b"HTTP/1.1 200 OK\r\n"
SERVERS = {
    "100 Continue for ever": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body for ever": drips(HEAD + b"\r\n", b" "),
}


class Run:
    """A command that was started in ``folder``."""

    def __init__(self, folder: Path, asked: list[str], *argv: str) -> None:
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(REPOSITORY), "KUBECONFIG": str(folder / "kubeconfig")}
        self.asked = asked
        self.process = subprocess.Popen(
            [sys.executable, "-m", "meshinstall", *argv],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hearing_ctrl_c,
        )

    def until_it_asks(self) -> None:
        """Wait for its first request."""
        until(lambda: bool(self.asked) or self.process.poll() is not None, START, lambda: "it asks nothing")

    def gone(self, seconds: float = 0) -> tuple[int, str]:
        """Its status and what it said, soon after so many seconds."""
        _, said = self.process.communicate(timeout=seconds + GONE)
        assert "Traceback" not in said, said
        return self.process.returncode, said


@contextmanager
def started(folder: Path, server: str, *argv: str) -> Iterator[Run]:
    """A command against such a server."""
    asked: list[str] = []

    class Handler(QuietHandler):
        def _answer(self) -> None:
            asked.append(self.path)
            SERVERS[server](self)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the names that http.server calls

    with serving(Handler) as address:
        (folder / "charts").mkdir()
        for name in ("base", "istiod", "gateway"):
            (folder / "charts" / f"{name}-{catalog.EXAMPLE_ISTIO}.tgz").write_bytes(packed(name, catalog.EXAMPLE_ISTIO))
        clusters = [{"name": "dev", "cluster": {"server": f"http://{address}"}}]
        contexts = [{"name": "dev", "context": {"cluster": "dev", "user": "dev"}}]
        config = {"current-context": "dev", "clusters": clusters, "contexts": contexts, "users": [{"name": "dev", "user": {"token": "t"}}]}
        (folder / "kubeconfig").write_text(json.dumps(config))
        run = Run(folder, asked, *argv)
        try:
            yield run
        finally:
            run.process.kill()
            run.process.communicate()


@pytest.mark.parametrize(
    ("command", "server"),
    [*((name, "100 Continue for ever") for name in COMMANDS), *(("status", name) for name in SERVERS if name != "100 Continue for ever")],
)
def test_a_command_ends_soon_after_its_time(tmp_path: Path, command: str, server: str) -> None:
    with started(tmp_path, server, *COMMANDS[command], "--timeout", TIMEOUT) as run:
        run.until_it_asks()
        status, said = run.gone(float(TIMEOUT))
    assert status == 1, said
    assert "within 1 s" in said or "in 1 s" in said, said
    assert "--timeout" in said, said


@pytest.mark.parametrize(
    ("command", "number"),
    [("status", signal.SIGINT), ("plan", signal.SIGTERM), ("up", signal.SIGHUP)],
)
def test_a_command_ends_soon_after_a_signal(tmp_path: Path, command: str, number: signal.Signals) -> None:
    with started(tmp_path, "100 Continue for ever", *COMMANDS[command]) as run:
        run.until_it_asks()
        run.process.send_signal(number)
        status, said = run.gone()
    assert status == 130, said
    assert "meshinstall: interrupted" in said, said
