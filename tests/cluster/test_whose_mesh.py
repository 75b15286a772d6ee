"""A mesh of somebody else, of another environment, or in use: named, and left alone until that is agreed to by name."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed import pins
from testbed.cluster import Cluster
from testbed.waiting import until
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Program, meshinstall
from tests.cluster.situations import istio

pytestmark = pytest.mark.cluster

_SYSTEM, SECURITY = "istio-system", "security.istio.io/v1"
_LOST = "meshConfig.outboundTrafficPolicy.mode=REGISTRY_ONLY"


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell with Helm and kubectl."""
    return Shell(own_module_cluster, tuple(build_part(name) for name in ("helm4", "kubectl")))


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster, shell: Shell, build_part: Callable[[str], Path]) -> Program:
    """Meshinstall on a mesh that a person made with helm, with a value of its own."""
    charts = build_part("charts")
    shell.ok("helm", "install", "istio-base", str(charts / f"base-{pins.ISTIO}.tgz"), "-n", _SYSTEM, "--create-namespace")
    small = ("--set", "resources.requests.cpu=10m", "--set", "resources.requests.memory=64Mi", "--set", "env.PILOT_ENABLE_STATUS=false")
    shell.ok("helm", "install", "istiod", str(charts / f"istiod-{pins.ISTIO}.tgz"), "-n", _SYSTEM, "--set", _LOST, *small)
    return meshinstall(own_module_cluster).having("--profile", "minimal")


def found(program: Program, code: str) -> list[dict[str, Any]]:
    """The findings of a plan with this code."""
    done = program.run("plan", "-o", "json")
    assert done.status == 3, done
    return [one for one in json.loads(done.out)["findings"] if one["code"] == code]


def test_a_mesh_that_helm_made_is_taken_over_only_by_name(program: Program, shell: Shell) -> None:
    told = {one["object"]: one["detail"] for one in found(program, "PRE017")}
    assert f"release {_SYSTEM}/istiod" in told
    assert _LOST in told[f"release {_SYSTEM}/istiod"]
    done = program.run("up", "--yes")
    assert done.status == 1
    assert "PRE017" in done.err
    history = json.loads(shell.ok("helm", "history", "istiod", "-n", _SYSTEM, "-o", "json"))
    assert len(history) == 1
    program.up("--no-verify", "--allow", "takeover")
    assert program.pending() == {}


def test_a_control_plane_in_use_is_removed_only_by_name(program: Program, shell: Shell) -> None:
    shell.ok("kubectl", "create", "namespace", "shop")
    shell.ok("kubectl", "label", "namespace", "shop", "istio-injection=enabled")
    shell.ok("kubectl", "create", "deployment", "web", "-n", "shop", f"--image={pins.APP_IMAGE}")
    shell.ok("kubectl", "rollout", "status", "deployment/web", "-n", "shop", "--timeout=90s")
    done = program.run("down", "--yes")
    assert done.status == 1, done
    assert "PRE023: this control plane is in use: 1 proxy, by namespace: shop (1)" in done.err
    assert program.pending() == {}


@contextmanager
def plaintext(program: Program, until: date) -> Iterator[None]:
    """The environment's file plans plaintext and accepts it up to a day, for a while."""
    file = Path(program.env["MESHINSTALL_CONFIG"]) / "meshinstall.yaml"
    before = file.read_text()
    settings = yaml.safe_load(before)
    planned = {"mtls": "PERMISSIVE", "accept": {"until": until.isoformat(), "reason": "the shop moves"}}
    environments = settings.setdefault("environments", {})
    environments["dev"] = {**(environments.get("dev") or {}), **planned}
    file.write_text(yaml.safe_dump(settings))
    try:
        yield
    finally:
        file.write_text(before)


def test_plaintext_that_is_planned_is_a_failure_that_does_not_count_until_its_day(program: Program) -> None:
    today = datetime.now(UTC).date()
    with plaintext(program, today + timedelta(days=30)):
        done = program.up()
        assert re.search(r"Accepted: \d+ ports? fails? by PeerAuthentication istio-system/default alone", done.out), done
        assert done.out.splitlines()[-1].startswith("FAIL, accepted until "), done
        told = json.loads(replace(program, flags=()).ok("verify", "-o", "json").out)
        assert (told["verdict"], told["accepted"]["verdictOfTheRest"], told["accepted"]["reason"]) == ("FAIL", "PASS", "the shop moves")
    with plaintext(program, today - timedelta(days=1)):
        done = program.run("up", "--yes")
        assert done.status == 4, done
        assert "Accepted" not in done.out


def test_strict_and_a_new_trust_domain_say_whom_they_concern(program: Program, shell: Shell) -> None:
    shell.ok("kubectl", "expose", "deployment", "web", "-n", "shop", "--port=80", "--target-port=8080")
    rule = {"host": "web", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}
    shell.apply(istio("DestinationRule", "shop/plain", rule))
    shell.apply(istio("AuthorizationPolicy", "shop/web", {"rules": [{"from": [{"source": {"principals": ["old/ns/x/sa/y"]}}]}]}, SECURITY))
    until(lambda: "MTL010" in found(program, "PRE024")[0]["detail"], 30, lambda: str(found(program, "PRE024")))
    (told,) = found(program, "PRE024")
    assert told["title"] == "STRICT comes to a mesh in use: 1 proxy, by namespace: shop (1)"
    assert (
        "first fix the clients that send plaintext to these ports, which would be refused: MTL010 DestinationRule shop/plain"
        in told["detail"]
    )
    program.up("--no-verify", "--allow", "strict", "--set", "istiod.meshConfig.trustDomain=old")
    done = program.run("plan", "-o", "json", "--set", "istiod.meshConfig.trustDomain=new")
    texts = [one["text"] for one in json.loads(done.out)["summary"]]
    assert any("old → new" in text and "(1 proxy, by namespace: shop (1))" in text for text in texts), texts
    assert "these name the old trust domain and match nothing then: AuthorizationPolicy shop/web" in texts


def test_another_environment_neither_takes_nor_removes_it(program: Program) -> None:
    other = program.having("--env", "prod")
    (told,) = found(other, "PRE016")
    assert told["title"] == "the mesh in this cluster is environment dev, not prod"
    for command in ("up", "down"):
        done = other.run(command, "--yes")
        assert done.status == 1
        assert "PRE016" in done.err
    program.ok("down", "--yes", "--crds", "--allow", "in-use")
