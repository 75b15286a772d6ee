"""The commands that look: explain, init and lock on Istio's real charts; the text of a status."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from meshinstall.cli.output.tables import status_json, status_text
from meshinstall.cli.root import command_line
from meshinstall.errors import ChartError, UsageError
from meshinstall.model.facts import ObjectKey
from meshinstall.model.release import Component, ReleaseKey
from meshinstall.model.status import (
    Certificate,
    CertificateTimes,
    Health,
    Holder,
    LastRun,
    MeshStatus,
    Proxies,
    ReleaseHealth,
    StaleProxy,
    Workload,
)

Run = Callable[..., Result]
SCHEMAS = Path(__file__).parents[4] / "docs" / "schemas"
NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
VERSION = "1.31.0"
PROJECT = f"""\
apiVersion: meshinstall.dev/v1
istio: {{version: {VERSION}}}
charts: {{source: charts}}
environments:
  dev:
    cloud: local
    values:
      istiod:
        autoscaleMin: 3
"""


@pytest.fixture
def project(tmp_path: Path, build_part: Callable[[str], Path]) -> Path:
    """A folder with a meshinstall.yaml and Istio's charts in ``charts``."""
    (tmp_path / "meshinstall.yaml").write_text(PROJECT)
    (tmp_path / "charts").mkdir()
    for archive in build_part("charts").glob(f"*-{VERSION}.tgz"):
        shutil.copy(archive, tmp_path / "charts")
    return tmp_path


@pytest.fixture
def run(project: Path) -> Run:
    """Runs meshinstall on the project with no kubeconfig; an error of ours is raised."""
    env = {"XDG_CACHE_HOME": str(project / "cache"), "KUBECONFIG": "/nonexistent"}

    def one(*argv: str) -> Result:
        found = CliRunner(env=env).invoke(command_line, [*argv, "--config", str(project)])
        if found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found

    return one


def conforms(document: Any, schema: str) -> None:
    Draft202012Validator(json.loads((SCHEMAS / schema).read_text())).validate(document)


@pytest.mark.tools
def test_explain_names_every_layer_with_its_line_and_marks_the_winner(run: Run, project: Path) -> None:
    text = run("explain", "istiod", "pilot.autoscaleMin", "--env", "dev", "--set", "istiod.autoscaleMin=4").stdout
    lines = [line.split() for line in text.splitlines()]
    assert ["environment", f"{project}/meshinstall.yaml:9", "3"] in lines
    assert ["▸", "flag", "--set", "istiod.autoscaleMin", "4"] in lines
    assert lines[3][:3] == ["chart", "chart", "values.yaml:5"]


@pytest.mark.tools
def test_explain_as_json_follows_its_schema(run: Run) -> None:
    document = json.loads(run("explain", "istiod", "--env", "dev", "-o", "json").stdout)
    conforms(document, "explain.json")
    (release,) = document["releases"]
    (value,) = [value for value in release["values"] if value["path"] == ["autoscaleMin"]]
    assert [(spoken["layer"], spoken["value"], spoken["wins"]) for spoken in value["spoken"]] == [
        ("chart", 1, False),
        ("environment", 3, True),
    ]


