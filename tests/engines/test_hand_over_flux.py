"""A mesh goes from ``up`` to Flux and back; a test stands in for the helm-controller, which is not to be had."""

import json
import os
from collections.abc import Iterator

import pytest

from tests.cluster.load import load
from tests.engines.flux_world import FluxWorld, flux_world
from tests.engines.handing import add_shop, address, look, pods, well, work

_GIVEN, _MARKED = "Flux has the Kustomizations of this site", "Flux keeps every object"
_RELEASES = {"istio-base": "istio-system", "istiod": "istio-system", "istio-ingress": "istio-ingress"}
_KINDS = (
    "deployments,services,configmaps,serviceaccounts,roles,rolebindings,horizontalpodautoscalers,poddisruptionbudgets,"
    "clusterroles,clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations"
)


@pytest.fixture(scope="module")
def world() -> Iterator[FluxWorld]:
    """A mesh that ``up`` made, with an application behind its gateway, and a Flux that does not know it."""
    with flux_world(f"hand-flux-{os.getpid()}") as one:
        one.program.up("--no-verify")
        add_shop(one)
        yield one


def act_for_helm_controller(world: FluxWorld) -> None:
    """Mark what releases have, as a helm-controller does when it takes them, and say that they are ready.

    The helm-controller upgrades a release of its HelmRelease's name, so helm's record stays; it says Flux's words there.
    """
    for name, space in _RELEASES.items():
        world.wait_for_release(name)
        marks = [f"helm.toolkit.fluxcd.io/name={name}", "helm.toolkit.fluxcd.io/namespace=flux-system"]
        for place in (("-n", space), ()):
            kinds = (
                [kind for kind in _KINDS.split(",") if kind.startswith("cluster") or "webhook" in kind]
                if not place
                else _KINDS.split(",")[:8]
            )
            world.shell.ok("kubectl", "label", ",".join(kinds), *place, "-l", f"app.kubernetes.io/instance={name}", "--overwrite", *marks)
        world.answer_for_helm_controller(name)
    world.wait_ready("kustomizations", "mesh-namespaces", "mesh-control-plane", "mesh-gateways", "mesh-policies")


def test_to_flux_and_back_no_pod_restarts_and_no_request_fails(world: FluxWorld) -> None:
    before = pods(world)
    with load(address(world)) as answered:
        titles = work(world, "flux", {_GIVEN: world.deliver, _MARKED: lambda: act_for_helm_controller(world)})
        assert titles[:2] == [_GIVEN, _MARKED]
        done = world.program.run("up", "--yes")
        assert done.status == 1, done
        assert "PRE017: this mesh is kept by Flux" in done.err
        assert json.loads(world.program.ok("status", "-o", "json").out)["current"]
        titles = work(world, "meshinstall")
    well(answered)
    assert pods(world) == before
    assert titles[:3] == ["Flux does nothing more", "Flux has nothing of this site", "no object has the mark of an engine"]
    # A Kustomization that prunes is gone, and what it kept is not.
    assert world.of_kind("kustomizations") == {}
    assert world.get("peerauthentication", "default", "-n", "istio-system")["spec"] == {"mtls": {"mode": "STRICT"}}
    assert world.program.pending() == {}
    assert look(world, "meshinstall")["left"] == 0
