"""Starts, finds and ends clusters from the host's side.

What runs is read from the kernel (the first process's command line), never
from a file: a file can survive what it describes.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import urllib3
from pyroute2 import IPRoute

from testbed import cgroups, config, paths, spec
from testbed.api import Api, Json
from testbed.build import catalog
from testbed.build.builder import build
from testbed.errors import TestbedError
from testbed.machine import allow_watches
from testbed.spec import Account, Authenticate, Authentication, Cloud, Engine, Nodes, Spec
from testbed.waiting import until

Say = Callable[[str], None]

# Seconds for a whole start, and for killed processes to be gone.
_START_PATIENCE = 120
_STOP_PATIENCE = 30
_TAIL = 12
_SETTLED = {"ready", "done"}
# --kill-child: the end of unshare is the end of the first process.
_NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster's spec and where its files are."""

    spec: Spec

    @property
    def state(self) -> Path:
        """The cluster's folder."""
        return Path(self.spec.state)

    @property
    def kubeconfig(self) -> Path:
        """Administrator's kubeconfig, readable by its owner only."""
        return self.state / "kubeconfig"

    @property
    def log(self) -> Path:
        """Folder with one log file for each component."""
        return self.state / "log"

    def api(self) -> Api:
        """A client with the administrator's rights."""
        return Api(self.kubeconfig)

    def processes(self) -> list[Json]:
        """What the first process last told of each component."""
        try:
            found: list[Json] = json.loads((self.state / "status.json").read_text())
        except FileNotFoundError:
            return []
        return found

    def tail(self, component: str) -> str:
        """The last lines of a component's log."""
        try:
            lines = (self.log / f"{component}.log").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-_TAIL:])


def existing(name: str) -> Cluster | None:
    """The cluster called ``name`` if it has a state folder, running or not."""
    try:
        return Cluster(spec.load(paths.state_dir(name) / "spec.json"))
    except FileNotFoundError:
        return None


def names() -> list[str]:
    """Names of all clusters that have a state folder."""
    return sorted(file.parent.name for file in paths.state_root().glob("*/spec.json"))


def first_process(name: str) -> int | None:
    """Host PID of the cluster's first process, or None when it does not run."""
    wanted = _supervisor_command(name)[1:]
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _command_line(process)[1:] == wanted:
            return int(process.name)
    return None


def up(  # noqa: PLR0913 - what a cluster is
    name: str,
    nodes: Nodes,
    say: Say,
    parts: tuple[str, ...] = (),
    *,
    authenticate: Authenticate | None = None,
    cloud: Cloud | None = None,
    account: Account = Account.PLAIN,
    engines: tuple[Engine, ...] = (),
) -> Cluster:
    """Start the cluster ``name`` and wait until it is usable; nothing to do when it runs.

    ``parts`` are built parts to add, such as images-restamp; ``authenticate``
    makes the API server accept more than client certificates; ``cloud`` runs
    as a component of the cluster, with that kind of account, and so do
    ``engines``, which need nodes. Raises TestbedError, with the last log lines,
    when a component dies or the cluster is not usable within 120 s.
    """
    with _locked(paths.state_dir(name).name):
        found = existing(name)
        if found and first_process(name):
            _check_same_kind(found.spec, nodes, cloud, account)
            _check_same_engines(found.spec, engines)
            _wait_usable(found)
            return found
        _clean(name)
        allow_watches()
        wanted = (*catalog.CLUSTERS[nodes], *parts, *(part for engine in engines for part in catalog.ENGINES[engine]))
        shop = build(catalog.PARTS, wanted, paths.cache_dir(), say)
        # Two that start at once must not pick the same network.
        with _locked(""):
            folders = {part: str(shop.part(part)) for part in wanted}
            state = str(paths.state_dir(name))
            cluster = _prepare(
                Spec(name, nodes, _free_index(), state, folders, cloud=cloud, account=account, engines=engines), authenticate
            )
        try:
            _start(cluster)
            _wait_usable(cluster)
        except KeyboardInterrupt:
            _clean(name)
            raise
        except TestbedError:
            # Its logs stay; the next up or down removes them.
            _kill(name)
            raise
        return cluster


