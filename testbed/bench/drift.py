"""What it costs to look for drift in a mesh with many objects, most of them other teams', on a real API server."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from testbed.bench.contenders import MESHINSTALL, TARGET, UP
from testbed.bench.process import Cost, measure
from testbed.bench.session import Running, Session

TOOLS = ("helm4", "kubectl")
PARTS = (*TOOLS, "charts")

# Of Istio's kinds, in the cluster; and those of them that are files of the mesh's own repository.
OBJECTS, FILES = 5_000, 500
_NAMESPACES, _PROFILE = 50, ("--profile", "minimal")
_FOUND = 3


@dataclass(slots=True)
class Costs:
    """Of all runs in turns: where nothing differs, and where one policy was edited."""

    none: list[Cost] = field(default_factory=list)
    one: list[Cost] = field(default_factory=list)


def run(session: Session) -> Costs:
    """Measure on one cluster."""
    found = Costs()
    with session.fresh_cluster(TOOLS) as running, TemporaryDirectory() as folder:
        _fill(running, Path(folder) / "objects.json")
        argv = (*MESHINSTALL, "drift", *TARGET, *_PROFILE)
        for number in range(session.rounds):
            found.none.append(measure(argv, running.env))
            _kubectl(running, "patch", "authorizationpolicy", "web-0", "-n", "team-00", "--type=merge", "-p", '{"spec":{"action":"DENY"}}')
            found.one.append(measure(argv, running.env, _FOUND))
            _kubectl(running, "patch", "authorizationpolicy", "web-0", "-n", "team-00", "--type=merge", "-p", '{"spec":{"action":null}}')
            session.say(f"round {number + 1}: {found.none[-1].seconds:.2f} s, {found.one[-1].seconds:.2f} s with an edit")
    return found


def _fill(running: Running, file: Path) -> None:
    """A mesh by ``up`` with its own policies as files, and the objects of others beside them."""
    policies = Path(running.env["MESHINSTALL_CONFIG"]) / "policies" / "base"
    policies.mkdir(parents=True)
    objects = list(_objects())
    for number, one in enumerate(objects[:FILES]):
        (policies / f"{number}.yaml").write_text(json.dumps(one))
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{number:02}"}} for number in range(_NAMESPACES)]
    measure((*MESHINSTALL, "lock", "--update", *TARGET, *_PROFILE), running.env)
    for some in (spaces, objects[FILES:]):
        if some is not spaces:
            measure((*UP, *_PROFILE), running.env)
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": some}))
        _kubectl(running, "apply", "--server-side", "-f", str(file))


def _kubectl(running: Running, *arguments: str) -> None:
    # In an environment of its own kubectl would keep its cache here.
    subprocess.run(("kubectl", *arguments), env={**os.environ, **running.env}, check=True, capture_output=True)


def _objects() -> Iterator[dict[str, Any]]:
    """Three AuthorizationPolicies for two DestinationRules."""
    for number in range(OBJECTS):
        space, name = f"team-{number % _NAMESPACES:02}", f"web-{number // _NAMESPACES}"
        metadata = {"name": name, "namespace": space}
        if number * 5 // OBJECTS < 3:  # noqa: PLR2004 - three of five
            rule = {
                "from": [{"source": {"principals": [f"cluster.local/ns/{space}/sa/{name}"]}}],
                "to": [{"operation": {"methods": ["GET"]}}],
            }
            spec: dict[str, Any] = {"selector": {"matchLabels": {"app": name}}, "rules": [rule]}
            yield {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}
        else:
            spec = {"host": f"{name}.{space}.svc.cluster.local", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}
            yield {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": metadata, "spec": spec}
