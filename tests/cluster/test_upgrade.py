"""From a real Istio of the minor before to the next by a second control plane, under load: planned, stopped at a gate, and done."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed import pins
from tests.cluster.dirty_mesh import GATEWAYS, INJECTED, under_load
from tests.cluster.meshinstall_run import REPOSITORY
from tests.cluster.transcript import first_missing, transcript
from tests.cluster.two_istios import TwoIstios, two_istios

pytestmark = pytest.mark.cluster

PAGE = REPOSITORY / "docs" / "upgrades.md"
PROXIED = (*INJECTED, *GATEWAYS)
# The fixes that 1.30.4 has and 1.31.0 has not: the first step of a plan to it must be allowed.
ALLOWED = ("--allow", "missing-fix")
# Requests of each kind that a load must at least have seen answered to prove something.
ENOUGH = 200


@pytest.fixture(scope="module")
def istios(build_part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoIstios]:
    """The mesh of 1.30.4, and charts of both."""
    with two_istios("upgrade", build_part, tmp_path_factory.mktemp("project"), ()) as found:
        yield found


def test_the_next_minor_is_planned_as_a_canary(istios: TwoIstios) -> None:
    plan = istios.plan(pins.ISTIO)
    assert plan["hops"] == [{"from": pins.PREVIOUS, "to": pins.ISTIO, "way": "canary"}]
    assert plan["strategy"]["way"] == "canary"
    assert plan["strategy"]["revision"] == "1-31"
    stages = {stage["name"]: [move["name"] for move in stage["moves"]] for stage in plan["stages"]}
    assert list(stages) == ["crds", "control-plane", "scout", "canary", "gateways", "tags", "workloads", "default", "retire"]
    assert stages["gateways"] == [f"Deployment {name}/{name}" for name in GATEWAYS]
    assert set(stages["workloads"]) == {
        *(f"Deployment busy/{name}" for name in ("caller", "crash", "proxy-user", "web")),
        "Deployment legacy/web",
        *(f"Deployment shop/{name}" for name in ("client", "web")),
    }
    assert plan["kept"] == []


def test_a_target_without_the_fixes_of_what_runs_must_be_allowed(istios: TwoIstios) -> None:
    refused = istios.printed(pins.ISTIO)
    assert refused.status == 3
    assert f"error PRE038: Istio {pins.ISTIO} lacks 2 security fixes" in refused.out
    assert refused.out.rstrip().endswith("It may not begin because of: PRE038.")
    allowed = istios.printed(pins.ISTIO, *ALLOWED)
    assert allowed.status == 3
    assert f"allowed (--allow missing-fix) PRE038: Istio {pins.ISTIO} lacks" in allowed.out
    assert allowed.out.rstrip().endswith("9 stages.")
    # The patch that has them needs no permission.
    assert " lacks " not in istios.printed(pins.RESTAMP).out


def test_a_version_that_never_starts_is_taken_back_at_its_gate(istios: TwoIstios) -> None:
    """The image of the new version never pulls."""
    before = istios.where()
    with under_load(istios.shell) as watched:
        # A registry that no node reaches: only the new istiod is pulled from it.
        done = istios.carry_out("upgrade", "--to", pins.ISTIO, "--set", "istiod.hub=registry.invalid/istio", *ALLOWED)
    assert done.status == 1, done
    assert "taken back at stage control-plane" in done.out
    assert watched.failures == []
    assert istios.istiods() == {"default": pins.PREVIOUS}
    assert istios.where() == before


def test_the_next_minor_comes_without_a_failed_request(istios: TwoIstios) -> None:
    verdicts = istios.verdicts()
    with under_load(istios.shell) as watched:
        done = istios.carry_out("upgrade", "--to", pins.ISTIO, *ALLOWED)
        assert done.status == 0, done
        watched.until_drained()
    assert watched.failures == []
    assert watched.least >= ENOUGH
    assert istios.istiods() == {"1-31": pins.ISTIO}
    assert istios.proxies(*PROXIED) == {(where, "1-31", pins.ISTIO) for where in PROXIED}
    assert istios.verdicts() == verdicts
    assert istios.plan(pins.ISTIO)["stages"] == []
    assert f'istio: {{version: "{pins.ISTIO}", revisions: true}}' in done.out
    assert first_missing(transcript(PAGE, "A canary, from the first command to the last"), done.err) == ""
    istios.wants(version=pins.ISTIO, revisions=True)
    assert istios.program.pending() == {}
