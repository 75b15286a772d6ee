"""The profile ambient as far as it can be had: its plan, what the API server says to its agents, and how it fails without their images."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from meshinstall.adapters.helm.client import PyHelm
from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.model.cluster import Cloud
from meshinstall.model.release import Component
from meshinstall.model.request import Request
from meshinstall.model.trial import Ground
from testbed import pins
from testbed.cluster import Cluster
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Done, Program, meshinstall

pytestmark = pytest.mark.cluster

_SYSTEM = "istio-system"
# The testbed has no distroless images; the charts' profile ambient asks for them.
_PLAIN = ("--set-string", "istiod.global.variant=")


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell."""
    return Shell(own_module_cluster, tuple(build_part(name) for name in ("helm4", "kubectl")))


@pytest.fixture
def program(own_module_cluster: Cluster, tmp_path: Path) -> Program:
    """Meshinstall on a cluster without Istio; ``ambient`` has no gateway here, ``agent`` is ztunnel without the CNI."""
    found = meshinstall(own_module_cluster)
    project = tmp_path / "project"
    shutil.copytree(found.env["MESHINSTALL_CONFIG"], project, ignore=shutil.ignore_patterns("stderr.log"))
    settings = yaml.safe_load((project / "meshinstall.yaml").read_text())
    (project / "meshinstall.yaml").write_text(json.dumps(settings | {"environments": {"dev": {"gateways": {"istio-ingress": None}}}}))
    (project / "profiles").mkdir()
    (project / "profiles" / "agent.yaml").write_text("extends: minimal\ncomponents: [ztunnel]\n")
    found = found.having(MESHINSTALL_CONFIG=str(project))
    # What the test before left: each profile's own.
    for profile in ("ambient", "agent"):
        found.ok("down", "--crds", "--yes", "--profile", profile)
    return found


def test_the_plan_has_the_agents_after_the_control_plane(program: Program) -> None:
    steps = program.pending("--profile", "ambient")
    installs = [name for name, step in steps.items() if step["action"] == "install"]
    assert installs == [f"{_SYSTEM}/{name}" for name in ("istio-base", "istiod", "istio-cni", "ztunnel")]
    changed = {change["path"]: change["after"] for change in steps[f"{_SYSTEM}/istio-cni"]["changes"]}
    assert changed["profile"] == "ambient"


@pytest.mark.usefixtures("program")
def test_the_api_server_takes_what_the_charts_render(shell: Shell, build_part: Callable[[str], Path], tmp_path: Path) -> None:
    shell.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _SYSTEM}})
    rendered = anyio.run(_render, build_part("helm4") / "helm", build_part("charts"), tmp_path)
    kinds = {(item["kind"], item["metadata"]["name"]) for item in rendered}
    assert {("DaemonSet", "istio-cni-node"), ("DaemonSet", "ztunnel")} <= kinds
    taken = shell.ok(
        "kubectl", "apply", "--server-side", "--dry-run=server", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": rendered}
    )
    for name in ("istio-cni-node", "ztunnel"):
        assert f"daemonset.apps/{name} serverside-applied (server dry run)" in taken
    shell.ok("kubectl", "delete", "namespace", _SYSTEM)


async def _render(helm: Path, charts: Path, folder: Path) -> list[dict[str, Any]]:
    desired = resolve(Request(environment="dev", cloud=Cloud.LOCAL, profile="ambient"), load_project(None, {}, folder))
    found = []
    for release in desired.releases:
        if release.component in {Component.CNI, Component.ZTUNNEL}:
            archive = charts / f"{release.chart.name}-{pins.ISTIO}.tgz"
            text = await PyHelm(executable=str(helm)).template(release.key, archive, release.values.merged(), Ground("1.36.0"))
            found += [item for item in yaml.safe_load_all(text) if item]
    return found


def test_without_the_image_of_the_cni_it_fails_in_seconds_and_another_profile_goes_on(program: Program, shell: Shell) -> None:
    done = program.run("up", "--yes", "--profile", "ambient", *_PLAIN)
    _names_the_image(done, "istio-cni", "install-cni")
    assert "istio-system/ztunnel: install" not in done.err
    assert set(program.pending("--profile", "ambient", *_PLAIN)) == {
        f"{_SYSTEM}/istio-cni",
        f"{_SYSTEM}/ztunnel",
        "PeerAuthentication/istio-system/default",
    }

    # The default profile finishes, and says what it leaves as it is.
    said = program.up()
    assert re.search(r"warning PRE013: the configuration no longer contains release istio-system/istio-cni", said.err), said.err
    assert program.pending() == {}
    program.ok("down", "--crds", "--yes", "--profile", "ambient")
    assert shell.run("kubectl", "get", "namespace", _SYSTEM).returncode != 0


def test_without_the_image_of_ztunnel_it_fails_in_seconds_and_down_removes_all(program: Program, shell: Shell) -> None:
    done = program.run("up", "--yes", "--profile", "agent")
    _names_the_image(done, "ztunnel", "ztunnel")
    program.ok("down", "--yes", "--profile", "agent")
    assert shell.run("kubectl", "get", "namespace", _SYSTEM).returncode != 0


def _names_the_image(done: Done, release: str, image: str) -> None:
    assert done.status == 1, done
    said = rf"✗ {_SYSTEM}/{release}: stopped after ([0-9.]+) s: pod {release}\S*, container \S+: (ErrImagePull|ImagePullBackOff): "
    found = re.search(rf"{said}.*/{image}:{pins.ISTIO}", done.err)
    assert found, done.err
    # The kubelet asks a second time, 10 s later, in case the network was away; a third time would come 30 s after the first.
    assert float(found[1]) < 30
    assert "hint: check images (hub, tag, pullSecrets) in meshinstall.yaml" in done.err
