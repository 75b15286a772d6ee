"""A canary between two real Istios, under load, killed after each step: the same command finishes it, and no request fails."""

import re
import signal

import pytest

from testbed.waiting import until
from tests.cluster.dirty_mesh import under_load
from tests.cluster.two_istios import EOL, TwoIstios
from tests.soak.upgrade_mesh import HELD, STAGES, UPGRADE, Meshes, assert_finishes

# A line of a step that is done.
_STEP = re.compile("^✓ ", re.MULTILINE)
# Steps of one stage, more than there are.
_MOST = 60


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_each_step_of_a_stage_it_finishes_with_the_same_command(meshes: Meshes, stage: str) -> None:
    """The process is killed with SIGKILL at every boundary that the stage has; each run comes one step further than the one before."""
    istios = meshes.before(stage)
    verdicts = istios.verdicts()
    with under_load(istios.shell) as watched:
        assert any(ended_before(istios, stage, number) for number in range(_MOST))
        if stage == STAGES[-1]:
            assert_finishes(istios)
    assert watched.failures == []
    assert istios.verdicts() == verdicts


def ended_before(istios: TwoIstios, stage: str, steps: int) -> bool:
    """Run as far as a stage, and kill it when so many steps are done; whether it ended by itself, and well, before."""
    with istios.program.started("upgrade", "--until", stage, "--yes", *EOL, *UPGRADE) as run:
        until(lambda: run.process.poll() is not None or len(_STEP.findall(run.said())) >= steps, run.patience, run.said)
        run.process.send_signal(signal.SIGKILL)
        done = run.wait()
    assert done.status in {0, HELD, -signal.SIGKILL}, done
    return done.status != -signal.SIGKILL
