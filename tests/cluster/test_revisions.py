"""A mesh with revisions and tags: installed, seen so by istioctl and by real pods, healed, patched in place, and removed whole.

The second version is the re-stamp of the testbed: the code of the first under the number of its next patch.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed import cluster as testbed_cluster
from testbed import pins
from testbed.cluster import Cluster
from testbed.spec import Nodes
from testbed.waiting import until
from tests.cluster.mesh import Shell, namespace, web
from tests.cluster.meshinstall_run import Program, meshinstall

pytestmark = pytest.mark.cluster

_SYSTEM = "istio-system"
_STABLE = "mutatingwebhookconfiguration/istio-revision-tag-stable"
_PROJECT = """\
apiVersion: meshinstall.dev/v1
istio: {version: "1.31", revisions: true, tags: [stable]}
charts: {source: charts}
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster whose nodes have the images of both versions."""
    name = f"revisions-{os.getpid()}"
    yield testbed_cluster.up(name, Nodes.REAL, lambda _: None, ("images-restamp",))
    testbed_cluster.down(name)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, build_part: Callable[[str], Path]) -> Path:
    """A folder with meshinstall.yaml, and the charts of the first version."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "meshinstall.yaml").write_text(_PROJECT)
    (folder / "charts").mkdir()
    for archive in build_part("charts").glob(f"*-{pins.ISTIO}.tgz"):
        shutil.copy(archive, folder / "charts")
    return folder


@pytest.fixture(scope="module")
def program(cluster: Cluster, project: Path) -> Program:
    """Meshinstall with that configuration."""
    found = meshinstall(cluster)
    shutil.copytree(Path(found.env["MESHINSTALL_CONFIG"]) / "values", project / "values")
    return found.having(MESHINSTALL_CONFIG=str(project))


