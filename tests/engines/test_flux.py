"""Flux keeps what ``render --format flux`` writes: its source- and kustomize-controller. A helm-controller is not to be had."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.waiting import until
from tests.engines.flux_world import PATIENCE, FluxWorld, flux_world, ready

_POLICY = "peerauthentications.security.istio.io", "default", "-n", "istio-system"
_SELECTOR = {"selector": {"matchLabels": {"app": "nothing"}}}


@pytest.fixture(scope="module")
def world() -> Iterator[FluxWorld]:
    """A mesh of ``up``, which Flux has been told of."""
    with flux_world(f"flux-{os.getpid()}") as one:
        one.program.up()
        one.deliver()
        yield one


def test_each_step_waits_for_the_releases_before(world: FluxWorld) -> None:
    """A release that nobody has installed holds up what comes after it."""
    world.wait_ready("kustomizations", "mesh-namespaces")
    until(lambda: world.of_kind("helmreleases").keys() == {"istio-base", "istiod"}, PATIENCE, lambda: str(world.of_kind("helmreleases")))
    found = world.of_kind("kustomizations")
    assert [ready(found[name])[0] for name in ("mesh-control-plane", "mesh-gateways", "mesh-policies")] != ["True"] * 3
    assert "not ready" in ready(found["mesh-gateways"])[1]
    world.answer_for_helm_controller("istio-base", "istiod")
    world.wait_ready("kustomizations", "mesh-control-plane")
    until(lambda: "istio-ingress" in world.of_kind("helmreleases"), PATIENCE, lambda: str(world.of_kind("helmreleases").keys()))
    assert ready(world.of_kind("kustomizations")["mesh-policies"])[0] != "True"
    world.answer_for_helm_controller("istio-ingress")
    world.wait_ready("kustomizations", "mesh-gateways", "mesh-policies")


def test_charts_come_by_their_digest_from_the_registry(world: FluxWorld, build_part: Callable[[str], Path]) -> None:
    """The certificate is verified, and the archive is the one that the lock names."""
    names = ("base", "istiod", "gateway")
    world.wait_ready("ocirepositories", *(f"istio-chart-{name}" for name in names))
    found = world.of_kind("ocirepositories")
    for name in names:
        manifest = found[f"istio-chart-{name}"]
        artifact = manifest["status"]["artifact"]
        assert artifact["revision"] == manifest["spec"]["ref"]["digest"]
        archive = build_part("charts") / f"{name}-1.31.0.tgz"
        assert artifact["digest"] == f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"


def test_what_flux_applied_is_what_up_had_made(world: FluxWorld) -> None:
    done = world.program.ok("plan")
    assert done.out.endswith("Nothing to do.\n"), done


def test_what_kubectl_adds_to_a_policy_is_taken_out(world: FluxWorld) -> None:
    world.shell.ok("kubectl", "patch", *_POLICY, "--type=merge", "-p", json.dumps({"spec": _SELECTOR}))
    world.reconcile("mesh-policies")
    assert _spec(world) == {"mtls": {"mode": "STRICT"}}


def test_what_another_manager_adds_to_a_policy_stays(world: FluxWorld) -> None:
    """The mesh-wide policy is void, and Flux is ready."""
    added = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": "istio-system"},
    }
    flags = ("--server-side", "--field-manager=my-script", "-f", "-")
    world.shell.ok("kubectl", "apply", *flags, given={**added, "spec": _SELECTOR})
    world.reconcile("mesh-policies")
    assert _spec(world) == {"mtls": {"mode": "STRICT"}, **_SELECTOR}
    world.shell.ok("kubectl", "apply", *flags, given={**added, "spec": {}})
    assert _spec(world) == {"mtls": {"mode": "STRICT"}}


def _spec(world: FluxWorld) -> dict[str, Any]:
    found: dict[str, Any] = world.get(*_POLICY)["spec"]
    return found


def test_a_policy_comes_and_goes_with_its_file(world: FluxWorld) -> None:
    world.shut_gateway()
    world.reconcile("mesh-policies")
    assert len(world.get("authorizationpolicies", "-A")["items"]) == 1
    world.open_gateway()
    world.reconcile("mesh-policies")
    assert world.get("authorizationpolicies", "-A")["items"] == []


def test_a_mesh_outlives_its_kustomizations(world: FluxWorld) -> None:
    names = ("mesh-policies", "mesh-namespaces", "mesh-control-plane", "mesh-gateways")
    world.shell.ok("kubectl", "delete", "-n", "flux-system", *(f"kustomizations.kustomize.toolkit.fluxcd.io/{name}" for name in names))
    assert _spec(world) == {"mtls": {"mode": "STRICT"}}
    assert world.of_kind("helmreleases").keys() == {"istio-base", "istiod", "istio-ingress"}
    assert world.get("namespace", "istio-system")["status"]["phase"] == "Active"
