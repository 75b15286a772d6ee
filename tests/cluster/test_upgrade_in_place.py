"""From a real Istio of the minor before to the next in place, and from there to a patch, under load.

A patch in place is also what test_nights has, in a pod of the cluster.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed import pins
from tests.cluster.dirty_mesh import BROKEN, GATEWAYS, INJECTED, under_load
from tests.cluster.two_istios import EOL, TwoIstios, two_istios

pytestmark = [pytest.mark.cluster, pytest.mark.extra]

PROXIED = (*INJECTED, *GATEWAYS)
# Requests of each kind that a load must at least have seen answered to prove something.
ENOUGH = 100


@pytest.fixture(scope="module")
def istios(build_part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoIstios]:
    """Nodes have the images of three versions."""
    with two_istios("in-place", build_part, tmp_path_factory.mktemp("project"), ("images-restamp",)) as found:
        yield found


def test_up_brings_the_next_minor_without_a_failed_request_and_leaves_sidecars(istios: TwoIstios) -> None:
    verdicts = istios.verdicts()
    istios.wants(version=pins.ISTIO)
    with under_load(istios.shell) as watched:
        refused = istios.program.run("up", "--yes", "--no-verify")
        assert (refused.status, "PRE048" in refused.err) == (1, True), refused
        istios.program.up("--no-verify", "--allow", "minor-in-place")
        watched.until_drained()
    assert watched.failures == []
    assert watched.least >= ENOUGH
    assert istios.istiods() == {"default": pins.ISTIO}
    assert istios.proxies(*GATEWAYS) == {(where, "default", pins.ISTIO) for where in GATEWAYS}
    assert istios.proxies(*INJECTED) == {(where, "default", pins.PREVIOUS) for where in INJECTED}
    assert istios.verdicts() == verdicts
    # What is left to do: the workloads.
    assert [stage["name"] for stage in istios.plan(pins.ISTIO)["stages"]] == ["workloads"]


def test_workloads_follow_in_waves_without_a_failed_request_and_once(istios: TwoIstios) -> None:
    istios.wants({"name": "first", "namespaces": ["legacy"]}, {"name": "rest", "namespaces": ["*"], "parallel": 3}, version=pins.ISTIO)
    istios.program.up("--no-verify", "--allow", "minor-in-place")
    before = istios.templates()
    with under_load(istios.shell) as watched:
        done = istios.program.run("upgrade", "--to", pins.ISTIO, "--yes", *EOL, "--allow", "downtime")
        assert done.status == 3, done
    assert watched.failures == []
    assert "wave first (1 of 2)" in done.err
    assert "busy/crash" in done.out
    assert istios.proxies("shop", "legacy") == {(where, "default", pins.ISTIO) for where in ("shop", "legacy")}
    after = istios.templates()
    assert {name for name, one in after.items() if one != before[name]} == {name for name in after if name not in BROKEN}
    marks = {one.get("meshinstall.dev/restarted-for") for name, one in after.items() if name not in BROKEN}
    assert marks == {f"{pins.ISTIO}/default"}
    again = istios.program.run("upgrade", "--to", pins.ISTIO, "--yes", *EOL, "--allow", "downtime")
    assert again.status == 3, again
    assert istios.templates() == after


def test_a_patch_comes_in_place_without_a_failed_request(istios: TwoIstios) -> None:
    istios.wants(version=pins.ISTIO)
    istios.program.up("--no-verify", "--allow", "minor-in-place")
    verdicts = istios.verdicts()
    with under_load(istios.shell) as watched:
        done = istios.carry_out("upgrade", "--to", pins.RESTAMP)
        assert done.status == 0, done
        watched.until_drained()
    assert watched.failures == []
    assert watched.least >= ENOUGH
    assert istios.istiods() == {"default": pins.RESTAMP}
    assert istios.proxies(*PROXIED) == {(where, "default", pins.RESTAMP) for where in PROXIED}
    assert istios.verdicts() == verdicts
    istios.wants(version=pins.RESTAMP)
    assert istios.program.pending() == {}
