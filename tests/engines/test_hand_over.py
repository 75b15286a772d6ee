"""A mesh goes from ``up`` to Argo CD and back, in the order that ``hand-over`` prints, while it serves requests."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.load import load
from tests.cluster.meshinstall_run import REPOSITORY, Done
from tests.cluster.transcript import first_missing, transcript
from tests.engines.argo_world import ArgoWorld, argo_world
from tests.engines.git_world import SITE
from tests.engines.handing import add_shop, address, look, pods, well, work

_GIVEN, _MARKED = "Argo CD has the Applications of this site", "Argo CD keeps every object"


@pytest.fixture(scope="module")
def world() -> Iterator[ArgoWorld]:
    """A mesh that ``up`` made, with an application behind its gateway, and an Argo CD that does not know it."""
    with argo_world(f"hand-{os.getpid()}") as one:
        one.program.up("--no-verify")
        add_shop(one)
        yield one


def refused(done: Done) -> None:
    """That Argo CD keeps the mesh is why, and what to change is said."""
    assert done.status == 1, done
    assert f"PRE017: this mesh is kept by Argo CD Application {SITE}-" in done.err
    assert "meshinstall render --format argocd" in done.err


def test_the_page_says_what_is_printed(world: ArgoWorld) -> None:
    done = world.program.run("hand-over argocd")
    assert done.status == 3, done
    assert (
        first_missing(transcript(REPOSITORY / "docs/gitops.md", "Handing a mesh over"), done.out.replace(world.cluster.spec.name, "dev"))
        == ""
    )


def test_to_argo_cd_no_pod_restarts_and_no_request_fails(world: ArgoWorld) -> None:
    before = pods(world)
    with load(address(world)) as answered:
        titles = work(world, "argocd", {_GIVEN: world.introduce})
    well(answered)
    assert pods(world) == before
    assert titles == [_GIVEN, _MARKED, "helm has no record of the mesh", "Argo CD alone owns the fields of the objects"]
    assert world.get("secrets", "-A", "-l", "owner=helm")["items"] == []
    assert all(one.is_well for one in world.applications().values())


def test_then_up_and_down_refuse_and_looks_work(world: ArgoWorld, tmp_path: Path) -> None:
    refused(world.program.run("up", "--yes"))
    refused(world.program.run("down", "--yes"))
    refused(world.program.run("upgrade", "--yes"))
    status = json.loads(world.program.ok("status", "-o", "json").out)
    assert status["current"]
    istiod = next(one for one in status["releases"] if one["component"] == "istiod")
    assert istiod["keptBy"] == [f"Argo CD Application {SITE}-istiod"]
    world.program.ok("check")
    world.program.ok("verify")
    world.program.ok("drift")
    world.program.ok("snapshot", "--unsigned", "--no-verify", "--into", str(tmp_path / "kept"))


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
    assert titles[-2:] == ["meshinstall alone owns the fields of the objects", "meshinstall has installed every release"]
    assert world.applications() == {}
    assert world.program.pending() == {}
    assert look(world, "meshinstall")["left"] == 0
