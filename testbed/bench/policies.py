"""What it costs to check many policies and to say who may call what by them: files alone, no cluster."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from testbed.bench.contenders import MESHINSTALL
from testbed.bench.process import Cost, measure
from testbed.bench.session import Session

PARTS = ("charts",)
POLICIES, WORKLOADS = 500, 300
_NAMESPACES = 30


@dataclass(slots=True)
class Costs:
    """Of all runs, in turns."""

    check: list[Cost] = field(default_factory=list)
    who: list[Cost] = field(default_factory=list)


def run(session: Session) -> Costs:
    """Measure both commands over the same files."""
    found = Costs()
    with TemporaryDirectory(prefix="bench-policies-") as name:
        folder = Path(name)
        settings = {"apiVersion": "meshinstall.dev/v1", "charts": {"source": str(session.shop.part("charts"))}}
        (folder / "meshinstall.yaml").write_text(yaml.safe_dump(settings))
        _write(folder / "shop")
        env = {"MESHINSTALL_CONFIG": name, "HOME": name}
        named = (str(folder / "shop"), "--env", "dev", "--cloud", "local")
        for _ in range(session.rounds):
            found.check.append(measure((*MESHINSTALL, "policy", "check", *named), env))
            found.who.append(measure((*MESHINSTALL, "authz", "who", *named), env))
    return found


def _write(folder: Path) -> None:
    folder.mkdir()
    for number in range(_NAMESPACES):
        (folder / f"shop-{number}.yaml").write_text(yaml.safe_dump_all(_objects(number)))


def _objects(number: int) -> Iterator[dict[str, Any]]:
    """Workloads and policies of one namespace; no two policies are for the same callers."""
    space = f"shop-{number}"
    for index in range(number, WORKLOADS, _NAMESPACES):
        labels = {"app": f"web-{index}"}
        pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 8080}]}]}}
        named = {"name": f"web-{index}", "namespace": space}
        yield {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": named,
            "spec": {"selector": {"matchLabels": labels}, "template": pod},
        }
    for index in range(number, POLICIES, _NAMESPACES):
        caller = f"cluster.local/ns/shop-{index % 7}/sa/caller-{index}"
        operation = {"ports": ["8080"], "methods": ["GET", "POST"], "paths": [f"/api/{index}/*", "/items"]}
        rule = {"from": [{"source": {"principals": [caller]}}], "to": [{"operation": operation}]}
        named = {"name": f"allow-{index}", "namespace": space}
        selector = {"matchLabels": {"app": f"web-{index % WORKLOADS}"}}
        yield {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": named,
            "spec": {"selector": selector, "rules": [rule]},
        }
