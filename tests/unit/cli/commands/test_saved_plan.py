"""A saved plan binds: it carries its flags, names its cluster, and runs only while the plan of now is the same document."""

import json
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshinstall import wiring
from meshinstall.__main__ import main
from meshinstall.cli.output import saved_plan
from meshinstall.errors import UsageError
from meshinstall.model.request import Request
from tests.fakes import World
from tests.unit.engine.installed import world

Run = Callable[..., tuple[int, str]]
KUBE_SYSTEM = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": "0b1c"}}


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> World:
    """The cluster that every command reaches."""
    found = world()
    found.kube.put(KUBE_SYSTEM)
    monkeypatch.setattr(wiring, "open_session", lambda *_: replace(found.session(), server="https://one.example:6443"))
    return found


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs the entry point in an empty folder; gives its status and all that it wrote."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("MESHINSTALL_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    at_term = signal.getsignal(signal.SIGTERM)

    def one(*argv: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["meshinstall", *argv])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out + said.err

    yield one
    signal.signal(signal.SIGTERM, at_term)


@pytest.fixture
def saved(run: Run, there: World) -> Path:  # noqa: ARG001 - it is what is planned for
    """A plan with flags of its own."""
    status, said = run("plan", "--env", "dev", "--cloud", "local", "--set", "istiod.autoscaleMin=2", "--save", "plan.json")
    assert status == 3, said
    return Path("plan.json")


def up(run: Run, *more: str) -> tuple[int, str]:
    return run("up", "--plan", "plan.json", "--no-verify", *more)


