"""What several commands make of their options."""

from pathlib import Path

import pytest

from meshinstall.checks.preflight import ALLOWABLE
from meshinstall.cli.options import allowed
from meshinstall.cli.target import read
from meshinstall.errors import ConfigError, UsageError
from meshinstall.model.cluster import Cloud
from meshinstall.model.request import Request


def test_every_finding_that_may_be_allowed_has_its_name() -> None:
    assert allowed(sorted(ALLOWABLE.values())) == frozenset(ALLOWABLE.values())
    assert allowed(None) == frozenset()


def test_a_name_that_allows_nothing_is_refused_with_those_that_do() -> None:
    with pytest.raises(UsageError, match="--allow everything") as caught:
        allowed(["eol", "everything"])
    names = "at-work, downgrade, downtime, environment, eol, foreign, gateway-outage, in-use, kept-policies, kubernetes, minor-in-place"
    more = "missing-fix, new-root, no-policies, occupied, plaintext, refused, skip-minor, strict, takeover, webhook-port"
    assert caught.value.hint == f"one of {names}, {more}"


def test_options_reach_what_is_desired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    request = Request(
        environment="dev",
        cloud=Cloud.LOCAL,
        cluster={"context": "mine", "kubeconfig": str(tmp_path / "config")},
        profile="minimal",
        charts="oci://registry.example/charts",
        istio_version="1.30.2",
        sets=("istiod.pilot.autoscaleMin=3",),
    )
    _, desired = read(request)
    assert desired.environment == "dev"
    assert desired.profile == "minimal"
    assert desired.istio_version == "1.30.2"
    assert desired.cluster.context == "mine"
    assert desired.cluster.kubeconfig == tmp_path / "config"
    istiod = desired.releases[-1]
    assert istiod.chart.source == "oci://registry.example/charts"
    assert istiod.chart.version == "1.30.2"
    assert istiod.values.merged()["pilot"]["autoscaleMin"] == 3


def test_the_users_file_is_found_above_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meshinstall.yaml").write_text("apiVersion: meshinstall.dev/v1\nenvironments: {blue: {cloud: local, profile: minimal}}\n")
    (tmp_path / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "down")
    monkeypatch.delenv("MESHINSTALL_CONFIG", raising=False)
    project, desired = read(Request(environment="blue"))
    assert project.folder == tmp_path
    assert desired.profile == "minimal"


def test_mistakes_are_configuration_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        read(Request(environment="dev", cloud=Cloud.LOCAL, sets=("nonsense",)))
    with pytest.raises((ConfigError, UsageError)):
        read(Request(environment="dev", cloud=Cloud.LOCAL, profile="huge"))
