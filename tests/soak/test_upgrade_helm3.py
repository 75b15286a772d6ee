"""A canary between two real Istios, under load, with Helm 3, and with Helm 4 over the releases that Helm 3 made."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from testbed import pins
from tests.cluster.dirty_mesh import under_load
from tests.cluster.meshinstall_run import meshinstall
from tests.cluster.two_istios import TwoIstios, two_istios
from tests.soak.upgrade_mesh import assert_finishes

INSTALLED_BY = "helm3"


@pytest.fixture(params=["helm3", "helm4"])
def upgrading(request: pytest.FixtureRequest, build_part: Callable[[str], Path], tmp_path: Path) -> Iterator[TwoIstios]:
    """A mesh that Helm 3 installed, and a meshinstall that has one of both to upgrade it with."""
    with two_istios("soak-helm", build_part, tmp_path, (), helm=INSTALLED_BY) as found:
        path = meshinstall(found.shell.cluster, str(request.param)).env["PATH"]
        yield replace(found, program=found.program.having(PATH=path))


def test_the_next_minor_comes_with_either_helm_over_releases_of_helm_3(upgrading: TwoIstios) -> None:
    verdicts = upgrading.verdicts()
    with under_load(upgrading.shell) as watched:
        assert_finishes(upgrading)
        watched.until_drained()
    assert watched.failures == []
    assert upgrading.verdicts() == verdicts
    upgrading.wants(version=pins.ISTIO, revisions=True)
    assert upgrading.program.pending() == {}
