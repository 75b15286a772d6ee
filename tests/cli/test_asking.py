"""The question before a change, on a terminal: what a person's keys do."""

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# Seconds: far more than an answer takes.
_PATIENCE = 20
# The command as it is, on a cluster in memory; an installed one for down.
PROGRAM = """
import sys
from meshinstall import wiring
from meshinstall.__main__ import main
from tests.unit.engine.installed import world
there = world()
labels = {"app.kubernetes.io/managed-by": "meshinstall"}
there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-ingress", "labels": labels}})
wiring.open_session = lambda *_: there.session()
main()
"""


def _terminal() -> None:
    """Make stdin the terminal whose keys are signals, as a shell does for its foreground job."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _read(master: int, enough: Callable[[str], bool]) -> str:
    said = b""
    while not enough(said.decode(errors="replace")) and select.select([master], [], [], _PATIENCE)[0]:
        try:
            said += os.read(master, 4096)
        except OSError:
            # Linux's word for a terminal that nobody has open any more.
            break
    return said.decode(errors="replace")


def _until_it_reads(pid: int) -> None:
    """A signal between the last look at signals and the read itself is seen after the read only, in any Python program."""
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        time.sleep(0.01)


def _answered(folder: Path, command: str, key: bytes, question: str = "Do this?") -> tuple[int, str]:
    """Exit status of a command whose question is answered with one key, and what it said after it."""
    master, slave = pty.openpty()
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(REPOSITORY)}
    argv = [sys.executable, "-c", PROGRAM, *command.split(), "--env", "dev", "--cloud", "local"]
    with subprocess.Popen(
        argv,
        cwd=folder,
        env=env,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=_terminal,
    ) as process:
        os.close(slave)
        try:
            asked = _read(master, lambda said: said.endswith(f"{question} [y/N]: "))
            assert question in asked, asked
            _until_it_reads(process.pid)
            os.write(master, key)
            said = _read(master, lambda _: False)
            return process.wait(_PATIENCE), said
        finally:
            process.kill()
            os.close(master)


@pytest.mark.parametrize("command", ["up", "down"])
@pytest.mark.parametrize("key", [b"\x03", b"\x04", b"n\n"], ids=["ctrl-c", "ctrl-d", "no"])
def test_one_key_leaves_the_question_and_nothing_is_done(tmp_path: Path, command: str, key: bytes) -> None:
    status, said = _answered(tmp_path, command, key)
    assert status == 130, said
    assert "meshinstall: stopped before the first step; nothing was changed" in said, said
    assert "Traceback" not in said, said


def test_no_request_of_plaintext_is_sent_without_a_yes_either(tmp_path: Path) -> None:
    rows = "cases: [{from: {plaintext: true}, to: {namespace: shop, port: 8080}, request: {method: DELETE}, expect: deny}]\n"
    (tmp_path / "table.yaml").write_text(rows)
    question = "Send 1 request from a namespace of its own, and remove that again?"
    status, said = _answered(tmp_path, "authz test table.yaml --live", b"n\n", question)
    assert status == 130, said
    assert "looking for the pods" not in said, said


@pytest.mark.parametrize("key", [b"\x03", b"\x04", b"n\n"], ids=["ctrl-c", "ctrl-d", "no"])
def test_no_pod_is_started_in_a_namespace_of_others_without_a_yes(tmp_path: Path, key: bytes) -> None:
    untried = "{from: {serviceAccount: shop/cart, ip: 10.0.0.1}, to: {namespace: shop, port: 8080}, expect: deny}"
    rows = f"cases: [{{from: {{serviceAccount: shop/cart}}, to: {{namespace: shop, port: 8080}}, expect: allow}}, {untried}]\n"
    (tmp_path / "table.yaml").write_text(rows)
    question = "Start pods as shop/cart, send 1 request and remove the pods again?"
    status, said = _answered(tmp_path, "authz test table.yaml --live", key, question)
    assert status == 130, said
    assert "nothing was changed" in said, said
    assert "looking for the pods" not in said, said
