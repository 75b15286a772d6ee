"""Helm's stderr, as Helm 3.22 and 4.3 write it (test_helm_cluster.py has it live), and what a person is told."""

import pytest

from meshinstall.adapters.helm.errors import explain
from meshinstall.errors import HelmConflictError

OWNED = (
    'Error: Unable to continue with install: ConfigMap "demo" in namespace "shop" exists and cannot be imported into the current release: '
    'invalid ownership metadata; annotation validation error: key "meta.helm.sh/release-name" must equal "b": current value is "a"\n'
)
BY_HAND = (
    'Error: unable to continue with install: CustomResourceDefinition "gateways.networking.istio.io" in namespace "" exists and cannot be '
    "imported into the current release: invalid ownership metadata; label validation error: missing key "
    '"app.kubernetes.io/managed-by": must be set to "Helm"; annotation validation error: missing key "meta.helm.sh/release-name": must be '
    'set to "istio-base"; annotation validation error: missing key "meta.helm.sh/release-namespace": must be set to "istio-system"\n'
)
CONFLICT = (
    'level=WARN msg="upgrade failed" name=a error="conflict occurred while applying object shop/demo /v1, Kind=ConfigMap: Apply failed '
    'with 1 conflict: conflict with \\"admissionsenforcer\\": .data.colour"\n'
    "Error: UPGRADE FAILED: conflict occurred while applying object shop/demo /v1, Kind=ConfigMap: Apply failed with 1 conflict: conflict "
    'with "admissionsenforcer": .data.colour\n'
)
CONFLICTS = (
    "Error: UPGRADE FAILED: conflict occurred while applying object /istio-sidecar-injector admissionregistration.k8s.io/v1, "
    "Kind=MutatingWebhookConfiguration: Apply failed with 3 conflicts: "
    'conflicts with "admissionsenforcer" using admissionregistration.k8s.io/v1:\n'
    '- .webhooks[name="rev.namespace.sidecar-injector.istio.io"].namespaceSelector\n'
    '- .webhooks[name="rev.object.sidecar-injector.istio.io"].namespaceSelector\n'
    'conflicts with "kubectl-edit" using admissionregistration.k8s.io/v1 at 2026-11-21T08:17:43Z:\n'
    '- .webhooks[name="rev.object.sidecar-injector.istio.io"].failurePolicy\n'
)

# A Deployment after ``kubectl scale``.
SCALED = (
    "Error: UPGRADE FAILED: conflict occurred while applying object istio-system/istiod apps/v1, Kind=Deployment: Apply failed with 1 "
    'conflict: conflict with "kubectl" with subresource "scale" using apps/v1 at 2026-11-21T08:17:43Z: .spec.replicas\n'
)
SCALED_AND_EDITED = (
    "Error: UPGRADE FAILED: conflict occurred while applying object istio-system/istiod apps/v1, Kind=Deployment: Apply failed with 2 "
    'conflicts: conflicts with "kubectl" with subresource "scale" using apps/v1:\n- .spec.replicas\n'
    'conflicts with "kubectl-edit" using apps/v1:\n- .spec.minReadySeconds\n'
)

MANY = "Error: UPGRADE FAILED: " + " && ".join(
    f"conflict occurred while applying object /{name} v1, Kind=ConfigMap: Apply failed with 1 conflict: conflict with "
    f'"istio-operator": .data.{name}'
    for name in ("a", "b", "c")
)


@pytest.mark.parametrize(
    ("stderr", "message", "hint"),
    [
        (OWNED, 'ConfigMap "demo" in namespace "shop" exists already and belongs to release a', "remove or rename"),
        (BY_HAND, "belongs to no Helm release (it was made by istioctl, an operator or by hand)", "remove or rename"),
        (
            CONFLICT,
            "shop/demo /v1, Kind=ConfigMap has fields that another manager owns: .data.colour is set by 'admissionsenforcer'",
            "keep",
        ),
        (SCALED, "Kind=Deployment has fields that another manager owns: .spec.replicas is set by 'kubectl'", "keep"),
        (MANY, "/a v1, Kind=ConfigMap has fields that another manager owns: .data.a is set by 'istio-operator' (and 2 more", "keep"),
        (
            "Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress\n",
            "failed: UPGRADE FAILED: another operation",
            "if none runs any more, it was interrupted",
        ),
        (
            'Error: query: failed to query with labels: secrets is forbidden: User "ci" cannot list resource "secrets" in API group ""\n',
            'User "ci" cannot list resource "secrets"',
            "ask for the permission",
        ),
        (
            'Error: kubernetes cluster unreachable: Get "https://1.2.3.4/version": dial tcp 1.2.3.4:443: i/o timeout\n',
            "dial tcp 1.2.3.4:443: i/o timeout",
            "check the address",
        ),
        (
            'Error: kubernetes cluster unreachable: Get "https://x/version": getting credentials: exec: executable meshinstall not found\n',
            "executable meshinstall not found",
            "log in to the cloud again",
        ),
        ('Error: create: failed to create: namespaces "x" not found\n', 'failed: create: failed to create: namespaces "x" not found', ""),
    ],
)
def test_what_helm_said_is_what_a_person_is_told(stderr: str, message: str, hint: str) -> None:
    error = explain("upgrade of shop/b", stderr.encode())

    assert error.message.startswith("helm upgrade of shop/b failed: ")
    assert message in error.message
    assert error.hint.startswith(hint) or hint in error.hint
    assert bool(error.hint) == bool(hint)


def test_every_field_of_every_manager_is_named_once() -> None:
    error = explain("upgrade of istio-system/istiod", CONFLICTS.encode())

    assert error.message == (
        "helm upgrade of istio-system/istiod failed: /istio-sidecar-injector admissionregistration.k8s.io/v1, "
        "Kind=MutatingWebhookConfiguration has fields that another manager owns: "
        """.webhooks[name="rev.namespace.sidecar-injector.istio.io"].namespaceSelector is set by 'admissionsenforcer'; """
        """.webhooks[name="rev.object.sidecar-injector.istio.io"].namespaceSelector is set by 'admissionsenforcer'; """
        """.webhooks[name="rev.object.sidecar-injector.istio.io"].failurePolicy is set by 'kubectl-edit'"""
    )


def test_nothing_that_moves_a_cursor_or_turns_text_around_comes_through() -> None:
    error = explain("x", b"Error: \x1b[31mred\x1b[0m \x1b]0;title\x07a\x00b\x9bc \xe2\x80\xaetxt\r\n")

    assert error.message == "helm x failed: red ab\ufffdc txt"


def test_a_long_message_keeps_its_end_and_is_bounded() -> None:
    error = explain("x", "\n".join(f"line {n} {'y' * 2000}" for n in range(100)).encode())

    assert "line 99" in error.message
    assert "line 80" not in error.message
    assert len(error.message) < 8000


@pytest.mark.parametrize(
    ("stderr", "managers"),
    [
        (CONFLICT, {"admissionsenforcer"}),
        (CONFLICTS, {"admissionsenforcer", "kubectl-edit"}),
        (MANY, {"istio-operator"}),
        (SCALED, {"kubectl"}),
        (SCALED_AND_EDITED, {"kubectl", "kubectl-edit"}),
        # Of so many words the first are not read, and with them perhaps a manager.
        (CONFLICTS + "x" * 65536 + MANY, set()),
    ],
)
def test_a_conflict_names_every_manager_or_none(stderr: str, managers: set[str]) -> None:
    error = explain("upgrade of shop/b", stderr.encode())
    assert isinstance(error, HelmConflictError)
    assert error.managers == managers
