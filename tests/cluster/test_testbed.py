"""The testbed's promises: a real node, real Istio, and nothing left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed import cgroups, paths
from testbed import cluster as testbed_cluster
from testbed.cluster import Cluster
from testbed.inside import KUBELET_SYSCTLS
from testbed.spec import Nodes
from testbed.waiting import until
from tests.cluster.mesh import hearing_ctrl_c

pytestmark = pytest.mark.cluster

REPOSITORY = Path(__file__).parents[2]


def traces(name: str, link: int | None = None) -> dict[str, object]:
    """Everything on the host that could tell that cluster ``name``, whose interface had the index ``link``, was there.

    Other clusters come and go meanwhile; one may get the name of an interface that has just become free.
    """
    processes = [
        one.name
        for one in Path("/proc").glob("[0-9]*")
        if f"/{name}\0" in _text(one / "cmdline") or f"/meshinstall-{name}/" in _text(one / "cgroup")
    ]
    return {
        "processes": processes,
        "mounts": [line for line in Path("/proc/self/mounts").read_text().splitlines() if "testbed" in line],
        "interfaces": [interface for interface, index in interfaces().items() if index == link],
        "cgroups": cgroups.existing(f"meshinstall-{name}"),
        "state": [path.name for path in paths.state_root().iterdir() if path.name.split(".")[0] == name],
    }


def interfaces() -> dict[str, int]:
    """Index of each interface of the host; no two ever have the same."""
    return {link.name: int(text) for link in Path("/sys/class/net").iterdir() if (text := _text(link / "ifindex"))}


def link_of(cluster: Cluster) -> int:
    """Index of the host's end of the link into a cluster that runs."""
    return interfaces()[cluster.spec.interface]


def host() -> dict[str, object]:
    """Host settings and folders that a node changes when nothing holds it off."""
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout if _has("iptables-save") else ""
    return {
        "sysctls": {name: _text(Path("/proc/sys") / name) for name in KUBELET_SYSCTLS},
        "folders": [
            str(path)
            for path in map(
                Path, ("/var/log/containers", "/var/log/pods", "/var/lib/cni", "/etc/cni", "/run/flannel", "/usr/libexec/kubernetes")
            )
            if path.exists()
        ],
        "named namespaces": sorted(path.name for path in Path("/run/netns").glob("*")),
        "rules": [line for line in rules.splitlines() if not line.startswith(("#", ":"))],
        "interfaces": sorted(name for name in interfaces() if not name.startswith("mesh-testbed")),
        "forwarding": _text(Path("/proc/sys/net/ipv4/ip_forward")),
    }


NOTHING: dict[str, object] = {"processes": [], "mounts": [], "interfaces": [], "cgroups": [], "state": []}


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _has(program: str) -> bool:
    return any((Path(folder) / program).exists() for folder in os.environ["PATH"].split(":"))


def test_down_leaves_no_trace(own_cluster: Callable[..., Cluster]) -> None:
    before = host()
    found = own_cluster("traces")
    name, link = found.spec.name, link_of(found)
    assert [what for what, there in traces(name, link).items() if not there] == ["mounts"]
    assert testbed_cluster.down(name)
    assert traces(name, link) == NOTHING
    assert host() == before


@pytest.mark.parametrize("component", ["etcd", "containerd", "kubelet"])
def test_a_killed_component_is_reported_and_down_still_leaves_no_trace(own_cluster: Callable[..., Cluster], component: str) -> None:
    found = own_cluster("killed")
    name, link = found.spec.name, link_of(found)
    os.kill(_host_pid(component, found), signal.SIGKILL)

    status = _until_status_says(found, component, "died")
    assert status[component]["exit"] == "SIGKILL"
    said = _testbed("status", "--name", name)
    assert said.returncode == 1
    assert f"{component:<24} died (SIGKILL)" in said.stdout
    assert _testbed("up", "--name", name).returncode == 1

    testbed_cluster.down(name)
    assert traces(name, link) == NOTHING