@pytest.mark.tools
@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    [
        (("istoid",), "does not install istoid", "did you mean istiod?"),
        (("cni",), "does not install cni", "known: base, istiod, istio-ingress"),
        (("istiod", "autoscaleMn"), "nothing sets autoscaleMn", "did you mean autoscaleMin?"),
    ],
)
def test_explain_helps_with_a_name_that_is_not_there(run: Run, argv: tuple[str, ...], message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        run("explain", *argv, "--env", "dev")
    assert caught.value.hint == hint


@pytest.mark.tools
def test_lock_lists_what_is_not_pinned_and_pins_it_when_asked_to(run: Run, project: Path) -> None:
    unpinned = run("lock", "--env", "dev")
    assert unpinned.exit_code == 3
    assert [line.split()[2] for line in unpinned.stdout.splitlines() if line.startswith("✗")] == ["base", "istiod", "gateway"]

    assert run("lock", "--env", "dev", "--update").exit_code == 0
    assert 'source: "charts"' in (project / "meshinstall.lock").read_text()
    pinned = run("lock", "--env", "dev")
    assert pinned.exit_code == 0
    assert pinned.stdout.count("✓") == 3


@pytest.mark.tools
def test_lock_finds_a_chart_that_was_replaced_under_its_version(run: Run, project: Path, build_part: Callable[[str], Path]) -> None:
    run("lock", "--env", "dev", "--update")
    archive = project / "charts" / f"base-{VERSION}.tgz"
    # gzip ignores what comes after its end when it is zeros: the same chart in other bytes.
    archive.write_bytes((build_part("charts") / archive.name).read_bytes() + b"\0" * 512)
    changed = run("lock", "--env", "dev")
    assert changed.exit_code == 3
    assert [line.split()[0] for line in changed.stdout.splitlines() if not line.startswith(" ")] == ["✗", "✓", "✓"]
    with pytest.raises(ChartError, match="expected sha256"):
        run("explain", "base", "global", "--env", "dev")

    run("lock", "--env", "dev", "--update")
    assert run("lock", "--env", "dev").exit_code == 0


@pytest.mark.tools
def test_lock_update_keeps_the_pins_of_other_profiles(run: Run) -> None:
    run("lock", "--env", "dev", "--profile", "ambient", "--update")
    run("lock", "--env", "dev", "--profile", "minimal", "--update")
    assert run("lock", "--env", "dev", "--profile", "ambient").exit_code == 0


@pytest.mark.tools
def test_a_minor_is_what_the_lock_pins_and_the_newest_is_pinned_when_asked_to(
    run: Run, project: Path, build_part: Callable[[str], Path]
) -> None:
    (project / "meshinstall.yaml").write_text(PROJECT.replace(VERSION, '"1.31"'))
    fresh = run("explain", "istiod", "--env", "dev").stdout
    assert f"version: {VERSION}, the newest of {project}/charts, on a fresh cluster; where a 1.31.x runs, that stays (1.31: " in fresh
    assert run("lock", "--env", "dev").exit_code == 3

    assert run("lock", "--env", "dev", "--update").exit_code == 0
    for name in ("base", "istiod", "gateway"):
        shutil.copy(build_part("charts") / f"{name}-{VERSION}.tgz", project / "charts" / f"{name}-1.31.7.tgz")
    assert run("lock", "--env", "dev").exit_code == 0
    document = json.loads(run("explain", "istiod", "--env", "dev", "-o", "json").stdout)
    conforms(document, "explain.json")
    assert document["releases"][0]["chart"]["version"] == VERSION
    assert document["releases"][0]["chart"]["versionChoice"].startswith(f"{VERSION}, the newest in meshinstall.lock (1.31: ")
    assert "pinned istiod 1.31.7" in run("lock", "--env", "dev", "--update").stdout


def test_init_writes_an_example_once(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert CliRunner().invoke(command_line, ["init", str(folder)]).exit_code == 0
    assert "apiVersion: meshinstall.dev/v1" in (folder / "meshinstall.yaml").read_text()

    (folder / "meshinstall.yaml").write_text("mine")
    again = CliRunner().invoke(command_line, ["init", str(folder)])
    assert isinstance(again.exception, UsageError)
    assert (folder / "meshinstall.yaml").read_text() == "mine"


def test_init_says_when_commands_read_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("MESHINSTALL_CONFIG", str(tmp_path / "other"))
    told = CliRunner().invoke(command_line, ["init", str(tmp_path / "new")]).stderr
    assert f"MESHINSTALL_CONFIG is set to {tmp_path / 'other'}: commands read that, not {tmp_path / 'new/meshinstall.yaml'}" in told
    assert "unset it, or give --config" in told

    told = CliRunner().invoke(command_line, ["init", str(tmp_path / "other")]).stderr
    assert "MESHINSTALL_CONFIG" not in told
    monkeypatch.setenv("MESHINSTALL_CONFIG", str(tmp_path / "third/meshinstall.yaml"))
    assert "MESHINSTALL_CONFIG" not in CliRunner().invoke(command_line, ["init", str(tmp_path / "third")]).stderr


def test_init_says_where_it_may_not_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = CliRunner().invoke(command_line, ["init", str(tmp_path / "file")])
    assert isinstance(found.exception, UsageError)


def key(kind: str, name: str) -> ObjectKey:
    return ObjectKey("apps/v1", kind, "istio-system", name)


ISTIOD = ReleaseHealth(
    ReleaseKey("istio-system", "istiod"),
    Component.ISTIOD,
    Health.CURRENT,
    "",
    "istiod",
    VERSION,
    VERSION,
    "deployed",
    (Workload(key("Deployment", "istiod"), Health.CURRENT, "", 1, 1),),
)
GATEWAY = ReleaseHealth(
    ReleaseKey("istio-ingress", "ingress"),
    Component.GATEWAY,
    Health.IN_PROGRESS,
    "",
    "gateway",
    VERSION,
    VERSION,
    "deployed",
    (Workload(key("Service", "ingress"), Health.IN_PROGRESS, "has no load balancer address yet", service_type="LoadBalancer"),),
)
ROOT = Certificate("root", "ConfigMap a/b", CertificateTimes("O=cluster.local", NOW - timedelta(days=1), NOW + timedelta(days=400)))
WELL = MeshStatus(
    environment="dev",
    cluster="here",
    now=NOW,
    istio_version=VERSION,
    revision="default",
    releases=(ISTIOD,),
    proxies=Proxies(3, 3),
    certificates=(ROOT,),
    last_run=LastRun(
        "20261121T085730Z-69e38319", "done", "2026-11-21T08:57:59+00:00", "me@here/1-2", "dev", "default", VERSION, "sha256:1"
    ),
    holder=None,
)


def test_a_mesh_that_is_well_reads_so() -> None:
    assert WELL.is_current
    assert status_text(WELL) == (
        """\
Istio 1.31.0, revision default, environment dev on here

Everything is Current.

RELEASE              CHART          PODS  HEALTH
istio-system/istiod  istiod 1.31.0        Current
  Deployment istiod                 1/1   Current

Proxies           3 connected, 3 in sync
Root certificate  expires 2027-12-26, 400 days left (O=cluster.local)
Last run          done, 2026-11-21T08:57:59+00:00 by me@here
                  20261121T085730Z-69e38319, Istio 1.31.0, profile default
Lock              free"""
    )


def test_what_is_wrong_comes_first_and_fits_a_terminal() -> None:
    stale = StaleProxy("web-6d4b75cb6d-2xk8q.shop", "it rejects Listener: Error adding listener(s): 0.0.0.0_8080: cannot bind: in use")
    text = status_text(replace(WELL, releases=(ISTIOD, GATEWAY), proxies=Proxies(3, 1, (stale,))))
    lines = text.splitlines()
    assert lines[2:4] == [
        "Not everything is Current:",
        "✗ Service istio-system/ingress: InProgress, has no load balancer address yet",
    ]
    assert lines[4].startswith("✗ proxy web-6d4b75cb6d-2xk8q.shop: it rejects Listener")
    assert "istio-ingress/ingress  LoadBalancer  pending" in lines
    assert "Proxies           3 connected, 1 in sync, 1 being updated, 1 stale" in lines
    assert max(map(len, lines)) <= 80


def ending(days: int) -> MeshStatus:
    return replace(WELL, certificates=(Certificate("CA", "Secret a/b", CertificateTimes("O=x", NOW, NOW + timedelta(days=days))),))


def test_a_certificate_that_ended_is_a_problem_and_one_that_ends_soon_a_warning() -> None:
    assert list(ending(61).problems()) == []
    assert list(ending(61).warnings()) == []
    assert list(ending(60).warnings()) == ["the CA certificate in Secret a/b expires in 60 days"]
    assert ending(60).is_current
    assert not ending(0).is_current
    assert not list(ending(0).warnings())


def test_what_cannot_be_asked_is_called_not_known_with_the_reason() -> None:
    unknown = Certificate("CA", "Secret a/b", unknown="no permission for secrets")
    found = replace(WELL, proxies=Proxies(unknown="no permission for pods/portforward"), certificates=(unknown,))
    text = status_text(found)
    assert "! cannot tell which proxies are in sync: no permission for pods/portforward" in text
    assert "! cannot read the CA certificate: no permission for secrets" in text
    assert status_json(found)["proxies"] == {"known": False, "reason": "no permission for pods/portforward"}
    assert found.is_current


def test_nothing_installed_is_said_clearly_and_is_not_current() -> None:
    missing = ReleaseHealth(ISTIOD.key, Component.ISTIOD, Health.NOT_FOUND, "it is not installed")
    found = replace(WELL, releases=(missing,), istio_version="", revision="")
    assert status_text(found) == "Istio is not installed: none of the releases of environment dev is on here."
    assert not found.is_current


def test_a_hostile_cluster_cannot_write_to_the_terminal() -> None:
    assert "\x1b" not in status_text(replace(WELL, revision="\x1b[2J"))


@pytest.mark.parametrize(
    "status",
    [
        WELL,
        replace(WELL, releases=(ISTIOD, GATEWAY), last_run=None, holder=Holder("me", "2026-11-21T09:00:00Z", "up dev", is_dead=True)),
        replace(WELL, proxies=Proxies(unknown="x"), certificates=(Certificate("CA", "", unknown="x"),)),
        replace(WELL, proxies=Proxies(1, 0, (StaleProxy("a", "b"),))),
    ],
)
def test_a_status_as_json_follows_its_schema(status: MeshStatus) -> None:
    conforms(json.loads(json.dumps(status_json(status))), "status.json")
