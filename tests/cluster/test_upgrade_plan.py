"""``meshinstall upgrade plan`` on a real mesh: from 1.31.0 in place to the same code under the number of a patch, stage after stage."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from testbed import cluster as testbed_cluster
from testbed import pins
from testbed.spec import Nodes
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import REPOSITORY, Done, Program, meshinstall

pytestmark = pytest.mark.cluster

SCHEMA = REPOSITORY / "docs" / "schemas" / "upgrade-plan.json"
APP = REPOSITORY / "testbed" / "app.yaml"


@dataclass(frozen=True, slots=True)
class Mesh:
    """meshinstall and a shell, both on one cluster whose node has the images of two patches; ``newer`` are charts of the second."""

    program: Program
    shell: Shell
    newer: Path

    def plan(self, *flags: str) -> dict[str, Any]:
        """The plan as JSON, held against its schema; its exit status says whether there is something to do."""
        done = self.printed("-o", "json", *flags)
        found: dict[str, Any] = json.loads(done.out)
        Draft202012Validator(json.loads(SCHEMA.read_text())).validate(found)
        assert done.status == (3 if found["pending"] else 0), done
        return found

    def printed(self, *flags: str) -> Done:
        """The plan to the newer patch, as text unless flags say otherwise."""
        return self.program.run("upgrade plan", "--to", pins.RESTAMP, *flags)

    def stages(self) -> dict[str, list[str]]:
        """What each stage moves, by name."""
        return {stage["name"]: [move["name"] for move in stage["moves"]] for stage in self.plan()["stages"]}


@pytest.fixture(scope="module")
def mesh(build_part: Callable[[str], Path]) -> Iterator[Mesh]:
    """Istio 1.31.0 with an application of two Deployments."""
    name = f"planned-{os.getpid()}"
    cluster = testbed_cluster.up(name, Nodes.REAL, print, parts=("images-restamp",))
    try:
        found = Mesh(meshinstall(cluster), Shell(cluster, (build_part("kubectl"),)), build_part("charts-restamp"))
        found.program.up("--no-verify")
        found.shell.ok("kubectl", "apply", "-f", str(APP))
        found.shell.ok("kubectl", "rollout", "status", "deployment", "-n", "shop", "--timeout=60s")
        yield found
    finally:
        testbed_cluster.down(name)


def test_a_patch_goes_in_place_and_what_is_done_is_left_out(mesh: Mesh) -> None:
    before = mesh.plan()
    assert before["strategy"]["way"] == "in place"
    assert before["hops"] == [{"from": pins.ISTIO, "to": pins.RESTAMP, "way": "in place"}]
    assert mesh.stages() == {
        "crds": ["istio-base"],
        "control-plane": ["istiod"],
        "gateways": ["Deployment istio-ingress/istio-ingress"],
        "workloads": ["Deployment shop/client", "Deployment shop/web"],
    }
    mesh.program.up("--no-verify", "--istio-version", pins.RESTAMP, "--charts", str(mesh.newer))
    assert mesh.stages() == {"workloads": ["Deployment shop/client", "Deployment shop/web"]}
    mesh.shell.ok("kubectl", "rollout", "restart", "deployment", "-n", "shop")
    mesh.shell.ok("kubectl", "rollout", "status", "deployment", "-n", "shop", "--timeout=60s")
    assert mesh.stages() == {}
    assert mesh.printed().out.rstrip().endswith(f"Nothing to do: every part of the mesh is at Istio {pins.RESTAMP}.")
