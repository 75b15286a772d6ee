"""What the first process does to its own namespaces before anything else runs."""

import shutil
import subprocess
from pathlib import Path

from pyroute2 import IPRoute

from testbed.errors import TestbedError
from testbed.spec import INSIDE, SERVICE_CIDR, Spec
from testbed.waiting import until

# Seconds in which whoever started us has to hand over the network link.
_LINK_PATIENCE = 15

# Kernel settings that a kubelet writes at start when they differ. They belong
# to the whole machine, so it is shown files that already say what it wants.
KUBELET_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def mount_private(state: Path) -> None:
    """Give the cluster its own /run, a copy-on-write /var, and its state folder at INSIDE.

    Nothing that a component writes by default (/run, /var/log/containers,
    /var/lib/cni) reaches the host.
    """
    staging = Path("/mnt")
    # Kept reachable through a descriptor while /run and /var are replaced.
    _mount("--bind", str(state), str(staging))
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for folder in (INSIDE, Path("/run/netns"), Path("/run/lock"), Path("/run/var/upper"), Path("/run/var/work")):
        folder.mkdir(parents=True)
    _mount("--move", str(staging), str(INSIDE))
    _mount("-t", "overlay", "-o", "lowerdir=/var,upperdir=/run/var/upper,workdir=/run/var/work", "overlay", "/var")
    # Pods' mounts must reach the kubelet's view, as on any node.
    _mount("--make-rshared", "/")
    for name, value in KUBELET_SYSCTLS.items():
        answer = INSIDE / "tmp" / name.replace("/", ".")
        answer.write_text(f"{value}\n")
        _mount("--bind", str(answer), f"/proc/sys/{name}")


def join_network(of: Spec) -> None:
    """Wait for the link that the host moves in, then set addresses and routes.

    Raises TestbedError when no link comes: whoever started this cluster died.
    """
    with IPRoute() as route:
        route.link("set", index=route.link_lookup(ifname="lo")[0], state="up")
        found = until(lambda: route.link_lookup(ifname="eth0"), _LINK_PATIENCE, lambda: f"cluster {of.name} was given no network link")
        route.addr("add", index=found[0], address=of.address, prefixlen=24)
        route.link("set", index=found[0], state="up")
        # No default route: nothing in here reaches beyond the host, and a pull
        # fails at once. Services need one, or a process of the node (the API
        # server calling a webhook) is refused before kube-proxy's rules see it.
        route.route("add", dst=SERVICE_CIDR, oif=found[0])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _mount(*args: str) -> None:
    mount = shutil.which("mount") or "/bin/mount"
    done = subprocess.run([mount, *args], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        message = f"mount {' '.join(args)}: {done.stderr.strip()}"
        raise TestbedError(message)