@pytest.fixture(scope="module")
def shell(cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell."""
    return Shell(cluster, tuple(build_part(name) for name in ("helm4", "kubectl", "istioctl")))


@pytest.fixture(scope="module")
def installed(program: Program, shell: Shell) -> str:
    """The mesh, and a pod in a namespace of each kind; gives what ``up`` printed."""
    done = program.up()
    shell.apply(namespace("shop", **{"istio-injection": "enabled"}), namespace("pay", **{"istio.io/rev": "stable"}))
    for name in ("shop", "pay"):
        shell.apply(*web(name))
    return str(done)


def _proxy(shell: Shell, space: str, pod: str = "web") -> tuple[str, str]:
    """The revision that injected a pod, and the version of its proxy, when the pod is ready."""
    shell.ok("kubectl", "wait", "--for=condition=Ready", f"pod/{pod}", "-n", space, "--timeout=60s")
    item: dict[str, Any] = json.loads(shell.ok("kubectl", "get", "pod", pod, "-n", space, "-o", "json"))
    spec = item["spec"]
    images = [one["image"] for one in (*spec["containers"], *spec.get("initContainers", ())) if one["name"] == "istio-proxy"]
    revision = json.loads(item["metadata"]["annotations"]["sidecar.istio.io/status"])["revision"]
    return revision, images[0].rpartition(":")[2]


def _codes(program: Program) -> dict[str, tuple[str, str]]:
    found = json.loads(program.run("plan", "-o", "json").out)["findings"]
    return {one["code"]: (one["severity"], one["title"]) for one in found}


def test_pods_of_both_kinds_of_namespaces_get_proxies_of_the_revision(installed: str, shell: Shell) -> None:
    assert f"Version: {pins.ISTIO}, the newest of " in installed
    assert "PASS: mTLS on " in installed
    assert _proxy(shell, "shop") == ("1-31", pins.ISTIO)
    assert _proxy(shell, "pay") == ("1-31", pins.ISTIO)


def test_istioctl_sees_the_tags_and_the_proxies_so(installed: str, shell: Shell) -> None:
    assert installed
    tags = json.loads(shell.ok("istioctl", "tag", "list", "-o", "json"))
    assert {(one["tag"], one["revision"]) for one in tags} == {("default", "1-31"), ("stable", "1-31")}
    assert {one["tag"]: one["namespaces"] for one in tags}["stable"] == ["pay"]
    connected: list[str] = []

    def seen() -> bool:
        connected[:] = shell.ok("istioctl", "proxy-status", "--revision", "1-31").splitlines()
        return {"web.shop", "web.pay"} <= {line.split()[0] for line in connected if line}

    assert until(seen, 60, lambda: "\n".join(connected))
    assert all("istiod-1-31-" in line for line in connected if line.startswith(("web.shop", "web.pay")))


def test_there_is_nothing_to_do_and_a_tag_that_is_moved_by_hand_goes_back(installed: str, program: Program, shell: Shell) -> None:
    assert installed
    assert program.pending() == {}
    shell.ok("kubectl", "label", "--overwrite", _STABLE, "istio.io/rev=1-30")
    change = [{"op": "replace", "path": "/webhooks/0/clientConfig/service/name", "value": "istiod-1-30"}]
    more = [{"op": "add", "path": "/webhooks/0/namespaceSelector/matchLabels", "value": {"only": "these"}}]
    shell.ok("kubectl", "patch", _STABLE, "--type=json", "-p", json.dumps([*change, *more]))
    (step,) = program.pending().values()
    assert step["name"] == "MutatingWebhookConfiguration/istio-revision-tag-stable"
    program.up("--no-verify")
    live = json.loads(shell.ok("kubectl", "get", _STABLE, "-o", "json"))
    assert live["metadata"]["labels"]["istio.io/rev"] == "1-31"
    assert {hook["clientConfig"]["service"]["name"] for hook in live["webhooks"]} == {"istiod-1-31"}
    assert all(hook["clientConfig"]["caBundle"] for hook in live["webhooks"])
    assert "matchLabels" not in live["webhooks"][0]["namespaceSelector"]
    assert program.pending() == {}


def test_a_canary_by_hand_is_told_and_left_alone(installed: str, program: Program, shell: Shell, build_part: Callable[[str], Path]) -> None:
    assert installed
    archive = build_part("charts-restamp") / f"istiod-{pins.RESTAMP}.tgz"
    sets = ("--set", "revision=canary", "--set", "resources.requests.memory=128Mi", "--set", "telemetry.enabled=false")
    shell.ok("helm", "install", "istiod-canary", str(archive), "-n", _SYSTEM, "--wait", *sets, seconds=120)
    severity, title = _codes(program)["PRE037"]
    assert severity == "warning"
    assert title.endswith("at the stage control-plane")
    assert program.pending() == {}
    shell.ok("helm", "uninstall", "istiod-canary", "-n", _SYSTEM, "--wait")
    assert "PRE037" not in _codes(program)


def test_a_patch_goes_in_place_when_the_lock_has_it(
    installed: str, program: Program, project: Path, shell: Shell, build_part: Callable[[str], Path]
) -> None:
    assert installed
    for archive in build_part("charts-restamp").glob("*.tgz"):
        shutil.copy(archive, project / "charts")
    # What runs stays.
    assert program.pending() == {}
    program.ok("lock", "--update")
    done = program.up()
    assert f"Version: {pins.RESTAMP}, the newest in meshinstall.lock (1.31: " in done.err
    assert "PRE036" not in done.err
    releases = json.loads(shell.ok("helm", "list", "-n", _SYSTEM, "-o", "json"))
    assert {one["name"]: one["app_version"] for one in releases} == {"istio-base": pins.RESTAMP, "istiod-1-31": pins.RESTAMP}
    shell.apply(*web("pay", "newer"))
    assert _proxy(shell, "pay", "newer") == ("1-31", pins.RESTAMP)
    assert program.pending() == {}


def test_a_mesh_with_revisions_does_not_lose_them_by_up(installed: str, program: Program, project: Path) -> None:
    assert installed
    file = project / "meshinstall.yaml"
    file.write_text(_PROJECT.replace(", revisions: true, tags: [stable]", ""))
    try:
        done = program.run("up", "--yes")
    finally:
        file.write_text(_PROJECT)
    assert done.status == 1
    assert "PRE036: this mesh has revisions" in done.err


def test_down_leaves_nothing(installed: str, program: Program, shell: Shell) -> None:
    assert installed
    shell.ok("kubectl", "delete", "namespace", "shop", "pay", "--wait")
    done = program.ok("down", "--yes")
    kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations,clusterroles,clusterrolebindings,services,namespaces"
    left = shell.ok("kubectl", "get", kinds, "-A", "-o", "name")
    assert [line for line in left.splitlines() if "istio" in line] == [], done
