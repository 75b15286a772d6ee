"""A credential plugin ends with the command that started it, or when its time is over, and what it started ends too."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from meshinstall.adapters.kube import exec_plugin
from meshinstall.adapters.kube.kubeconfig import ExecPlugin
from meshinstall.errors import ClusterError
from testbed.waiting import until
from tests.unit.adapters.conftest import write_kubeconfig

REPOSITORY = Path(__file__).parents[4]
V1 = "client.authentication.k8s.io/v1"
START, GONE = 30, 15
# Neither hears SIGTERM; each tells its number.
DEAF = (
    "trap '' TERM HUP INT; sh -c 'trap \"\" TERM; echo $$ >child; while :; do sleep 1; done' & echo $$ >plugin; while :; do sleep 1; done"
)
# Its messages have no reader any more when it is told.
POLITE = "exec 2>/dev/null; trap 'touch heard; exit' TERM; echo $$ >plugin; while :; do sleep 0.1; done"


def write(folder: Path, script: str) -> Path:
    found = folder / "login"
    found.write_text(f"#!/bin/sh\ncd {folder}\n{script}\n")
    found.chmod(0o700)
    return found


def number(folder: Path, name: str) -> int:
    """The process that told its number, or 0 before."""
    file = folder / name
    return int(file.read_text().strip() or 0) if file.exists() else 0


def lives(pid: int) -> bool:
    """Whether it is there, and no zombie that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def command(folder: Path, script: str) -> "subprocess.Popen[str]":
    """A command whose plugin has begun."""
    user = {"exec": {"apiVersion": V1, "command": "./login", "interactiveMode": "IfAvailable"}}
    file = write_kubeconfig(folder, user)
    argv = [sys.executable, "-m", "meshinstall", "status", "--env", "dev", "--cloud", "local", "--kubeconfig", str(file)]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(REPOSITORY)}
    write(folder, script)
    found = subprocess.Popen(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: bool(number(folder, "plugin")), START, lambda: "the plugin does not begin")
    return found


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_plugin_that_ignores_its_end_does_not_outlive_the_command(tmp_path: Path, ending: signal.Signals) -> None:
    run = command(tmp_path, DEAF)
    until(lambda: bool(number(tmp_path, "child")), START, lambda: "the plugin's child does not begin")
    pids = [number(tmp_path, name) for name in ("plugin", "child")]
    run.send_signal(ending)
    said = run.communicate(timeout=GONE)[1]
    assert "Traceback" not in said
    until(lambda: not any(map(lives, pids)), GONE, lambda: f"{[pid for pid in pids if lives(pid)]} of {pids} live")


def test_a_plugin_hears_of_its_end_first(tmp_path: Path) -> None:
    run = command(tmp_path, POLITE)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=GONE)
    until((tmp_path / "heard").exists, GONE, lambda: "the plugin was not told")


def test_a_plugin_that_never_answers_ends_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_plugin, "_PATIENCE", 0.5)
    with pytest.raises(ClusterError, match=r"did not answer in 0\.5 s"):
        exec_plugin.run(ExecPlugin(V1, str(write(tmp_path, DEAF)), (), {}))
    pids = [pid for name in ("plugin", "child") if (pid := number(tmp_path, name))]
    until(lambda: not any(map(lives, pids)), GONE, lambda: f"{pids} live")


def test_an_answer_without_an_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="printed more than 1024 KiB"):
        exec_plugin.run(ExecPlugin(V1, str(write(tmp_path, "exec yes")), (), {}))


def test_what_a_plugin_leaves_running_stays(tmp_path: Path) -> None:
    """An agent that keeps a login, or a browser, is no part of one command."""
    answer = f'{{"apiVersion": "{V1}", "kind": "ExecCredential", "status": {{"token": "t"}}}}'
    agent = "sleep 60 >/dev/null 2>&1 </dev/null & echo $! >plugin"
    assert exec_plugin.run(ExecPlugin(V1, str(write(tmp_path, f"{agent}\necho '{answer}'")), (), {})).value == "t"
    pid = number(tmp_path, "plugin")
    assert lives(pid)
    os.kill(pid, signal.SIGKILL)
