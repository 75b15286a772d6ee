"""Each cause for which istiod's webhooks do not answer has a fix of its own."""

import pytest

from meshinstall.checks.control_plane.webhook_fixes import webhook_fix
from meshinstall.model.health import Webhook, WebhookKind
from meshinstall.model.mesh import Place

INJECTOR = Webhook(
    WebhookKind.MUTATING, "istio-sidecar-injector", "x.istio.io", Place("istio-system", "istiod"), "default", failure_policy="Fail"
)
IGNORING = Webhook(WebhookKind.MUTATING, "lenient", "x.istio.io", Place("istio-system", "istiod"), "default", failure_policy="Ignore")
ELSEWHERE = Webhook(WebhookKind.MUTATING, "other", "x.istio.io", Place("other", "istiod"), "default")
VALIDATOR = Webhook(WebhookKind.VALIDATING, "validator", "x.istio.io", Place("istio-system", "istiod"), "default")
NOT_INJECTED = "injection webhook: a pod that asks for a sidecar does not get one"
FAILED = 'injection webhook: failed calling webhook "x": Post "https://istiod": '


@pytest.mark.parametrize(
    ("trouble", "webhooks", "expected"),
    [
        (f"{FAILED}context deadline exceeded", [INJECTOR], "the API server must reach istiod's pods on port 15017"),
        ("istiod's webhooks did not answer within 2.0 s", None, "the API server must reach istiod's pods on port 15017"),
        # Its failurePolicy is Ignore while nobody could call it.
        ("validation webhook: istiod does not reject an invalid object yet", None, "the API server must reach istiod's pods on port 15017"),
        (f"{FAILED}x509: certificate signed by unknown authority", [INJECTOR], "the webhook's caBundle does not fit"),
        (f'{FAILED}no endpoints available for service "istiod"', [INJECTOR], "no pod of istiod is ready"),
        (
            "cannot test injection: label istio-injection: disabled excludes namespace istio-system",
            None,
            "test again after you remove this label",
        ),
        (NOT_INJECTED, [], "istiod's MutatingWebhookConfiguration does not exist"),
        (NOT_INJECTED, [ELSEWHERE, VALIDATOR], "istiod's MutatingWebhookConfiguration does not exist"),
        (NOT_INJECTED, [INJECTOR, VALIDATOR], "kubectl get mutatingwebhookconfiguration istio-sidecar-injector -o yaml"),
        (NOT_INJECTED, None, "kubectl get mutatingwebhookconfigurations,"),
    ],
)
def test_a_cause_has_its_fix(trouble: str, webhooks: list[Webhook] | None, expected: str) -> None:
    assert webhook_fix(trouble, "istio-system", webhooks).startswith(expected)


def test_a_firewall_is_blamed_only_where_it_may_be_one() -> None:
    assert "15017" not in webhook_fix(NOT_INJECTED, "istio-system", [INJECTOR])
    assert "15017" in webhook_fix(NOT_INJECTED, "istio-system", [IGNORING])