def down(name: str) -> bool:
    """End the cluster ``name`` and remove every trace; False when there was none."""
    with _locked(paths.state_dir(name).name):
        there = paths.state_dir(name).exists() or first_process(name) is not None
        _clean(name)
        return there


def _check_same_kind(running: Spec, nodes: Nodes, cloud: Cloud | None, account: Account) -> None:
    name = running.name
    if running.nodes is not nodes:
        message = f"cluster {name} is running with {running.nodes} nodes; end it first: scripts/testbed down --name {name}"
        raise TestbedError(message)
    if (running.cloud, running.account) != (cloud, account):
        kind = f"with a fake {running.cloud}, account {running.account}" if running.cloud else "without a cloud"
        message = f"cluster {name} is running {kind}; end it first: scripts/testbed down --name {name}"
        raise TestbedError(message)


def _check_same_engines(running: Spec, engines: tuple[Engine, ...]) -> None:
    if running.engines != engines:
        name = running.name
        message = (
            f"cluster {name} is running with {', '.join(running.engines) or 'no engine'}; end it first: scripts/testbed down --name {name}"
        )
        raise TestbedError(message)


def _supervisor_command(name: str) -> list[str]:
    return [sys.executable, "-m", "testbed.supervisor", str(paths.state_dir(name))]


def _prepare(plain: Spec, authenticate: Authenticate | None) -> Cluster:
    state = Path(plain.state)
    state.mkdir(mode=0o700, parents=True)
    authentication = authenticate(plain) if authenticate else Authentication(())
    cluster = Cluster(replace(plain, authentication=authentication.flags))
    config.write(cluster.spec, authentication.files)
    # Whoever looks for clusters meanwhile sees none of it, or all.
    draft = state / "spec.json.new"
    draft.write_text(cluster.spec.dump())
    draft.rename(state / "spec.json")
    return cluster


def _free_index() -> int:
    taken = {found.spec.index for name in names() if (found := existing(name))}
    with IPRoute() as route:
        links = {link.get_attr("IFLA_IFNAME") for link in route.get_links()}
    for index in range(1, 251):
        if index not in taken and f"mesh-testbed{index}" not in links:
            return index
    message = "250 clusters have a state folder; end some: scripts/testbed status"
    raise TestbedError(message)


def _start(cluster: Cluster) -> None:
    if cluster.spec.nodes is Nodes.REAL:
        cgroups.create(cluster.spec.cgroup)
    log = cluster.log / "supervisor.log"
    with log.open("w") as file:
        # Forked away: it outlives us and is nobody's child.
        subprocess.run(
            ["setsid", "--fork", "unshare", *_NAMESPACES, *_supervisor_command(cluster.spec.name)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd="/",
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(paths.REPOSITORY)},
            check=True,
        )
    name = cluster.spec.name
    pid = until(lambda: first_process(name), _STOP_PATIENCE, lambda: f"cluster {name} did not start:\n{cluster.tail('supervisor')}")
    _link(cluster.spec, pid)


def _link(of: Spec, pid: int) -> None:
    """Make the pair of interfaces whose inner end is the cluster's only network."""
    with IPRoute() as route, Path(f"/proc/{pid}/ns/net").open("rb") as namespace:
        route.link("add", ifname=of.interface, kind="veth", peer={"ifname": "eth0", "net_ns_fd": namespace.fileno()})
        index = route.link_lookup(ifname=of.interface)[0]
        route.addr("add", index=index, address=of.host_address, prefixlen=24)
        route.link("set", index=index, state="up")


def _wait_usable(cluster: Cluster) -> None:
    """Wait until every component settled and every node is Ready."""
    name = cluster.spec.name

    def unsettled() -> str:
        waiting = [process["name"] for process in cluster.processes() if process["state"] not in _SETTLED]
        return (
            f"cluster {name} is not usable after {_START_PATIENCE} s: {', '.join(waiting) or 'its node'} is not ready. Logs: {cluster.log}"
        )

    until(lambda: _all_settled(cluster), _START_PATIENCE, unsettled)
    if cluster.spec.nodes is Nodes.NONE:
        return
    api = cluster.api()
    if cluster.spec.nodes is Nodes.SIMULATED:
        _create_simulated_nodes(api)
    until(lambda: _nodes_ready(api), _START_PATIENCE, unsettled)


