"""A mesh made of its snapshot, against a fresh ``up`` and the objects applied by kubectl; both end with the proof of mTLS."""

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from testbed.bench.contenders import MESHINSTALL, TARGET
from testbed.bench.process import measure
from testbed.bench.session import Running, Session

TOOLS = ("helm4", "kubectl")
PARTS = (*TOOLS, "charts")

# Namespaces, and in each one AuthorizationPolicy and one VirtualService.
SPACES = 100
_UP = (*MESHINSTALL, "up", *TARGET, "--yes")
# Ports of the mesh alone are proven in either; a restore that is not all PASS would not be one.
_PASSED = 0


@dataclass(slots=True)
class Times:
    """Seconds of all runs."""

    restore: list[float] = field(default_factory=list)
    by_hand: list[float] = field(default_factory=list)


def run(session: Session) -> Times:
    """On a fresh cluster in each round: by hand, then a snapshot, all of it away, and the restore."""
    times = Times()
    for number in range(session.rounds):
        with session.fresh_cluster(TOOLS) as running, TemporaryDirectory() as folder:
            _round(running, Path(folder), times)
        session.say(f"round {number + 1}: a restore {times.restore[-1]:.2f} s, by hand {times.by_hand[-1]:.2f} s")
    return times


def _round(running: Running, folder: Path, times: Times) -> None:
    objects = folder / "objects.yaml"
    objects.write_text(yaml.safe_dump_all([one for number in range(SPACES) for one in _of(f"space-{number:03}")]))
    apply = ("kubectl", "apply", "--server-side", "-f", str(objects))
    times.by_hand.append(measure(_UP, running.env).seconds + measure(apply, running.env).seconds)
    kept = str(folder / "kept")
    measure((*MESHINSTALL, "snapshot", *TARGET, "--unsigned", "--into", kept), running.env)
    names = [f"space-{number:03}" for number in range(SPACES)]
    # In an environment of its own kubectl would keep its cache here.
    subprocess.run(("kubectl", "delete", "namespaces", *names), env={**os.environ, **running.env}, check=True, capture_output=True)
    measure((*MESHINSTALL, "down", *TARGET, "--yes", "--crds"), running.env)
    restore = (*MESHINSTALL, "restore", *TARGET, kept, "--unsigned", "--yes", "--allow", "new-root")
    times.restore.append(measure(restore, running.env, _PASSED).seconds)


def _of(space: str) -> tuple[dict[str, object], ...]:
    """A namespace with what its team made."""
    metadata = {"name": "web", "namespace": space}
    rule = {"from": [{"source": {"namespaces": [space]}}]}
    route = {
        "hosts": [f"web.{space}.svc.cluster.local"],
        "http": [{"route": [{"destination": {"host": f"web.{space}.svc.cluster.local"}}]}],
    }
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": {"istio-injection": "enabled"}}},
        {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": {"rules": [rule]}},
        {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": route},
    )
