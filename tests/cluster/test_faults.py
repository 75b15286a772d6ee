"""Whatever goes wrong, a user is told what and where, and the same command again finishes."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from meshinstall.model.ownership import RUN_OBJECT
from testbed.cluster import Cluster
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import (
    REPOSITORY,
    TARGET,
    Done,
    Program,
    Running,
    helm_processes,
    helm_records,
    istiod_held,
    meshinstall,
    writes_held,
)
from tests.cluster.node_parts import restart

pytestmark = pytest.mark.cluster

_SYSTEM = "istio-system"


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster) -> Program:
    """Meshinstall with the default profile."""
    return meshinstall(own_module_cluster)


@pytest.fixture(scope="module")
def minimal(program: Program) -> Program:
    """Meshinstall for the control plane alone."""
    return program.having("--profile", "minimal")


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell."""
    return Shell(own_module_cluster, tuple(build_part(name) for name in ("helm4", "kubectl")))


@pytest.fixture
def empty(program: Program, shell: Shell) -> None:
    """Nothing of Istio is there."""
    if shell.run("kubectl", "get", "namespace", _SYSTEM).returncode == 0:
        program.ok("down", "--crds", "--yes")


@pytest.fixture
def installed(minimal: Program, own_module_cluster: Cluster) -> None:
    """The control plane is there, perhaps with values of the test before."""
    if "istiod" not in helm_records(own_module_cluster, "deployed"):
        minimal.up()


@pytest.mark.usefixtures("empty")
def test_killed_at_any_step_it_finishes_with_the_same_command(program: Program, own_module_cluster: Cluster, shell: Shell) -> None:
    def helm_is_at(name: str) -> Callable[[], bool]:
        return lambda: name in helm_records(own_module_cluster, "pending-install")

    def said(pattern: str) -> tuple[AbstractContextManager[None], Callable[[Running], None]]:
        return nullcontext(), lambda run: run.until_it_says(pattern)

    moments: list[tuple[AbstractContextManager[None], Callable[[Running], None]]] = [
        said("✓ namespace/istio-system"),
        (nullcontext(), lambda run: run.until(helm_is_at("istio-base"), "helm is in the middle of istio-base")),
        said("✓ istio-system/istio-base"),
        # Helm takes part of a second for it: too short for a look that comes late.
        (istiod_held(shell), lambda run: run.until(helm_is_at("istiod"), "helm is in the middle of istiod")),
        said("istio-system/istiod: … .*(pods are|webhook)|✓ istio-system/istiod"),
        said("istio-ingress/istio-ingress: … Deployment"),
    ]
    for held, reached in moments:
        with held, program.started("up", "--yes") as run:
            reached(run)
            assert run.end(signal.SIGKILL).status == -signal.SIGKILL
    # What follows the last release takes a moment only.
    with writes_held(shell, "security.istio.io", "peerauthentications"), program.started("up", "--yes") as run:
        run.until_it_says("✓ istio-ingress/istio-ingress|PeerAuthentication/istio-system/default: apply")
        assert run.end(signal.SIGKILL).status == -signal.SIGKILL
    program.up()
    assert program.pending() == {}
    assert helm_processes(own_module_cluster) == []


@pytest.mark.usefixtures("installed")
def test_a_killed_helm_is_told_and_mended(minimal: Program, own_module_cluster: Cluster, shell: Shell) -> None:
    change = minimal.having("--set", "istiod.env.KILLED_HELM=1")
    with istiod_held(shell), change.started("up", "--yes") as run:
        run.until(lambda: "istiod" in helm_records(own_module_cluster, "pending-upgrade"), "helm is in the middle of istiod")
        for helm in helm_processes(own_module_cluster):
            os.kill(helm, signal.SIGKILL)
        done = run.wait()
    assert done.status == 1, done
    assert re.search("✗ istio-system/istiod: .*helm.*SIGKILL", done.err), done.err

    # Beside it the policy may be pending: its labels name the profile of whoever ran last.
    step = change.pending()["istio-system/istiod"]
    assert step["repair"]
    assert "the last helm run was interrupted (pending-upgrade" in " ".join(step["reasons"])
    change.up()
    assert change.pending() == {}


