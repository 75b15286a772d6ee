"""Errors, hints and warnings of a whole command move no cursor and are no command of a pipeline, whatever a kubeconfig says."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meshinstall import wiring
from meshinstall.cli.target import tell, warn
from tests.unit.cli.commands.test_plan_kubeconfig import reach
from tests.unit.cli.commands.test_saved_plan import Run, run  # noqa: F401 - a fixture

REPOSITORY = Path(__file__).parents[4]
HOSTILE = "x\x1b[2J\x1b]0;t\x07\n::error::y\n##vso[task.complete]\n##teamcity[z]"


def kubeconfig(user: dict[str, Any]) -> None:
    """One that leads to nobody."""
    content = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    Path("kubeconfig").write_text(json.dumps(content))


def assert_harmless(said: str) -> None:
    assert all(line.isprintable() for line in said.split("\n"))
    assert not any(line.lstrip().startswith("::") for line in said.split("\n"))
    assert "##vso[" not in said
    assert "##teamcity[" not in said


@pytest.mark.parametrize("field", ["command", "installHint"])
def test_an_error_and_its_hint_are_only_text(run: Run, monkeypatch: pytest.MonkeyPatch, field: str) -> None:  # noqa: F811
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "gone", "interactiveMode": "Never", field: HOSTILE}
    kubeconfig({"exec": plugin})
    monkeypatch.setattr(wiring, "open_session", reach)
    monkeypatch.setenv("KUBECONFIG", "kubeconfig")
    status, said = run("status", "--env", "dev", "--cloud", "local")
    assert status == 1
    assert "task.complete" in said
    assert_harmless(said)


def test_who_is_anonymous_hears_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kubeconfig({})
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY), "KUBECONFIG": "kubeconfig"}
    done = subprocess.run([sys.executable, "-m", "meshinstall", "check"], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "warning: the user of context 'x' in the kubeconfig kubeconfig has no credentials: requests are anonymous" in done.stderr


@pytest.mark.parametrize("way", [tell, warn])
def test_what_is_told_beside_is_only_text(way: Any, capsys: pytest.CaptureFixture[str]) -> None:
    way(HOSTILE)
    said = capsys.readouterr().err
    assert "task.complete" in said
    assert_harmless(said)
