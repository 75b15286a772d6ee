"""What of a pod is its owner's, and what changes with every injection."""

from typing import Any

import pytest

from meshinstall.engine.mesh.pod_status import is_ending, is_ready, restarts
from meshinstall.engine.mesh.recipes import labelled, recipe
from tests.unit.engine.mesh.kube_worlds import APP, PROXY, init, pod

PLAIN = pod(labels={"app": "web"})
NEWER = {**PROXY, "image": "proxyv2:1.32.0", "args": ["proxy", "sidecar", "--new"]}


@pytest.mark.parametrize(
    "same",
    [
        pod(labels={"app": "web", "pod-template-hash": "x", "istio.io/rev": "1-32", "service.istio.io/canonical-name": "web"}),
        pod(labels={"app": "web", "security.istio.io/tlsMode": "istio"}),
        pod(labels={"app": "web"}, inits=[init("80"), {**NEWER, "restartPolicy": "Always"}]),
        pod(labels={"app": "web"}, inits=[init()], containers=[APP, NEWER]),
        pod(labels={"app": "web"}, annotations={"sidecar.istio.io/status": "{}", "istio.io/rev": "x"}),
        pod(labels={"app": "web"}, name="web-2"),
        pod(labels={"app": "web"}, containers=[{**APP, "readinessProbe": {"httpGet": {"port": 15020}}}]),
    ],
)
def test_what_the_injector_and_controllers_write_is_not_the_owners(same: dict[str, Any]) -> None:
    assert recipe(same) == recipe(PLAIN)


@pytest.mark.parametrize(
    "other",
    [
        pod(labels={"app": "web", "version": "2"}),
        pod(labels={"app": "web"}, containers=[{**APP, "image": "app:2"}]),
        pod(labels={"app": "web"}, containers=[{**APP, "securityContext": {"runAsUser": 1337}}]),
        pod(labels={"app": "web"}, containers=[APP, {"name": "more", "image": "x"}]),
        pod(labels={"app": "web"}, inits=[init(), {"name": "own", "image": "x"}]),
        pod(labels={"app": "web"}, spec={"hostNetwork": True}),
        pod(labels={"app": "web"}, spec={"serviceAccountName": "root"}),
        pod(labels={"app": "web"}, annotations={"proxy.istio.io/config": "{}"}),
    ],
)
def test_what_its_owner_changed_differs(other: dict[str, Any]) -> None:
    assert recipe(other) != recipe(PLAIN)
    assert labelled(other) != labelled(PLAIN)


def test_a_label_on_a_pod_that_runs_differs_and_that_of_a_rollout_does_not() -> None:
    assert labelled(pod(labels={"app": "web", "security.istio.io/tlsMode": "none"})) != labelled(PLAIN)
    assert labelled(pod(labels={"app": "web", "pod-template-hash": "x"})) == labelled(PLAIN)


READY = {"conditions": [{"type": "Other", "status": "True"}, {"type": "Ready", "status": "True"}]}


def test_readiness_and_restarts_are_what_kubernetes_says() -> None:
    statuses = {"containerStatuses": [{"restartCount": 1}, {"restartCount": 4}], "initContainerStatuses": [{"restartCount": 2}]}
    there = pod(status={**READY, **statuses})
    assert is_ready(there)
    assert not is_ending(there)
    assert restarts(there) == 4
    assert restarts(pod()) == 0
    assert not is_ready(pod())
    ending = pod(status=READY, deletionTimestamp="2026-11-29T12:00:00Z")
    assert is_ending(ending)
    assert not is_ready(ending)