def _all_settled(cluster: Cluster) -> bool:
    """Whether all components are ready; raises TestbedError when one died."""
    processes = cluster.processes()
    if died := [process for process in processes if process["state"] == "died"]:
        raise TestbedError("\n".join(_obituary(cluster, process) for process in died))
    if not first_process(cluster.spec.name):
        message = f"the first process of cluster {cluster.spec.name} ended:\n{cluster.tail('supervisor')}"
        raise TestbedError(message)
    return bool(processes) and all(process["state"] in _SETTLED for process in processes)


def _obituary(cluster: Cluster, process: Json) -> str:
    name = process["name"]
    return f"{name} of cluster {cluster.spec.name} died ({process['exit']}):\n{cluster.tail(name)}\nAll logs: {cluster.log}"


def _nodes_ready(api: Api) -> bool:
    try:
        nodes = api.get("/api/v1/nodes")["items"]
    except urllib3.exceptions.HTTPError:
        return False
    return bool(nodes) and all(_is_ready(node) for node in nodes)


def _is_ready(node: Json) -> bool:
    conditions = node["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _create_simulated_nodes(api: Api) -> None:
    if api.get("/api/v1/nodes")["items"]:
        return
    room = {"cpu": "1000", "memory": "1000Gi", "pods": "10000"}
    for number in range(1, 6):
        metadata = {"name": f"simulated-{number}", "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": {"type": "kwok"}}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {"capacity": room, "allocatable": room}}
        api.post("/api/v1/nodes", node)


def _clean(name: str) -> None:
    """Kill the cluster's processes; remove its cgroups and its folder."""
    found = existing(name)
    _kill(name)
    if found:
        cgroups.remove(found.spec.cgroup)
        _until_unlinked(found.spec)
    if paths.state_dir(name).exists():
        shutil.rmtree(paths.state_dir(name))


def _until_unlinked(of: Spec) -> None:
    """Wait until the kernel has taken the link away, which it does in its own time after the network namespace lost its last process."""
    with IPRoute() as route, suppress(TestbedError):
        # One that stays is not ours: a testbed with another state folder has given itself the same number.
        until(lambda: not route.link_lookup(ifname=of.interface), _STOP_PATIENCE, lambda: f"{of.interface} stays")


def _kill(name: str) -> None:
    """Kill the first process, and with it its namespaces and all that is in them; wait until nothing of it runs."""
    killed: set[int] = set()

    def is_over() -> bool:
        # One that is only starting shows up later.
        if (pid := first_process(name)) and pid not in killed:
            killed.add(pid)
            _send_kill(pid)
        # It is reaped only after every process of its namespace is gone; whoever started it ends after it.
        return not _starters(name) and not any(Path(f"/proc/{pid}").exists() for pid in killed)

    until(is_over, _STOP_PATIENCE, lambda: f"processes {killed or _starters(name)} of cluster {name} do not end after SIGKILL")


def _send_kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)


def _starters(name: str) -> list[str]:
    """PIDs of the cluster's first process, and of those outside of its namespaces that started it and wait for its end."""
    wanted = _supervisor_command(name)[1:]
    return [process.name for process in Path("/proc").glob("[0-9]*") if _command_line(process)[-len(wanted) :] == wanted]


def _command_line(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Hold off a second up or down of the same cluster; the lock's file goes with the cluster."""
    paths.state_root().mkdir(parents=True, exist_ok=True)
    file = paths.state_root() / f"{name}.lock"
    with _open_locked(file):
        yield
        if name and not paths.state_dir(name).exists():
            file.unlink()


def _open_locked(file: Path) -> TextIO:
    """Open and lock a file that is still there when its lock is ours: who held it before may have removed it."""
    while True:
        lock = file.open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fileno()), file.stat()):
                return lock
        lock.close()
