"""A canary from the real Istio of the minor before to the next: meshinstall's stages, and Istio's documentation by hand.

Both begin with the mesh that meshinstall installed, and the application of testbed/app.yaml. Both restart its workloads, all at once, and
wait for what helm waits for, and for the rollout of every Deployment with a proxy; neither waits until the pods before have drained. What
meshinstall alone waits for is its proof: looks at the mesh before the first change and after each one, pods of its own with the new istiod,
a scout of the gateway, and the new gateway beside the old one until it is judged. The documentation has checks for a person to read; they
are told apart.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from testbed import pins
from testbed.bench.contenders import MESHINSTALL, TARGET, UP
from testbed.bench.install import rotated
from testbed.bench.process import measure
from testbed.bench.session import Session
from testbed.paths import REPOSITORY

TOOLS = ("helm4", "kubectl", "istioctl")
IMAGES = ("images-previous",)
PARTS = (*TOOLS, *IMAGES, "charts", "charts-previous")

REVISION = "1-31"
_SYSTEM, _INGRESS, _SHOP = "istio-system", "istio-ingress", "shop"
_APP = str(REPOSITORY / "testbed" / "app.yaml")
_APPLY = ("kubectl", "apply", "-f", _APP)
_PLANES = ("kubectl", "get", "pods", "-l", "app=istiod", "-L", "istio.io/rev", "-n", _SYSTEM)
# What the documentation says to look at: before the first step, when the second istiod runs, and when the workloads have moved.
_BEFORE, _MOVED = ("istioctl", "x", "precheck"), ("istioctl", "proxy-status")
_INJECTORS = ("kubectl", "get", "mutatingwebhookconfigurations")
CHECKS = (_BEFORE, _PLANES, _INJECTORS, _MOVED)
# Support of the older one may have ended on the day of the measurement.
_EOL = ("--allow", "eol")
# By it meshinstall restarts the workloads itself: both at once, as kubectl does, of which each would be gone for a moment otherwise.
_WAVES = {"upgrade": {"waves": [{"name": "all", "namespaces": ["*"], "parallel": 2}]}}


@dataclass(slots=True)
class Times:
    """Seconds of all whole upgrades."""

    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Upgrader:
    """One way to upgrade; ``commands`` are run one after the other, and ``checks`` are those of them that change nothing."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    checks: frozenset[tuple[str, ...]] = frozenset()

    @property
    def unchecked(self) -> str:
        """The name of the same without its checks."""
        return f"{self.name}, without its checks"


def run(session: Session) -> dict[str, Times]:
    """Let both upgrade in turns, each on a fresh cluster; map each one's name to its times, ours first, and those without checks last."""
    with TemporaryDirectory() as folder:
        inputs = Path(folder)
        compared = contenders(session.shop.part("charts"), inputs)
        times = {contender.name: Times() for contender in compared}
        times |= {contender.unchecked: Times() for contender in compared if contender.checks}
        for number in range(session.rounds):
            for contender in rotated(compared, number):
                with session.fresh_cluster(TOOLS, IMAGES) as running:
                    _begin(session, inputs, running.env)
                    costs = {argv: measure(argv, running.env).seconds for argv in contender.commands}
                seconds = sum(costs.values())
                times[contender.name].seconds.append(seconds)
                if contender.checks:
                    times[contender.unchecked].seconds.append(seconds - sum(costs[argv] for argv in contender.checks))
                session.say(f"round {number + 1}: upgrade, {contender.name}: {seconds:.1f} s")
    return times


def contenders(charts: Path, inputs: Path) -> tuple[Upgrader, ...]:
    """Both, ours first; ``inputs`` has the values of istiod that runs."""
    ours = (*MESHINSTALL, "upgrade", *TARGET, "--to", pins.ISTIO, "--yes", "--allow", "missing-fix", "--allow", "downtime", *_EOL)
    return (
        Upgrader("meshinstall upgrade", (ours,)),
        Upgrader("helm and kubectl, as documented", tuple(documented(charts, inputs)), frozenset(CHECKS)),
    )


def documented(charts: Path, inputs: Path) -> list[tuple[str, ...]]:
    """Upgrade with Helm, Canary upgrade, and the migration of workloads that it points to (istio.io, docs/setup/upgrade).

    Namespaces go by their label: a tag default does nothing while the istiod without a revision lives.
    """
    keep = ("--reset-then-reuse-values", "--wait")
    base, istiod, gateway = (str(charts / f"{name}-{pins.ISTIO}.tgz") for name in ("base", "istiod", "gateway"))
    revision = ("--set", f"revision={REVISION}")
    label = ("kubectl", "label", "namespace", _SHOP, "istio-injection-", f"istio.io/rev={REVISION}")
    return [
        _BEFORE,
        ("helm", "upgrade", "istio-base", base, "-n", _SYSTEM, *keep),
        ("helm", "install", f"istiod-{REVISION}", istiod, "-n", _SYSTEM, "-f", str(_values(inputs)), *revision, "--wait"),
        _PLANES,
        _INJECTORS,
        ("helm", "upgrade", "istio-ingress", gateway, "-n", _INGRESS, *keep, *revision),
        _rollout("status", _INGRESS),
        label,
        _rollout("restart", _SHOP),
        _rollout("status", _SHOP),
        _MOVED,
        ("helm", "uninstall", "istiod", "-n", _SYSTEM, "--wait"),
        ("helm", "upgrade", "istio-base", base, "-n", _SYSTEM, *keep, "--set", f"defaultRevision={REVISION}"),
    ]


def _begin(session: Session, inputs: Path, env: Mapping[str, str]) -> None:
    """Install the older Istio and the application, name the waves, and keep the values of its istiod."""
    project = Path(env["MESHINSTALL_CONFIG"], "meshinstall.yaml")
    project.write_text(yaml.safe_dump({**yaml.safe_load(project.read_text()), **_WAVES}, sort_keys=False))
    charts = session.shop.part("charts-previous")
    measure((*UP, "--istio-version", pins.PREVIOUS, "--charts", str(charts), *_EOL), env)
    measure(_APPLY, env)
    measure(_rollout("status", _SHOP), env)
    argv = ["helm", "get", "values", "istiod", "-n", _SYSTEM, "-o", "json"]
    said = subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout
    _values(inputs).write_text(json.dumps(json.loads(said) or {}))


def _rollout(what: str, namespace: str) -> tuple[str, ...]:
    patience = ("--timeout=120s",) if what == "status" else ()
    return ("kubectl", "rollout", what, "deployment", "-n", namespace, *patience)


def _values(inputs: Path) -> Path:
    return inputs / "istiod.json"