@pytest.mark.usefixtures("installed")
def test_ctrl_c_ends_helm_and_says_how_to_go_on(minimal: Program, own_module_cluster: Cluster, shell: Shell) -> None:
    change = minimal.having("--set", "istiod.env.INTERRUPTED=1")
    with istiod_held(shell), change.started("up", "--yes") as run:
        run.until(lambda: "istiod" in helm_records(own_module_cluster, "pending-upgrade"), "helm is in the middle of istiod")
        done = run.end(signal.SIGINT)
    assert done.status == 130, done
    assert "Traceback" not in done.err
    assert re.search("✗ istio-system/istiod: stopped after .*helm upgrade", done.err), done.err
    assert re.search("meshinstall: .*interrupted", done.err), done.err
    assert re.search("hint: .*same command", done.err), done.err
    assert helm_processes(own_module_cluster) == []
    change.up()
    assert change.pending() == {}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_job_s_end_and_a_terminal_s_leave_no_lock_no_pending_release_and_no_helm(
    minimal: Program, own_module_cluster: Cluster, shell: Shell, number: signal.Signals
) -> None:
    change = minimal.having("--set", f"istiod.env.ENDED={number.name}")
    with istiod_held(shell), change.started("up", "--yes") as run:
        run.until(lambda: "istiod" in helm_records(own_module_cluster, "pending-upgrade"), "helm is in the middle of istiod")
        done = run.end(number)
    assert done.status == 130, done
    assert helm_processes(own_module_cluster) == []
    assert helm_records(own_module_cluster, "pending-upgrade") == []
    assert _holder(own_module_cluster) == ""
    change.up()
    assert change.pending() == {}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_job_s_end_and_a_terminal_s_leave_no_probes(program: Program, own_module_cluster: Cluster, number: signal.Signals) -> None:
    def probes() -> list[str]:
        found = own_module_cluster.api().get("/api/v1/namespaces")["items"]
        live = [one["metadata"]["name"] for one in found if "deletionTimestamp" not in one["metadata"]]
        return [name for name in live if name.startswith("meshinstall-probe-")]

    with program.started("verify") as run:
        run.until(lambda: bool(probes()), "the probes are there")
        done = run.end(number)
    assert done.status == 130, done
    assert probes() == []


def _holder(cluster: Cluster) -> str:
    """Who has the lock of the mesh."""
    lease = cluster.api().get(f"/apis/coordination.k8s.io/v1/namespaces/{_SYSTEM}/leases/{RUN_OBJECT}")
    return str(lease["spec"].get("holderIdentity") or "")


@pytest.mark.usefixtures("installed")
def test_a_second_run_hears_who_holds_the_lock_and_a_dead_holder_is_known_at_once(minimal: Program) -> None:
    change = minimal.having("--set", "istiod.env.LOCKED=1")
    with change.started("up", "--yes") as first:
        first.until_it_says("istio-system/istiod: … ")  # a step: what comes before it is told without the lock
        first.process.send_signal(signal.SIGSTOP)
        second = change.run("up", "--yes")
        first.end(signal.SIGKILL)
    assert second.status == 1, second
    holder = rf"\S+@\S+/{first.process.pid}-\d+"  # user@host/place/pid-start
    since = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
    assert re.search(rf"{holder} has held the lock of this mesh since {since} \(up dev, run \S+\)", second.err), second.err
    change.up()
    assert change.pending() == {}


@pytest.mark.usefixtures("installed")
def test_an_image_that_cannot_be_pulled_is_told_in_seconds(minimal: Program) -> None:
    done = minimal.run("up", "--yes", "--set", "istiod.global.tag=none-such")
    assert done.status == 1, done
    found = re.search(r"✗ istio-system/istiod: stopped after ([0-9.]+) s: .*(ErrImagePull|ImagePullBackOff).*:none-such", done.err)
    assert found, done.err
    # Twice asked for it, 10 s apart, and not for a third time.
    assert float(found[1]) < 30
    minimal.up()
    assert minimal.pending() == {}


