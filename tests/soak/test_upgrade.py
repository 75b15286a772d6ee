"""A canary between two real Istios, under load: taken back after each stage, killed at each step, and with what must not come through.

Whatever happens: no request fails. After a rollback the mesh is where it was, and after the same command again it is where it should be.
"""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from meshinstall.model.upgrade import StageName
from testbed import pins
from testbed.waiting import until
from tests.cluster.dirty_mesh import GATEWAYS, INJECTED, under_load
from tests.cluster.two_istios import EOL, TwoIstios, two_istios
from tests.soak.upgrade_faults import FAULTS, UNREACHABLE, Fault

ALLOWED = ("--allow", "missing-fix")
# Exit statuses: something is left to do, and a command that has nothing to do its work on.
HELD, NOTHING_TO_GO_BACK_TO = 3, 2
# Those that a mesh without node agents has, in their order.
STAGES = tuple(
    stage.value
    for stage in (
        StageName.CRDS,
        StageName.CONTROL_PLANE,
        StageName.SCOUT,
        StageName.CANARY,
        StageName.GATEWAYS,
        StageName.TAGS,
        StageName.WORKLOADS,
        StageName.DEFAULT,
        StageName.RETIRE,
    )
)
# After the last of them nothing of the old is left to go back to.
UNDOABLE = STAGES[:-1]
# A line of a step that is done.
_STEP = re.compile("^✓ ", re.MULTILINE)
# Steps of one stage, more than there are.
_MOST = 60


class Meshes:
    """One cluster at a time with the mesh of 1.30.4 and charts of both; another one where a test left the mesh elsewhere."""

    def __init__(self, start: Callable[[], AbstractContextManager[TwoIstios]]) -> None:
        self._start = start
        self._stack = ExitStack()
        self._found: TwoIstios | None = None

    def old(self) -> TwoIstios:
        """The mesh as it is before the upgrade."""
        wanted = {(where, "default", pins.PREVIOUS) for where in (*INJECTED, *GATEWAYS)}
        found = self._found
        if found is None or found.istiods() != {"default": pins.PREVIOUS} or found.proxies(*INJECTED, *GATEWAYS) != wanted:
            self.end()
            found = self._found = self._stack.enter_context(self._start())
        return found

    def end(self) -> None:
        """Take the cluster down."""
        self._found = None
        self._stack.close()


@pytest.fixture(scope="module")
def meshes(build_part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meshes]:
    """Where tests get their mesh from."""
    found = Meshes(lambda: two_istios("soak-upgrade", build_part, tmp_path_factory.mktemp("project"), ()))
    try:
        yield found
    finally:
        found.end()


@pytest.fixture
def old(meshes: Meshes) -> TwoIstios:
    """The mesh as it is before the upgrade, whatever the test before came to."""
    return meshes.old()


def proxies(istios: TwoIstios) -> set[tuple[str, str]]:
    """Revisions and versions of the applications' proxies."""
    return {(revision, version) for _, revision, version in istios.proxies(*INJECTED)}


def go_until(istios: TwoIstios, stage: str) -> None:
    """Run the stages up to one that is not the last."""
    done = istios.carry_out("upgrade", "--to", pins.ISTIO, "--until", stage, *ALLOWED)
    assert done.status == HELD, done
    # It names the next stage, where it waits.
    assert f"as asked: --until {stage}" in done.out


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


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_each_step_of_a_stage_it_finishes_with_the_same_command(old: TwoIstios, stage: str) -> None:
    verdicts = old.verdicts()
    with under_load(old.shell) as watched:
        if stage != STAGES[0]:
            go_until(old, STAGES[STAGES.index(stage) - 1])
        # Each run comes one step further than the one before, or the stage is done.
        assert any(ended_before(old, stage, number) for number in range(_MOST))
        last = old.carry_out("upgrade", "--to", pins.ISTIO, *ALLOWED)
    assert last.status == 0, last
    assert watched.failures == []
    assert old.istiods() == {"1-31": pins.ISTIO}
    assert proxies(old) == {("1-31", pins.ISTIO)}
    assert old.verdicts() == verdicts
    assert old.plan(pins.ISTIO)["stages"] == []


def ended_before(istios: TwoIstios, stage: str, steps: int) -> bool:
    """Run as far as a stage, and kill it when so many steps are done; whether it ended by itself, and well, before."""
    with istios.program.started("upgrade", "--to", pins.ISTIO, "--until", stage, "--yes", *EOL, *ALLOWED) as run:
        until(lambda: run.process.poll() is not None or len(_STEP.findall(run.said())) >= steps, run.patience, run.said)
        run.process.send_signal(signal.SIGKILL)
        done = run.wait()
    assert done.status in {0, HELD, -signal.SIGKILL}, done
    return done.status != -signal.SIGKILL


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_version_that_must_not_come_through_does_not(old: TwoIstios, fault: Fault) -> None:
    before = old.where()
    with under_load(old.shell) as watched, fault.breaks(old.shell):
        done = old.carry_out("upgrade", "--to", pins.ISTIO, *ALLOWED, *fault.flags)
    assert done.status == fault.status, done
    assert fault.words in f"{done.out}{done.err}".lower()
    assert watched.failures == []
    # What failed was taken back, and what is not proven is used by nothing; what was done before it stands.
    assert old.istiods().get("default") == pins.PREVIOUS
    back = old.carry_out("upgrade rollback")
    assert back.status in {0, NOTHING_TO_GO_BACK_TO}, back
    assert old.where() == before


def test_it_holds_where_it_failed_when_it_is_told_to(old: TwoIstios) -> None:
    before = old.where()
    with under_load(old.shell) as watched:
        done = old.carry_out("upgrade", "--to", pins.ISTIO, "--on-failure", "hold", *UNREACHABLE, *ALLOWED)
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
    assert done.status == 1
    assert "PRE037" in done.err
