"""What up and down do around their runs, on a cluster in memory: verify, ask, clear up."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import anyio.lowlevel
import pytest

from meshinstall import wiring
from meshinstall.__main__ import main
from meshinstall.cli.commands import change, verify
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
def verified(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that each verification got."""
    given: list[float] = []

    async def noted(_session: object, _output: object, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        given.append(seconds)

    monkeypatch.setattr(verify, "verified", noted)
    return given


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
def test_up_ends_with_a_verification_also_when_there_was_nothing_to_do(run: Run, verified: list[float]) -> None:
    assert run("up", "--yes")[0] == 0
    assert len(verified) == 1
    status, said = run("up")
    assert (status, len(verified), "Nothing to do." in said) == (0, 2, True)
    assert run("up", "--yes", "--no-verify")[0] == 0
    assert len(verified) == 2


@pytest.mark.usefixtures("there")
def test_the_time_that_a_person_thinks_is_not_taken_from_the_verification(
    run: Run, verified: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(change, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(change, "_ask", lambda: clock.append(clock.pop() + 3600))
    assert run("up", "--timeout", "100")[0] == 0
    assert verified == [100]


def test_down_with_an_empty_plan_still_clears_up_and_names_what_is_left(run: Run, there: World) -> None:
    labels = {"app.kubernetes.io/part-of": "istio"}
    there.kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-ca-root-cert", "namespace": "shop"}})
    there.kube.put({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "istiod", "labels": labels}})
    status, said = run("down")
    assert (status, "Nothing to do." in said, "still there: clusterroles/istiod" in said) == (1, True, True)
    assert [path for path in there.kube.objects if "configmaps" in path] == []
    there.kube.objects = {path: item for path, item in there.kube.objects.items() if "clusterroles" not in path}
    assert run("down")[0] == 0
