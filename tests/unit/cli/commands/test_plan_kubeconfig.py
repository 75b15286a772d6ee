"""A kubeconfig that a plan file alone names runs no program and sends no file: it is shown and asked about first."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshinstall import wiring
from meshinstall.adapters.kube.kubeconfig import load
from meshinstall.adapters.kube.tokens import source_of
from meshinstall.errors import ClusterError
from meshinstall.model.cluster import ClusterRef
from tests.unit.cli.commands.test_saved_plan import Run, edited, run, saved, there, up  # noqa: F401 - fixtures

PWNED = Path("pwned")


def reach(cluster: ClusterRef, *_: object) -> None:
    """What the first request does of it: the kubeconfig's plugin runs, and fails; a token of its own is sent to nobody here."""
    tokens = source_of(load(cluster.kubeconfig, cluster.context))
    assert tokens
    tokens.current()
    raise ClusterError("the cluster would be reached now")


def kubeconfig(path: Path) -> None:
    """One whose credential plugin leaves a trace."""
    path.parent.mkdir(exist_ok=True)
    plugin = path.parent / "plugin"
    plugin.write_text(f"#!/bin/sh\necho done > {PWNED.absolute()}\nexit 1\n")
    plugin.chmod(0o755)
    spec = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin", "args": ["--now"], "interactiveMode": "Never"}
    content = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"exec": spec}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(content))


def by_flag(request: dict[str, Any]) -> None:
    request["cluster"] = {"kubeconfig": "evil/kubeconfig"}


def by_config(request: dict[str, Any]) -> None:
    """Through a meshinstall.yaml, which is not that of the folder."""
    environments = "environments: {dev: {clouds: {local: {cluster: {kubeconfig: kubeconfig}}}}}"
    Path("evil/meshinstall.yaml").write_text(f"apiVersion: meshinstall.dev/v1\n{environments}\n")
    request["config"] = "evil/meshinstall.yaml"


@pytest.fixture(params=[by_flag, by_config])
def hostile(saved: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Callable[..., None]:  # noqa: F811 - a fixture
    """A plan file that leads to the kubeconfig; the real plugin runs as soon as a cluster is reached."""
    kubeconfig(Path("evil/kubeconfig"))
    edited(saved, lambda document: request.param(document["request"]))
    monkeypatch.setattr(wiring, "open_session", reach)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    how: Callable[..., None] = request.param
    return how


FLAGS = {by_flag: ("--kubeconfig", "evil/kubeconfig"), by_config: ("--config", "evil/meshinstall.yaml")}


@pytest.mark.parametrize("more", [(), ("--yes",)])
def test_it_is_not_used_unasked(run: Run, hostile: Callable[..., None], more: tuple[str, ...]) -> None:  # noqa: F811 - fixtures
    status, said = up(run, *more)
    assert not PWNED.exists()
    assert status == 2, said
    told = f"plan.json alone names the kubeconfig {Path('evil/kubeconfig').absolute()}"
    program = json.dumps([str(Path("evil/plugin").absolute()), "--now"])
    assert f"{told}, which runs {program} on this machine" in said.replace("/./", "/")
    assert f"name it yourself beside --plan: {' '.join(FLAGS[hostile])}" in said


@pytest.mark.usefixtures("hostile")
def test_a_tokens_file_is_not_sent_unasked(run: Run) -> None:  # noqa: F811 - a fixture
    Path("secret").write_text("planted")
    rewritten({"tokenFile": str(Path("secret").absolute())})
    status, said = up(run, "--yes")
    assert status == 2, said
    assert f"which sends what is in {Path('secret').absolute()} to https://127.0.0.1:1" in said


@pytest.mark.usefixtures("hostile")
def test_one_that_runs_and_sends_nothing_needs_no_other_flag(run: Run) -> None:  # noqa: F811 - a fixture
    rewritten({"token": "planted"})
    status, said = up(run, "--yes")
    assert status == 1, said
    assert "alone names" not in said
    assert "would be reached now" in said


def rewritten(user: dict[str, str]) -> None:
    """The kubeconfig with another login."""
    file = Path("evil/kubeconfig")
    content = json.loads(file.read_text())
    content["users"][0]["user"] = user
    file.write_text(json.dumps(content))


def test_whoever_names_it_himself_is_not_asked(run: Run, hostile: Callable[..., None]) -> None:  # noqa: F811 - fixtures
    status, said = up(run, *FLAGS[hostile])
    assert PWNED.exists()
    assert status == 1
    assert "alone names the kubeconfig" not in said


@pytest.mark.parametrize(("answer", "is_run"), [("n\n", False), ("", False), ("y\n", True)])
@pytest.mark.usefixtures("hostile")
def test_on_a_terminal_a_person_is_asked(run: Run, monkeypatch: pytest.MonkeyPatch, answer: str, *, is_run: bool) -> None:  # noqa: F811
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    status, said = up(run)
    assert "alone names the kubeconfig" in said
    assert "Use it?" in said
    assert PWNED.exists() is is_run
    assert status == (1 if is_run else 130)


def test_the_users_own_is_used_without_a_question(run: Run, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    assert saved.exists()
    kubeconfig(Path("mine/kubeconfig"))
    monkeypatch.setattr(wiring, "open_session", reach)
    monkeypatch.setenv("KUBECONFIG", "mine/kubeconfig")
    status, said = up(run)
    assert status == 1
    assert PWNED.exists(), said