def test_the_end_of_the_first_process_is_the_end_of_everything(own_cluster: Callable[..., Cluster]) -> None:
    found = own_cluster("headless")
    name, link = found.spec.name, link_of(found)
    pid = testbed_cluster.first_process(name)
    assert pid
    os.kill(pid, signal.SIGKILL)
    _gone(pid)
    # The kernel ends the other processes of its namespaces, and takes the interfaces away, in its own time.
    until(lambda: _left(name, link) == ([], []), 20, lambda: f"left: {_left(name, link)}")
    assert _testbed("status", "--name", name).returncode == 1

    # The next up clears the rest away and starts anew.
    link = link_of(own_cluster("headless"))
    testbed_cluster.down(name)
    assert traces(name, link) == NOTHING


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_up_can_be_cleaned_up(own_name: Callable[[str], str], end: signal.Signals) -> None:
    name = own_name("cut")
    up = subprocess.Popen(
        [sys.executable, "-m", "testbed", "up", "--name", name], cwd=REPOSITORY, stderr=subprocess.DEVNULL, preexec_fn=hearing_ctrl_c
    )
    try:
        until(lambda: testbed_cluster.first_process(name) or up.poll() is not None, 30, lambda: "up did not start")
        assert up.poll() is None, "up ended before it could be interrupted"
        up.send_signal(end)
        assert up.wait(30) != 0
    finally:
        up.kill()
        testbed_cluster.down(name)
    assert traces(name) == NOTHING
    # Whether it was given its link before it ended is not known; others may be just losing theirs.
    assert until(lambda: not _links_of_nobody(), 20, lambda: f"left: {_links_of_nobody()}")


def test_up_twice_is_nothing_to_do(cluster: Cluster) -> None:
    name = cluster.spec.name
    pid = testbed_cluster.first_process(name)
    assert _testbed("up", "--name", name).returncode == 0
    assert testbed_cluster.first_process(name) == pid
    refused = _testbed("up", "--name", name, "--nodes", "simulated")
    assert refused.returncode == 1
    assert "is running with real nodes; end it first" in refused.stderr


def test_two_clusters_run_side_by_side(cluster: Cluster, own_cluster: Callable[..., Cluster]) -> None:
    other = own_cluster("second", Nodes.SIMULATED)
    assert other.spec.server != cluster.spec.server
    for one in (cluster, other):
        assert one.api().get("/version")["gitVersion"].startswith("v1.36")


def test_secrets_are_private(cluster: Cluster) -> None:
    assert cluster.state.stat().st_mode & 0o077 == 0
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600


def test_simulated_nodes_run_hundreds_of_pods_and_say_what_they_are(own_cluster: Callable[..., Cluster]) -> None:
    found = own_cluster("many", Nodes.SIMULATED)
    api = found.api()
    template = {
        "metadata": {"labels": {"app": "many"}},
        "spec": {"containers": [{"name": "app", "image": "none"}], "tolerations": [{"operator": "Exists"}]},
    }
    spec = {"replicas": 300, "selector": {"matchLabels": {"app": "many"}}, "template": template}
    api.post("/apis/apps/v1/namespaces/default/deployments", {"metadata": {"name": "many"}, "spec": spec})
    until(
        lambda: api.get("/apis/apps/v1/namespaces/default/deployments/many")["status"].get("readyReplicas") == 300,
        60,
        lambda: "not all Ready",
    )
    assert "SIMULATED nodes" in _testbed("status", "--name", found.spec.name).stdout


def _links_of_nobody() -> set[str]:
    owned = {found.spec.interface for name in testbed_cluster.names() if (found := testbed_cluster.existing(name))}
    return {name for name in interfaces() if name.startswith("mesh-testbed")} - owned


def _left(name: str, link: int) -> tuple[object, object]:
    found = traces(name, link)
    return found["processes"], found["interfaces"]


def _testbed(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testbed", *args], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )


def _host_pid(component: str, of: Cluster) -> int:
    """PID of a component as the host sees it: the child of the first process with its name."""
    first = testbed_cluster.first_process(of.spec.name)
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return next(int(pid) for pid in children if _text(Path(f"/proc/{pid}/cmdline")).split("\0")[0].endswith(f"/{component}"))


def _until_status_says(of: Cluster, component: str, state: str) -> dict[str, dict[str, str]]:
    def look() -> dict[str, dict[str, str]] | None:
        processes = {process["name"]: process for process in of.processes()}
        return processes if processes[component]["state"] == state else None

    return until(look, 10, lambda: f"{component} never became {state}: {of.processes()}")


def _gone(pid: int) -> None:
    until(lambda: not Path(f"/proc/{pid}").exists(), 10, lambda: f"process {pid} is still there")
