"""What up and down do around their runs, on a cluster in memory: verify, ask, clear up."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meshinstall import wiring
from meshinstall.__main__ import main
from tests.fakes import World
from tests.unit.engine.installed import world

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> World:
    """The cluster that every command reaches."""
    found = world()
    monkeypatch.setattr(wiring, "open_session", lambda *_: found.session())
    return found


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs the entry point in an empty folder; gives its status and what it said."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("MESHINSTALL_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    at_term = signal.getsignal(signal.SIGTERM)

    def one(command: str, *flags: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["meshinstall", command, "--env", "dev", "--cloud", "local", *flags])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0), capsys.readouterr().err

    yield one
    signal.signal(signal.SIGTERM, at_term)


@pytest.mark.usefixtures("there")
def test_up_ends_with_a_verdict_also_when_there_was_nothing_to_do(run: Run) -> None:
    status, said = run("up", "--yes")
    assert status == 5
    assert "verify: … removing the probes" in said
    status, said = run("up")
    assert status == 5
    assert "Nothing to do." in said
    assert "verify: … removing the probes" in said
    status, said = run("up", "--yes", "--no-verify")
    assert status == 0
    assert "verify:" not in said


def test_down_with_an_empty_plan_deletes_nothing_and_names_what_is_left(run: Run, there: World) -> None:
    labels = {"app.kubernetes.io/part-of": "istio"}
    there.kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-ca-root-cert", "namespace": "shop"}})
    there.kube.put({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "istiod", "labels": labels}})
    status, said = run("down")
    assert status == 1
    assert "Nothing to do." in said
    assert "still there: clusterroles/istiod" in said
    assert "root-certificates" in said
    assert [path for path in there.kube.objects if "configmaps" in path] == ["/api/v1/namespaces/shop/configmaps/istio-ca-root-cert"]
    there.kube.objects = {path: item for path, item in there.kube.objects.items() if "clusterroles" not in path}
    assert run("down")[0] == 0