def edited(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def test_it_needs_no_other_flags_and_is_applied_once(run: Run, saved: Path, there: World) -> None:
    assert saved.exists()
    status, said = up(run)
    assert status == 0, said
    assert [values["autoscaleMin"] for key, values in there.helm.sent.items() if key.name == "istiod"] == [2]
    there.helm.calls.clear()
    status, said = up(run)
    assert status == 0, said
    assert "already applied: nothing of plan.json is left to do" in said
    assert there.helm.calls == []


def test_a_minor_in_it_stands_for_the_version_that_was_agreed_to(run: Run, saved: Path, there: World) -> None:
    there.charts.offered = dict.fromkeys(("base", "istiod", "gateway"), ("1.31.0", "1.31.7"))
    _, said = run("plan", "--env", "dev", "--cloud", "local", "--istio-version", "1.31")
    assert "Version: 1.31.7, the newest of oci://ghcr.io/istio/release/charts (1.31: --istio-version)" in said
    status, said = up(run)
    assert status == 0, said
    assert "Version: 1.31.0, as in the saved plan (1.31: <built-in>)" in said
    assert json.loads(saved.read_text())["istioVersion"] == "1.31.0"


def test_the_same_flags_may_be_given_again_and_others_may_not(run: Run, saved: Path) -> None:
    assert saved.exists()
    status, said = up(run, "--env", "prod")
    assert status == 2
    assert '--env is not what plan.json was saved with: "prod" here, "dev" in the file' in said
    status, said = up(run, "--set", "istiod.autoscaleMin=3")
    assert status == 2
    assert "--set is not what plan.json was saved with" in said
    status, said = up(run, "--env", "dev", "--cloud", "local", "--set", "istiod.autoscaleMin=2")
    assert status == 0, said


def test_without_a_plan_the_environment_must_be_named(run: Run) -> None:
    status, said = run("up", "--yes")
    assert status == 2
    assert "no environment is named" in said


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("before", [None, 0o644])
def test_nobody_else_may_read_it(run: Run, before: int | None) -> None:
    if before:
        Path("plan.json").touch(before)
    run("plan", "--env", "dev", "--cloud", "local", "--save", "plan.json")
    assert stat.S_IMODE(Path("plan.json").stat().st_mode) == 0o600


def test_it_names_its_cluster_and_runs_nowhere_else(run: Run, saved: Path, there: World) -> None:
    target = json.loads(saved.read_text())["target"]
    assert target == {"cloud": "local", "cluster": "kind-dev", "place": {}, "server": "https://one.example:6443", "uid": "0b1c"}
    there.kube.objects["/api/v1/namespaces/kube-system"]["metadata"]["uid"] = "another"
    status, said = up(run)
    assert status == 1
    assert "plan.json was saved for another cluster: local kind-dev, https://one.example:6443, kube-system 0b1c; this is" in said
    assert there.helm.calls == []


def test_a_plan_that_is_empty_elsewhere_is_another_clusters_all_the_same(run: Run, saved: Path) -> None:
    assert up(run)[0] == 0
    edited(saved, lambda document: document["target"].update(uid="another"))
    status, said = up(run)
    assert status == 1
    assert "already applied" not in said


def test_a_cluster_that_cannot_be_named_is_not_saved_for(run: Run, there: World) -> None:
    del there.kube.objects["/api/v1/namespaces/kube-system"]
    status, said = run("plan", "--env", "dev", "--cloud", "local", "--save", "plan.json")
    assert status == 2
    assert "it would not name its cluster" in said
    assert not Path("plan.json").exists()


def keep_everything(document: dict[str, Any]) -> None:
    """What shows an approver that nothing will happen."""
    document["pending"] = 0
    for step in document["steps"]:
        step.update(action="keep", reasons=[], changes=[])


@pytest.mark.parametrize(
    ("edit", "shown"),
    [
        (keep_everything, 'step istio-system/istiod.action: "keep" in the saved plan, "install" in the plan of now'),
        (lambda document: document["steps"].pop(2), "step istio-system/istio-base: not in the saved plan, install in the plan of now"),
        (
            lambda document: document["steps"].append({"name": "x", "action": "keep"}),
            "step x: keep in the saved plan, not in the plan of now",
        ),
        (lambda document: document["steps"].append(document["steps"][0]), "]: apply in the saved plan, not in the plan of now"),
        (lambda document: document.update(findings=[{"code": "PRE001"}, {"code": "PRE003"}]), "findings: "),
        (lambda document: document.update(diff=[]), "diff: "),
        (lambda document: document.update(environment="prod"), 'environment: "prod" in the saved plan, "dev" in the plan of now'),
        (lambda document: document.update(more=1), "more: 1 in the saved plan, nothing in the plan of now"),
        (lambda document: document.pop("summary"), "summary: nothing in the saved plan"),
        (lambda document: document["request"].update(sets=[]), "step istio-system/istiod.changes"),
    ],
)
def test_an_edited_file_is_refused_and_what_differs_is_shown(
    run: Run, saved: Path, there: World, edit: Callable[[dict[str, Any]], object], shown: str
) -> None:
    edited(saved, edit)
    status, said = up(run)
    assert status == 1, said
    assert "the plan is no longer the saved one: saved sha256:" in said
    assert shown in said
    assert there.helm.calls == []


def test_a_cluster_that_changed_since_is_told_step_by_step(run: Run, saved: Path, there: World) -> None:
    labels = {"app.kubernetes.io/managed-by": "meshinstall", "meshinstall.dev/environment": "dev", "meshinstall.dev/profile": "default"}
    there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system", "labels": labels}})
    status, said = up(run)
    assert status == 1
    assert 'step namespace/istio-system.action: "apply" in the saved plan, "keep" in the plan of now' in said
    assert saved.exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "is not a saved plan"),
        ("[]", "is not a plan of this version"),
        ('{"schema": "meshinstall.dev/plan/v1", "digest": "sha256:0"}', "its request or its target is not as plan --save writes it"),
        ('{"schema": "meshinstall.dev/plan/v1", "schema": "meshinstall.dev/plan/v1"}', "a key is duplicate: schema"),
        ('{"schema": "meshinstall.dev/plan/v1", "request": {}, "target": {}}', "its request or its target is not as plan --save writes it"),
        ("[" * 100_000, "is not a saved plan"),
    ],
)
def test_what_is_no_plan_is_a_users_mistake(run: Run, there: World, text: str, shown: str) -> None:
    Path("plan.json").write_text(text)
    status, said = up(run)
    assert status == 2
    assert shown in said
    assert there.kube.calls == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=5), some, max_size=3),
    max_leaves=5,
)
_REQUEST = ("environment", "cloud", "config", "profile", "files", "sets", "set_strings", "cluster", "charts", "istio_version")
_TARGET = ("cloud", "cluster", "place", "server", "uid")


@given(_JSON | st.fixed_dictionaries(dict.fromkeys(_REQUEST, _JSON)), _JSON | st.fixed_dictionaries(dict.fromkeys(_TARGET, _JSON)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_any_field_of_any_type_is_read_without_a_traceback(tmp_path: Path, request_found: object, target: object) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"schema": "meshinstall.dev/plan/v1", "request": request_found, "target": target}))
    with suppress(UsageError):
        saved_plan.load(file, Request())
