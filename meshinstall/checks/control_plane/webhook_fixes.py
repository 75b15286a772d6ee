"""What to do when istiod's webhooks do not answer: each cause has its own fix (the words are those of engine/mesh/webhook_answers.py)."""

from collections.abc import Iterable

from meshinstall.checks.words import word
from meshinstall.model.health import Webhook, WebhookKind
from meshinstall.model.istio import OPEN_WEBHOOK_PORT

# As the API server words it when it called and got no answer (kubernetes: apiserver/pkg/admission/plugin/webhook).
_CALL_FAILED = "failed calling webhook"
_NOT_INJECTED = "does not get one"
_EXCLUDED = "excludes namespace"
_CERTIFICATE = "x509:"
_NO_ENDPOINT = "no endpoints available"
_LIST = "kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations"


def webhook_fix(trouble: str, namespace: str, webhooks: Iterable[Webhook] | None) -> str:
    """How to fix ``trouble`` of the istiods in a namespace; ``webhooks`` are Istio's, None when they could not be read."""
    namespace = word(namespace)
    logs = f"kubectl logs -n {namespace} -l app=istiod --tail=50"
    if _CERTIFICATE in trouble:
        return f"the webhook's caBundle does not fit istiod's certificate; istiod writes it when it starts: {logs}"
    if _NO_ENDPOINT in trouble:
        return f"no pod of istiod is ready: kubectl get pods -n {namespace} -l app=istiod"
    if _EXCLUDED in trouble:
        return "test again after you remove this label from the namespace, or test with a pod in a namespace that asks for injection"
    if _NOT_INJECTED in trouble and _CALL_FAILED not in trouble:
        return _not_injected(namespace, webhooks)
    return f"{OPEN_WEBHOOK_PORT}; then: {logs}"


def _not_injected(namespace: str, webhooks: Iterable[Webhook] | None) -> str:
    """Nobody called istiod, or it was called in vain and failurePolicy Ignore let the pod pass."""
    if webhooks is None:
        return f"{_LIST}  # does one lead to istiod in {namespace}, and do its selectors fit?"
    mine = [one for one in webhooks if one.kind is WebhookKind.MUTATING and one.service and one.service.namespace == namespace]
    if not mine:
        return "istiod's MutatingWebhookConfiguration does not exist; create it again: meshinstall up, or helm upgrade of the istiod chart"
    names = " ".join(dict.fromkeys(one.configuration for one in mine))
    look = f"kubectl get mutatingwebhookconfiguration {names} -o yaml  # do namespaceSelector and objectSelector fit?"
    if any(one.failure_policy == "Ignore" for one in mine):
        return f"{look}\n# its failurePolicy is Ignore, which hides that it cannot be called: {OPEN_WEBHOOK_PORT}"
    return look
