"""Installs and removals through a proxy that delays, resets, throttles, fails and drips, and runs that are ended at each step.

Nothing is lost: whatever a run came to, the same command again finishes, and leaves no lock, no pending release and no probes.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshinstall.model.ownership import RUN_OBJECT
from testbed import cluster as testbed_cluster
from testbed.cluster import Cluster
from testbed.spec import Nodes
from testbed.waiting import until
from tests.cluster.meshinstall_run import Done, Program, helm_records, meshinstall
from tests.soak.chaos import SECRET, Chaos, chaos

ROUNDS = 20
# How often a command may be repeated until it succeeds: helm does not ride out all that we do.
TRIES = 8
# Seconds in which a run that was told to end is gone.
GONE = 5
BOUNDARIES = ("✓ namespace/istio-system", "✓ istio-system/istio-base", "✓ istio-system/istiod")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of this worker."""
    name = f"chaos-{os.getpid()}"
    yield testbed_cluster.up(name, Nodes.REAL, say)
    testbed_cluster.down(name)


@pytest.fixture
def calm(cluster: Cluster) -> Program:
    """The same command straight to the cluster."""
    return meshinstall(cluster).having("--profile", "minimal")


def say(line: str) -> None:
    """Tell how it goes; shown when a round fails, or with -s."""
    sys.stdout.write(f"{line}\n")


def stormy(calm: Program, file: Path) -> Program:
    """The command through the proxy."""
    return calm.having(KUBECONFIG=str(file))


def until_done(program: Program, server: Chaos, *command: str) -> None:
    """Repeat a command until it succeeds."""
    for attempt in range(TRIES):
        done = program.run(*command)
        checked(done)
        if done.status == 0:
            return
        say(f"try {attempt + 1} of {command[0]}: status {done.status}\n{done.err[-2000:]}")
    pytest.fail(f"{command[0]} did not succeed in {TRIES} tries; the proxy did {server.done}\n{done}")


def checked(done: Done) -> None:
    """No output has a login or a traceback."""
    assert SECRET not in done.out + done.err, "a secret is in the output"
    assert "Traceback" not in done.err, done.err


def left(cluster: Cluster) -> list[str]:
    """What a run must not leave."""
    api = cluster.api()
    pending = [name for status in ("pending-install", "pending-upgrade", "uninstalling") for name in helm_records(cluster, status)]
    probes = [one["metadata"]["name"] for one in api.get("/api/v1/namespaces")["items"] if "deletionTimestamp" not in one["metadata"]]
    held = [str(spec["holderIdentity"]) for spec in leases(cluster) if spec.get("holderIdentity")]
    return [*pending, *(name for name in probes if name.startswith("meshinstall-probe-")), *held]


def leases(cluster: Cluster) -> list[dict[str, Any]]:
    """The run lock, where there is one."""
    found = cluster.api().get("/apis/coordination.k8s.io/v1/leases")["items"]
    return [one["spec"] for one in found if one["metadata"]["name"] == RUN_OBJECT]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_an_install_and_its_removal_complete(cluster: Cluster, calm: Program, tmp_path: Path, number: int) -> None:
    """The round is the seed; every fourth one proves mTLS, too."""
    with chaos(cluster, tmp_path, number) as (server, file):
        program = stormy(calm, file)
        until_done(program, server, "up", "--yes", *([] if number % 4 == 0 else ["--no-verify"]))
        assert left(cluster) == []
        assert calm.pending() == {}
        until_done(program, server, "down", "--yes", "--crds")
        assert left(cluster) == []
        assert [one for status in ("deployed", "failed") for one in helm_records(cluster, status)] == []
    say(f"seed {number}: { ({one.name: count for one, count in server.done.items() if count}) }")


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda one: one.name)
def test_a_run_that_is_ended_at_a_step_finishes_with_the_same_command(
    cluster: Cluster, calm: Program, tmp_path: Path, number: signal.Signals, boundary: str
) -> None:
    calm.run("down", "--yes", "--crds")
    with chaos(cluster, tmp_path, 1000 + SIGNALS.index(number) * len(BOUNDARIES) + BOUNDARIES.index(boundary)) as (server, file):
        program = stormy(calm, file)
        with program.started("up", "--yes", "--no-verify") as run:
            until(lambda: boundary in run.said() or run.process.poll() is not None, 100, run.said)
            run.process.send_signal(number)
            status = run.process.wait(GONE)
            checked(Done(status, "", run.said()))
        if number is not signal.SIGKILL and boundary in run.said():
            # That one was lucky when it was done already, or had failed.
            assert status in {130, 0, 1}, run.said()
        until_done(program, server, "up", "--yes", "--no-verify")
        assert left(cluster) == []
        assert calm.pending() == {}
        until_done(program, server, "down", "--yes", "--crds")
        assert left(cluster) == []
