"""A mesh of one cluster is kept, drilled on a second one, lost, and made again there: what docs/disaster-recovery.md shows, as it shows it.

What a client of before may do is tried on the wire, with a certificate that the lost CA signed.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from testbed.cluster import Cluster
from testbed.spec import Nodes
from testbed.waiting import until
from tests.cluster import walk
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import REPOSITORY, Program, meshinstall
from tests.cluster.recovery_world import BESIDE, answer, client, environment, kill, reaches, shop

pytestmark = pytest.mark.cluster

PAGE = REPOSITORY / "docs/disaster-recovery.md"
SCHEMA = json.loads((REPOSITORY / "docs/schemas/restore.json").read_text())


def test_a_mesh_that_is_lost_is_made_again_as_the_page_says(
    own_cluster: Callable[[str, Nodes], Cluster], build_part: Callable[[str], Path], tmp_path: Path
) -> None:
    first, second = own_cluster("first", Nodes.REAL), own_cluster("second", Nodes.REAL)
    program = meshinstall(first)
    here, there = (Shell(one, (build_part("kubectl"),)) for one in (first, second))
    program.up("--no-verify")
    shop(here)
    reaches(here)
    certificate = client(here, tmp_path)
    until(lambda: answer(here, certificate) == "HTTP/1.1 200 OK", 60, lambda: answer(here, certificate))

    env = environment(program, tmp_path, first=first, second=second)
    changes: dict[str, str] = {}
    found = walk.pieces(PAGE, "A drill, and the day it is for")
    walk.compare(found, walk.run(found, tmp_path, env, changes), changes)
    assert "<h1>Drill of environment dev" in (tmp_path / "drill.html").read_text()

    kill(first)
    interrupted(Program(env), tmp_path)
    found = walk.pieces(PAGE, "The first cluster is gone")
    walk.compare(found, walk.run(found, tmp_path, env, changes), changes)
    reaches(there)
    there.apply(BESIDE)
    until(lambda: answer(there, certificate) == "HTTP/1.1 200 OK", 60, lambda: answer(there, certificate))


def interrupted(program: Program, folder: Path) -> None:
    """A first try that is killed while istiod starts: the page's is the second one."""
    flags = (str(folder / "kept"), "--key", str(folder / "snapshot.pub"), "--identity", str(folder / "recovery.key"))
    with program.started("restore", *flags, "--context", "second", "--yes") as running:
        running.until_it_says(r"istio-system/istiod: install")
        running.process.kill()
        running.process.wait()


@pytest.mark.extra
def test_the_result_of_a_drill_is_of_its_schema(
    own_cluster: Callable[[str, Nodes], Cluster], build_part: Callable[[str], Path], tmp_path: Path
) -> None:
    """One cluster is enough: a mesh is kept, taken down, and drilled in its own place, with another root that is accepted."""
    only = own_cluster("only", Nodes.REAL)
    program, shell = meshinstall(only), Shell(only, (build_part("kubectl"),))
    program.up("--no-verify")
    shell.ok("kubectl", "create", "namespace", "shop")
    shell.ok("kubectl", "apply", "-f", str(REPOSITORY / "docs/recovery/shop.yaml"))
    kept = str(tmp_path / "kept")
    program.ok("snapshot", "--unsigned", "--no-verify", "--into", kept)
    flags = (kept, "--unsigned", "--yes", "--drill", "--no-verify", "-o", "json")
    refused = program.run("restore", *flags)
    assert refused.status == 1, refused
    assert "PRE061" in refused.err, refused
    program.ok("down", "--yes", "--crds")

    assert "PRE059" in program.run("restore", *flags).err
    done = program.run("restore", *flags, "--allow", "new-root")
    result = json.loads(done.out.splitlines()[-1])
    jsonschema.validate(result, SCHEMA)
    outcomes = {one["name"]: one["outcome"] for one in (*result["checks"], *result["removed"])}
    assert outcomes == {
        "objects": "PASS",
        "gateway istio-ingress/istio-ingress": "PASS",
        "trust": "FAIL",
        "mTLS": "NOT PROVEN",
        "workloads with proxies": "PASS",
        "taken away again": "PASS",
    }
    assert (result["accepted"], result["outcome"], done.status) == (["trust"], "NOT PROVEN", 5)
    subprocess.run(["kubectl", "get", "namespace", "shop"], env=program.env, check=True, capture_output=True)
