"""Does the work of a hand-over as a person does: what ``hand-over`` prints, step by step, on a mesh that serves requests."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from testbed.waiting import until
from tests.cluster.load import Load
from tests.cluster.mesh import namespace, web
from tests.cluster.situations import istio
from tests.engines.git_world import GitWorld

# Seconds that a step may take.
_PATIENCE = 240
_NETWORKING = "networking.istio.io/v1"
_SERVER = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
_ROUTE = {"destination": {"host": "web.shop.svc.cluster.local"}}


def add_shop(world: GitWorld) -> None:
    """An application of the mesh that is reached through its gateway, and is in no file."""
    world.shell.apply(namespace("shop", **{"istio-injection": "enabled"}))
    world.shell.apply(
        *web("shop"),
        istio("Gateway", "shop/web", {"selector": {"istio": "ingress"}, "servers": [_SERVER]}, _NETWORKING),
        istio("VirtualService", "shop/web", {"hosts": ["*"], "gateways": ["web"], "http": [{"route": [_ROUTE]}]}, _NETWORKING),
    )
    world.shell.ok("kubectl", "wait", "-n", "shop", "pod/web", "--for=condition=Ready", "--timeout=90s")


def address(world: GitWorld) -> str:
    """Where the gateway is reached."""
    return str(world.get("service", "istio-ingress", "-n", "istio-ingress")["status"]["loadBalancer"]["ingress"][0]["ip"])


def pods(world: GitWorld) -> dict[str, list[int]]:
    """Each pod of the mesh and of the application, with how often its containers started again."""
    found = [pod for where in ("istio-system", "istio-ingress", "shop") for pod in world.get("pods", "-n", where)["items"]]
    return {pod["metadata"]["uid"]: [one["restartCount"] for one in pod["status"]["containerStatuses"]] for pod in found}


def well(found: Load, least: int = 100) -> None:
    """Nothing failed of many."""
    assert found.failures == []
    assert min(found.answered.values()) >= least


def look(world: GitWorld, to: str) -> dict[str, Any]:
    """The order of work now."""
    done = world.program.run(f"hand-over {to}", "-o", "json")
    assert done.status in {0, 3}, done
    found: dict[str, Any] = json.loads(done.out)
    assert (done.status == 0) == (found["left"] == 0), done
    return found


def work(world: GitWorld, to: str, by_hand: dict[str, Callable[[], object]] | None = None) -> list[str]:
    """Do what each step says until none is left; the titles of those that were to do, in their order.

    ``by_hand`` is what a person does in Git, or an engine by itself, for a step; else its commands are run, again where it stays open.
    """
    titles: list[str] = []
    while title := _next(world, to):
        assert title not in titles, f"{title} came again after {titles}"
        titles.append(title)
        acts = (by_hand or {}).get(title)
        if acts:
            acts()
        until(partial(_is_past, world, to, title, runs=not acts), _PATIENCE, lambda: f"it does not go on:\n{look(world, to)}")
    return titles


def _next(world: GitWorld, to: str) -> str:
    """The step that is to do; empty when none is left."""
    step = next((one for one in look(world, to)["steps"] if one["state"] != "done"), None)
    assert step is None or step["state"] == "open", step
    return step["title"] if step else ""


def _is_past(world: GitWorld, to: str, title: str, *, runs: bool) -> bool:
    step = next(one for one in look(world, to)["steps"] if one["title"] == title)
    for command in step["commands"] if runs else ():
        # As a person copies it; `up` asks.
        told = f"{command} --yes --no-verify" if command.startswith("meshinstall up") else command
        env = {**world.program.env, "PATH": f"{Path(sys.executable).parent}:{world.program.env['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", told], cwd=world.folder, env=env, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return bool(step["state"] == "done")
