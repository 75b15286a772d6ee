"""A canary between two real Istios, under load: taken back after each stage, held where it failed, and left alone by ``up``.

Whatever happens: no request fails, and after a rollback the mesh is where it was.
"""

import json

import pytest

from meshinstall.model.upgrade import StageName
from testbed import pins
from tests.cluster.dirty_mesh import GATEWAYS, under_load
from tests.cluster.two_istios import EOL, TwoIstios
from tests.soak.upgrade_faults import UNREACHABLE
from tests.soak.upgrade_mesh import NOTHING_TO_GO_BACK_TO, STAGES, UPGRADE, go_until

# After the last of them nothing of the old is left to go back to.
UNDOABLE = STAGES[:-1]


def test_its_gateways_are_scaled_and_guarded(old: TwoIstios) -> None:
    """Every gateway that the soaks upgrade has an HPA, and one a PDB: without them they would prove less than they say."""
    found = json.loads(old.shell.ok("kubectl", "get", "hpa,pdb", "-A", "-o", "json"))["items"]
    named = {(item["kind"], item["metadata"]["namespace"]) for item in found}
    assert {("HorizontalPodAutoscaler", name) for name in GATEWAYS} <= named
    assert ("PodDisruptionBudget", "istio-wide") in named


@pytest.mark.parametrize("stage", UNDOABLE)
def test_it_goes_back_after_each_stage(old: TwoIstios, stage: str) -> None:
    before = old.where()
    with under_load(old.shell) as watched:
        go_until(old, stage)
        back = old.carry_out("upgrade rollback")
    # CRDs stay, and without a second istiod nothing else was changed.
    assert back.status == (NOTHING_TO_GO_BACK_TO if stage == STAGES[0] else 0), back
    assert watched.failures == []
    assert old.where() == before


def test_it_holds_where_it_failed_when_it_is_told_to(old: TwoIstios) -> None:
    before = old.where()
    with under_load(old.shell) as watched:
        done = old.carry_out("upgrade", "--on-failure", "hold", *UNREACHABLE, *UPGRADE)
        assert done.status == 1, done
        held = old.istiods()
        back = old.carry_out("upgrade rollback")
    assert held == {"default": pins.PREVIOUS, "1-31": pins.ISTIO}
    assert back.status == 0, back
    assert watched.failures == []
    assert old.where() == before


def test_up_does_not_undo_what_is_half_done(old: TwoIstios) -> None:
    go_until(old, StageName.GATEWAYS)
    done = old.program.run("up", "--yes", *EOL)
    assert done.status == 1, done
    assert "PRE037" in done.err