@pytest.mark.usefixtures("installed")
def test_a_pod_that_fits_on_no_node_is_told_before_the_timeout(minimal: Program) -> None:
    done = minimal.run("up", "--yes", "--set", "istiod.resources.requests.cpu=64")
    assert done.status == 1, done
    assert re.search(r"✗ istio-system/istiod: stopped after [0-9.]+ s: .*does not fit on any node: .*Insufficient cpu", done.err), done.err
    minimal.up()
    assert minimal.pending() == {}


@pytest.mark.usefixtures("installed")
def test_a_load_balancer_that_stays_pending_is_what_the_timeout_tells(program: Program, shell: Shell) -> None:
    if shell.run("kubectl", "get", "service", "istio-ingress", "-n", "istio-ingress").returncode == 0:
        shell.ok("helm", "uninstall", "istio-ingress", "-n", "istio-ingress", "--wait")
    pending = r"istio-ingress.service.annotations.testbed\.meshinstall\.dev/pending=true"
    done = program.run("up", "--yes", "--timeout", "10", "--set-string", pending)
    assert done.status == 1, done
    assert re.search("not done in 10 s; .*Service istio-ingress/istio-ingress.* has no load balancer address yet", done.err), done.err
    program.up()
    assert program.pending() == {}


@pytest.mark.usefixtures("installed")
def test_it_lives_through_a_restart_of_the_api_server(minimal: Program, own_module_cluster: Cluster) -> None:
    change = minimal.having("--set", "istiod.env.RESTARTED=1")
    with change.started("up", "--yes") as run:
        run.until_it_says("istio-system/istiod: … Deployment")
        restart(own_module_cluster, "kube-apiserver")
        done = run.wait()
    assert done.status == 0, done
    assert change.pending() == {}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("taken", [4096, 0], ids=["full-from-the-start", "full-on-the-way"])
def test_a_disk_that_is_full_costs_the_journal_and_nothing_else(minimal: Program, tmp_path: Path, taken: int) -> None:
    state = tmp_path / "state" / "meshinstall"
    state.mkdir(parents=True)
    # A value that is longer than the disk: the journal begins with the run, and cannot go on with the step that changes it.
    full = minimal.having("--set-string", f"istiod.env.DISK_FULL={taken}{'x' * 5000}", XDG_STATE_HOME=str(state.parent))
    done = _with_a_page_of_disk(full, state, taken, "--yes")
    assert done.status == 0, done
    complaint = rf"the journal {state}/runs/\S+\.jsonl cannot be written \(No space left on device\); the run continues without it"
    assert len(re.findall(complaint, done.err)) == 1, done.err
    assert full.pending() == {}
    # A run that fails still says why.
    failed = _with_a_page_of_disk(full, state, taken, "--yes", "--set", "istiod.resources.requests.cpu=64")
    assert failed.status == 1, failed
    assert re.search("meshinstall: istio-system/istiod: .*does not fit on any node: .*Insufficient cpu", failed.err), failed.err
    minimal.up()


def _with_a_page_of_disk(program: Program, folder: Path, taken: int, *flags: str) -> Done:
    """Run up where ``folder`` is a disk of one page, mounted for this process alone, of which ``taken`` bytes are in use."""
    script = 'mount -t tmpfs -o size=4k full "$1" && head -c "$2" /dev/zero > "$1/taken" && shift 2 && exec "$@"'
    argv = [
        "unshare",
        "--mount",
        "sh",
        "-ec",
        script,
        "sh",
        str(folder),
        str(taken),
        sys.executable,
        "-m",
        "meshinstall",
        "up",
        *TARGET,
        *program.flags,
        *flags,
    ]
    done = subprocess.run(argv, cwd=REPOSITORY, env=program.env, capture_output=True, text=True, timeout=program.patience, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)
