"""What changes of webhooks and of workloads mean, with the defaults of Kubernetes."""

from typing import Any

import pytest

from meshinstall.model.diff import Concern
from tests.unit.engine.rehearsal.changes import meant

pytestmark = pytest.mark.anyio

UNCHECKED = (
    Concern.WEAKER,
    "Istio objects are not checked while istiod does not answer (ValidatingWebhookConfiguration istio-validator)",
)
UNINJECTED = (
    Concern.WEAKER,
    "pods may start without a proxy while istiod does not answer (MutatingWebhookConfiguration istio-validator)",
)


def webhooks(kind: str, policy: str | None, timeout: int = 10) -> dict[str, Any]:
    one = {"name": "rev.validation.istio.io", "timeoutSeconds": timeout, **({"failurePolicy": policy} if policy else {})}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "istio-validator"}, "webhooks": [one]}


@pytest.mark.parametrize(
    ("kind", "before", "after", "expected"),
    [
        ("Validating", "Fail", None, []),
        ("Validating", None, "Fail", []),
        ("Validating", None, "Ignore", [UNCHECKED]),
        ("Validating", "Fail", "Ignore", [UNCHECKED]),
        ("Mutating", "Fail", "Ignore", [UNINJECTED]),
        ("Mutating", "Fail", None, []),
    ],
)
async def test_webhooks_without_a_policy_fail(kind: str, before: str | None, after: str | None, expected: Any) -> None:
    name = f"{kind}WebhookConfiguration"
    assert await meant(webhooks(name, before), webhooks(name, after, timeout=5)) == expected


async def test_a_webhook_whose_policy_becomes_the_default_is_stronger() -> None:
    name = "ValidatingWebhookConfiguration"
    assert [concern for concern, _ in await meant(webhooks(name, "Ignore"), webhooks(name, None))] == [Concern.STRONGER]


def workload(kind: str, image: str, **spec: Any) -> dict[str, Any]:
    spec = {"replicas": 2, **spec, "selector": {"matchLabels": {"a": "b"}}, "template": {"image": image}}
    number = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberReady": 3, "numberAvailable": 3}
    status = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2, **number}
    metadata = {"name": "node", "namespace": "istio-system"}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        ("DaemonSet", {}, "DaemonSet istio-system/node restarts"),
        (
            "DaemonSet",
            {"updateStrategy": {"type": "OnDelete"}},
            "DaemonSet istio-system/node does not restart by itself: 3 pods stay as they are until somebody deletes them",
        ),
        (
            "Deployment",
            {"paused": True},
            "Deployment istio-system/node does not restart by itself: 2 pods stay as they are until its rollout is resumed (paused)",
        ),
    ],
)
async def test_pods_that_nobody_replaces_stay(kind: str, spec: Any, expected: str) -> None:
    ((concern, text),) = await meant(workload(kind, "a", **spec), workload(kind, "b", **spec))
    assert concern is Concern.RESTART
    assert text.startswith(expected)
