"""The command ``diff`` as users type it: two environments, no cluster."""

import json
from pathlib import Path

import pytest

from tests.cli.running import Run

PROJECT = (
    "apiVersion: meshinstall.dev/v1\nenvironments:\n  one: {cloud: eks}\n  two: {clouds: {eks: {istio: {version: 1.30.4}}, gke: {}}}\n"
)


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> None:
    """Two environments, one of them on two clouds."""
    (tmp_path / "meshinstall.yaml").write_text(PROJECT)


def test_two_environments_are_compared_by_what_they_want(run: Run) -> None:
    done = run("diff", "--env", "one", "--env", "two/eks")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[:3] == ["Istio", "  one      1.31   (<built-in>)", "  two/eks  1.30.4   (meshinstall.yaml:4)"]
    document = json.loads(run("diff", "--env", "one", "--env", "two/gke", "-o", "json").out)
    assert document["environments"] == ["one", "two/gke"]


def test_a_minor_is_what_the_lock_pins(run: Run, tmp_path: Path) -> None:
    pins = [f"- {{name: {name}, version: 1.30.4, source: x, digest: sha256:{'0' * 64}}}" for name in ("base", "istiod", "gateway")]
    (tmp_path / "meshinstall.lock").write_text("\n".join(["apiVersion: meshinstall.dev/lock/v1", "charts:", *pins]) + "\n")
    document = json.loads(run("diff", "--env", "one", "--env", "two/eks", "--istio-version", "1.30", "-o", "json").out)
    assert "Istio" not in [difference["what"] for difference in document["differences"]]
    (tmp_path / "meshinstall.yaml").write_text(PROJECT.replace("one: {cloud: eks}", "one: {cloud: eks, istio: {version: '1.30'}}"))
    assert "Istio" not in run("diff", "--env", "one", "--env", "two/eks").out.splitlines()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--env", "one"), "name two"),
        (("--env", "one", "--env", "two"), "the environment two is on several clouds"),
        (("--env", "one", "--env", "two/mars"), "'two/mars' names no cloud"),
        (("--env", "one", "--env", "three"), "there is no environment 'three'"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(run: Run, flags: tuple[str, ...], said: str) -> None:
    done = run("diff", *flags)
    assert done.status == 2
    assert said in done.err
