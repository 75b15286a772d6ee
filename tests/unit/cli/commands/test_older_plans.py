"""Plan files of older versions are read: they are compared as far as they go, and asked about, as they name no cluster."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from meshinstall.cli.target import open_environment
from meshinstall.engine.planning import make_plan
from meshinstall.model.cluster import Cloud
from meshinstall.model.request import Request
from tests.fakes import World
from tests.unit.cli.commands.test_saved_plan import Run, edited, run, saved, there, up  # noqa: F401 - fixtures

FLAGS = ("--env", "dev", "--cloud", "local", "--set", "istiod.autoscaleMin=2")


@pytest.fixture
def older(saved: Path, there: World) -> Path:  # noqa: F811 - a fixture
    """The saved plan as it was written before plans had flags, a target, and a summary."""
    request = Request(environment="dev", cloud=Cloud.LOCAL, sets=("istiod.autoscaleMin=2",))
    plan = anyio.run(lambda: make_plan(*open_environment(request)))

    def age(document: dict[str, Any]) -> None:
        for name in ("request", "target", "summary"):
            del document[name]
        document["digest"] = replace(plan, target=None).digest

    edited(saved, age)
    there.helm.calls.clear()
    there.kube.calls.clear()
    return saved


@pytest.mark.usefixtures("older")
def test_it_runs_with_its_flags_when_a_person_agrees(run: Run, there: World) -> None:  # noqa: F811 - fixtures
    status, said = up(run, *FLAGS, "--yes")
    assert status == 0, said
    assert "plan.json was saved by an older version of meshinstall: it does not say for which cluster. This is local kind-dev" in said
    assert [values["autoscaleMin"] for key, values in there.helm.sent.items() if key.name == "istiod"] == [2]
    there.helm.calls.clear()
    status, said = up(run, *FLAGS)
    assert status == 0, said
    assert "already applied: nothing of plan.json is left to do" in said
    assert there.helm.calls == []


@pytest.mark.usefixtures("older")
def test_the_file_alone_is_no_consent(run: Run, there: World) -> None:  # noqa: F811 - fixtures
    status, said = up(run, *FLAGS)
    assert status == 2
    assert "cannot ask whether to run the plan" in said
    assert there.helm.calls == []


@pytest.mark.usefixtures("older")
def test_it_has_no_flags_of_its_own(run: Run, there: World) -> None:  # noqa: F811 - fixtures
    status, said = up(run, "--yes")
    assert status == 2
    assert "plan.json was saved by an older version of meshinstall, without its flags" in said
    assert "give the flags it was made with" in said
    assert there.kube.calls == []


@pytest.mark.parametrize(
    "edit",
    [
        lambda document: document["steps"][0].update(action="keep"),
        lambda document: document["steps"].pop(),
        lambda document: document["steps"].append({"name": "x", "action": "keep"}),
        lambda document: document.update(digest="sha256:0"),
        lambda document: document.update(environment="prod"),
        lambda document: document.update(cluster="another"),
        lambda document: document.update(findings=[{"code": "PRE001"}]),
        lambda document: document.update(more=1),
    ],
)
def test_what_it_holds_is_compared(run: Run, there: World, older: Path, edit: Callable[[dict[str, Any]], object]) -> None:  # noqa: F811
    edited(older, edit)
    status, said = up(run, *FLAGS, "--yes")
    assert status == 1
    assert "the plan is no longer the saved one" in said
    assert there.helm.calls == []


@pytest.mark.usefixtures("older")
def test_other_flags_make_another_plan(run: Run, there: World) -> None:  # noqa: F811 - fixtures
    status, said = up(run, "--env", "dev", "--cloud", "local", "--yes")
    assert status == 1
    assert "the plan is no longer the saved one" in said
    assert there.helm.calls == []


@pytest.mark.parametrize("name", ["request", "target"])
def test_half_of_what_is_newer_is_no_older_plan(run: Run, there: World, saved: Path, name: str) -> None:  # noqa: F811 - fixtures
    edited(saved, lambda document: document.pop(name))
    status, said = up(run, *FLAGS, "--yes")
    assert status == 2
    assert "its request or its target is not as plan --save writes it" in said
    assert there.helm.calls == []


DEEP = '{"a":' * 900 + "1" + "}" * 900


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (DEEP, "nested too deep"),
        (f'{{"schema": "meshinstall.dev/plan/v1", "digest": "", "steps": [], "more": {DEEP}}}', "nested too deep"),
        ('{"schema": "meshinstall.dev/plan/v1", "digest": "", "steps": [1e999]}', "a number is too large"),
        ('{"schema": "meshinstall.dev/plan/v1", "digest": "", "steps": [NaN]}', "NaN is not a number of JSON"),
        (json.dumps({str(number): 0 for number in range(50_000)})[:-1] + ', "7": 1}', "a key is duplicate: 7"),
    ],
    ids=["deep", "deep plan", "infinite", "no number", "many keys"],
)
def test_a_hostile_file_is_refused_at_once(run: Run, there: World, text: str, shown: str) -> None:  # noqa: F811 - fixtures
    Path("plan.json").write_text(text)
    status, said = up(run, *FLAGS, "--yes")
    assert status == 2
    assert shown in said
    assert there.kube.calls == []


def test_a_file_that_everybody_can_write_is_refused(run: Run, there: World, saved: Path) -> None:  # noqa: F811 - fixtures
    saved.chmod(0o666)
    status, said = up(run)
    assert status == 2
    assert "plan.json can be written by every user of this machine" in said
    assert there.helm.calls == []
    saved.chmod(0o664)
    assert up(run)[0] == 0


@pytest.mark.parametrize("field", ["environment", "charts", "config"])
def test_a_flag_in_it_is_text_that_can_be_typed(run: Run, there: World, saved: Path, field: str) -> None:  # noqa: F811 - fixtures
    edited(saved, lambda document: document["request"].update({field: "a\0b"}))
    status, said = up(run)
    assert status == 2
    assert "its request or its target is not as plan --save writes it" in said
    assert there.helm.calls == []
