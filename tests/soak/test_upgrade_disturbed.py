"""A canary between two real Istios, under load, and what others do meanwhile: the API server and the node restart, a second shell is busy.

Whatever a run came to, the same command finishes its stage, and no request fails.
"""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from meshinstall.model.upgrade import StageName
from testbed import pins
from tests.cluster.dirty_mesh import under_load
from tests.cluster.meshinstall_run import Running
from tests.cluster.node_parts import restart
from tests.cluster.two_istios import EOL, TwoIstios
from tests.soak.upgrade_mesh import HELD, UPGRADE, Meshes, go_until

RUN = ("upgrade", "--yes", *EOL, *UPGRADE)
UP, DOWN = ("up", "--yes", "--no-verify", *EOL), ("down", "--yes", "--allow", "in-use")
NODE, API_SERVER = ("containerd", "kubelet"), ("kube-apiserver",)
# Exit statuses: done, taken back, left to others or to the next command, and not proven.
STATUSES = {0, 1, HELD, 5}
LOCKED = r"has held the lock of this mesh since .* \(upgrade dev to 1\.31\.0"


@contextmanager
def in_the_middle(istios: TwoIstios, stage: str) -> Iterator[Running]:
    """An upgrade as far as this stage, which has just begun."""
    with istios.program.started(*RUN, "--until", stage) as run:
        run.until_it_says(rf"stage \d+ of \d+, {re.escape(stage)}")
        yield run


def test_a_second_shell_is_refused_while_an_upgrade_runs(meshes: Meshes) -> None:
    """Two upgrades at once, and ``up`` and ``down`` in between: who holds the lock is named, and nothing is undone."""
    istios = meshes.before(StageName.CONTROL_PLANE)
    with under_load(istios.shell) as watched:
        with in_the_middle(istios, StageName.CONTROL_PLANE) as run:
            # It lives, and does not end before the others have asked.
            run.process.send_signal(signal.SIGSTOP)
            again, down, up = (istios.program.run(*words) for words in (RUN, DOWN, UP))
            run.end(signal.SIGKILL)
        for other in (again, down):
            assert other.status == 1, other
            assert re.search(LOCKED, other.err), other
        # It has nothing to do yet, and says why it would do nothing else.
        assert up.status == 0, up
        assert "PRE028: another run is at work on this mesh" in up.err
        go_until(istios, StageName.CONTROL_PLANE)
        # Who comes after it finds nothing to do.
        late = istios.program.run(*RUN, "--until", StageName.CONTROL_PLANE)
        assert late.status == HELD, late
        assert "control-plane:" not in late.err
    assert watched.failures == []


@pytest.mark.parametrize(
    ("stage", "killed"),
    [(StageName.SCOUT, API_SERVER), (StageName.GATEWAYS, NODE), (StageName.TAGS, API_SERVER)],
    ids=["api-server-scout", "node-gateways", "api-server-tags"],
)
def test_what_the_cluster_stands_on_is_killed_and_starts_again(meshes: Meshes, stage: str, killed: tuple[str, ...]) -> None:
    """The API server restarts, or the node's kubelet and containerd do: the run finishes or holds, and the same command finishes."""
    istios = meshes.before(stage)
    with under_load(istios.shell) as meanwhile, in_the_middle(istios, stage) as run:
        restart(istios.shell.cluster, *killed)
        done = run.wait()
    assert done.status in STATUSES, done
    with under_load(istios.shell) as after:
        go_until(istios, stage)
    assert after.failures == []
    # A kubelet that starts calls pods not ready until it has probed them, with or without an upgrade.
    assert killed == NODE or meanwhile.failures == []


def test_up_after_a_kill_says_where_the_upgrade_is_and_undoes_nothing(meshes: Meshes) -> None:
    """Somebody runs ``up`` between a killed upgrade and the same command again."""
    istios = meshes.before(StageName.DEFAULT)
    with under_load(istios.shell) as watched:
        with in_the_middle(istios, StageName.DEFAULT) as run:
            run.end(signal.SIGKILL)
        done = istios.program.run(*UP)
        assert done.status == 1, done
        assert "PRE037" in done.err
        assert istios.istiods() == {"default": pins.PREVIOUS, "1-31": pins.ISTIO}
        go_until(istios, StageName.DEFAULT)
    assert watched.failures == []


def test_down_in_the_middle_removes_both_istiods(meshes: Meshes) -> None:
    """Somebody runs ``down`` in the middle of an upgrade: all of it goes, the second istiod and the tags too."""
    istios = meshes.before(StageName.RETIRE)
    assert istios.istiods() == {"default": pins.PREVIOUS, "1-31": pins.ISTIO}
    # Every proxy has moved to the second istiod, which is as much in use as the first.
    refused = istios.program.run("down", "--yes")
    assert refused.status == 1, refused
    assert "PRE023: this control plane is in use" in refused.err
    done = istios.program.run(*DOWN)
    assert done.status == 0, done
    assert istios.istiods() == {}
    webhooks = istios.shell.ok("kubectl", "get", "mutatingwebhookconfigurations,validatingwebhookconfigurations", "-o", "name")
    assert "istio" not in webhooks
