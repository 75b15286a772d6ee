"""A mesh goes from ``up`` to Argo CD and back, in the order that ``hand-over`` prints, while it serves requests."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from testbed.waiting import until
from tests.cluster.load import Load, load
from tests.cluster.mesh import namespace, web
from tests.cluster.meshinstall_run import Done
from tests.cluster.situations import istio
from tests.engines.argo_world import ArgoWorld, argo_world
from tests.engines.git_world import SITE

NETWORKING = "networking.istio.io/v1"
# The work of a person is what no command of the tool does: to render and to push, and to wait for Argo CD.
_BY_HAND, _WAITING = "Argo CD has the Applications of this site", "Argo CD keeps every object"


@pytest.fixture(scope="module")
def world() -> Iterator[ArgoWorld]:
    """A mesh that ``up`` made, with an application behind its gateway, and an Argo CD that does not know it."""
    with argo_world(f"hand-{os.getpid()}") as one:
        one.program.up("--no-verify")
        one.shell.apply(namespace("shop", **{"istio-injection": "enabled"}))
        one.shell.apply(
            *web("shop"),
            istio("Gateway", "shop/web", {"selector": {"istio": "ingress"}, "servers": [{"port": _PORT, "hosts": ["*"]}]}, NETWORKING),
            istio("VirtualService", "shop/web", {"hosts": ["*"], "gateways": ["web"], "http": [{"route": [_ROUTE]}]}, NETWORKING),
        )
        one.shell.ok("kubectl", "wait", "-n", "shop", "pod/web", "--for=condition=Ready", "--timeout=90s")
        yield one


_PORT = {"number": 80, "name": "http", "protocol": "HTTP"}
_ROUTE = {"destination": {"host": "web.shop.svc.cluster.local"}}


def address(world: ArgoWorld) -> str:
    """Where the gateway is reached."""
    return str(world.get("service", "istio-ingress", "-n", "istio-ingress")["status"]["loadBalancer"]["ingress"][0]["ip"])


def pods(world: ArgoWorld) -> dict[str, Any]:
    """Each pod of the mesh and of the application, with how often its containers started again."""
    found = [pod for where in ("istio-system", "istio-ingress", "shop") for pod in world.get("pods", "-n", where)["items"]]
    return {pod["metadata"]["uid"]: [one["restartCount"] for one in pod["status"]["containerStatuses"]] for pod in found}


def look(world: ArgoWorld, to: str) -> dict[str, Any]:
    """The order of work now."""
    done = world.program.run(f"hand-over {to}", "-o", "json")
    assert done.status in {0, 3}, done
    found: dict[str, Any] = json.loads(done.out)
    assert (done.status == 0) == (found["left"] == 0), done
    return found


def work(world: ArgoWorld, to: str) -> list[str]:
    """Do what each step says until none is left; the titles of those that were to do, in their order."""
    titles: list[str] = []
    while title := next_title(world, to):
        assert title not in titles, f"{title} came again after {titles}"
        titles.append(title)
        if title == _BY_HAND:
            world.introduce()
        until(partial(is_past, world, to, title), 240, lambda: f"it does not go on:\n{look(world, to)}\n{world.told()}")
    return titles


def next_title(world: ArgoWorld, to: str) -> str:
    """The step that is to do; empty when none is left."""
    step = next((one for one in look(world, to)["steps"] if one["state"] != "done"), None)
    assert step is None or step["state"] == "open", step
    return step["title"] if step else ""


def is_past(world: ArgoWorld, to: str, title: str) -> bool:
    """Whether a step is done; where it is not, what it says is done."""
    step = next(one for one in look(world, to)["steps"] if one["title"] == title)
    if step["state"] == "open" and title != _BY_HAND:
        carry_out(world, step)
    return bool(step["state"] == "done")


def carry_out(world: ArgoWorld, step: dict[str, Any]) -> None:
    """Run the commands of a step as a person copies them; `up` asks."""
    for command in step["commands"]:
        told = f"{command} --yes --no-verify" if command.startswith("meshinstall up") else command
        # This checkout's.
        env = {**world.program.env, "PATH": f"{Path(sys.executable).parent}:{world.program.env['PATH']}"}
        done = subprocess.run(["bash", "-c", told], cwd=world.folder, env=env, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def well(found: Load, least: int = 100) -> None:
    """Nothing failed of many."""
    assert found.failures == []
    assert min(found.answered.values()) >= least


def refused(done: Done) -> None:
    """That Argo CD keeps the mesh is why, and what to change is said."""
    assert done.status == 1, done
    assert f"PRE017: this mesh is kept by Argo CD Application {SITE}-" in done.err
    assert "meshinstall render --format argocd" in done.err


def test_to_argo_cd_no_pod_restarts_and_no_request_fails(world: ArgoWorld) -> None:
    before = pods(world)
    with load(address(world)) as answered:
        titles = work(world, "argocd")
    well(answered)
    assert pods(world) == before
    assert titles == [_BY_HAND, _WAITING, "Argo CD alone owns the fields of the objects", "helm has no record of the mesh"]
    assert world.get("secrets", "-A", "-l", "owner=helm")["items"] == []
    assert all(one.is_well for one in world.applications().values())


def test_then_up_down_and_upgrade_refuse_and_looks_work(world: ArgoWorld) -> None:
    refused(world.program.run("up", "--yes"))
    refused(world.program.run("down", "--yes"))
    status = json.loads(world.program.ok("status", "-o", "json").out)
    assert status["current"]
    istiod = next(one for one in status["releases"] if one["component"] == "istiod")
    assert istiod["keptBy"] == [f"Argo CD Application {SITE}-istiod"]
    world.program.ok("check")
    world.program.ok("verify")
    assert world.program.run("drift").status == 0


def test_what_leaves_git_then_leaves_the_cluster(world: ArgoWorld) -> None:
    """A field that helm still owned would stay."""
    world.set_values("istiod", podAnnotations={"example.com/a": "b"})
    world.render()
    world.commit("An annotation")
    world.wait_synced()
    world.set_values("istiod", podAnnotations={})
    world.render()
    world.commit("Without it")
    world.wait_synced()
    template = world.get("deployment", "istiod", "-n", "istio-system")["spec"]["template"]["metadata"]
    assert "example.com/a" not in template.get("annotations", {})


def test_and_back_no_pod_restarts_and_no_request_fails(world: ArgoWorld) -> None:
    before = pods(world)
    with load(address(world)) as answered:
        titles = work(world, "meshinstall")
    well(answered)
    assert pods(world) == before
    assert titles[-2:] == ["meshinstall has installed every release", "meshinstall alone owns the fields of the objects"]
    assert world.applications() == {}
    assert world.program.pending() == {}
    assert look(world, "meshinstall")["left"] == 0
