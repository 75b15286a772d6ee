"""From an empty folder to a mesh that Argo CD keeps, and an edit by hand that it does not see: as docs/gitops.md shows it."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.engines.charts import CHARTS
from testbed.engines.hub import GIT
from testbed.waiting import until
from tests.cluster import walk
from tests.cluster.meshinstall_run import REPOSITORY
from tests.engines.argo_world import PATIENCE, ArgoWorld, argo_world
from tests.engines.git_world import PERSON, SITE

_HEADING = "From an empty folder to Argo CD"
# The first command of the second half, when Argo CD has synced.
_SYNCED = "kubectl get applications -n argocd"


@pytest.fixture(scope="module")
def world() -> Iterator[ArgoWorld]:
    """A cluster with an Argo CD that knows nothing."""
    with argo_world(f"page-{os.getpid()}") as one:
        yield one


def test_an_empty_folder_becomes_a_mesh_that_argo_cd_keeps_and_drift_is_seen_named_and_put_right(world: ArgoWorld, tmp_path: Path) -> None:
    bare = world.cluster.state / GIT / "walk.git"
    world.git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    # What the testbed's nodes can carry; a person has none of it.
    shutil.copytree(world.folder / "values", tmp_path / "mesh" / "values")
    hub = world.cluster.spec.hub
    changes = {
        "git@git.example.com:shop/mesh.git": str(bare),
        "https://git.example.com/shop/mesh.git": f"https://{hub}/{GIT}/walk.git",
        "oci://registry.example.com/istio": f"oci://{hub}/{CHARTS}",
    }
    env = {name: value for name, value in {**world.program.env, **PERSON}.items() if name != "MESHINSTALL_CONFIG"}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    world.introduce_cluster()

    found = walk.pieces(REPOSITORY / "docs/gitops.md", _HEADING)
    half = next(number for number, piece in enumerate(found) if piece.commands == (_SYNCED,))
    walk.compare(found[:half], walk.run(found[:half], tmp_path, env, changes), changes)
    until(lambda: is_whole(world), PATIENCE, world.told)
    names = {"testbed-dev": f"testbed-{world.cluster.spec.name}"}
    walk.compare(found[half:], walk.run(found[half:], tmp_path / "mesh", env, {}), names)
    policy = world.get("peerauthentication", "default", "-n", "istio-system")
    assert policy["spec"] == {"mtls": {"mode": "STRICT"}}


def is_whole(world: ArgoWorld) -> bool:
    """Whether Argo CD has made all of it; policies come last."""
    found = world.applications()
    return f"{SITE}-mesh-policies" in found and all(one.is_well for one in found.values())
