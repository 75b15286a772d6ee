"""Tests istiod's webhooks: the API server is asked to call them.

istiod can be Ready before port 15017 listens, and nothing else
shows a firewall between the API server and the nodes (EKS security groups, GKE
private clusters). Dry-run requests change nothing.
"""

import re

from meshinstall.engine.objects.readiness import Trouble
from meshinstall.errors import ClusterError, ForbiddenError, UnauthorizedError, UnreachableError
from meshinstall.model.istio import PROXY_CONTAINER
from meshinstall.model.labels import INJECT, INJECTION, REVISION
from meshinstall.model.paths import object_path
from meshinstall.ports import Kube

# As the API server passes on a webhook's answer (kubernetes: apiserver/pkg/admission/plugin/webhook/errors/statuserror.go).
_DENIED = re.compile(r'admission webhook "[^"]+\.istio\.io" denied the request')
CALL_FAILED = "failed calling webhook"
# A permission that is missing, in the words of the API server's authorization; admission has others.
_NOT_PERMITTED = "is forbidden: User"
_DEFAULT = "default"
_VALIDATORS = object_path("admissionregistration.k8s.io/v1", "validatingwebhookconfigurations")


async def webhook_trouble(kube: Kube, namespace: str, revision: str = _DEFAULT, *, validates: bool = False) -> Trouble | None:
    """Why the webhooks of a revision's istiod do not work yet; None when they answered.

    ``validates``: there must be a validating webhook; otherwise it is asked when there is one. Raises ForbiddenError.
    """
    validates = validates or await _has_validator(kube, namespace, revision)
    if validates and (trouble := await _validation_trouble(kube, namespace, revision)):
        return trouble
    trouble = await _injection_trouble(kube, namespace, revision)
    if not trouble or not (label := await _keeping_away(kube, namespace, revision)):
        return trouble
    # Both webhooks are one server behind one port.
    return None if validates else Trouble(f"cannot test injection: label {label} excludes namespace {namespace}")


async def _has_validator(kube: Kube, namespace: str, revision: str) -> bool:
    """Whether a validating webhook leads to this istiod: its own chart's, or the one for all revisions of the base chart."""
    suffixes = ("", f"-{_DEFAULT}") if revision == _DEFAULT else (f"-{revision}",)
    for suffix in suffixes:
        if await kube.get(f"{_VALIDATORS}/istio-validator{suffix}-{namespace}"):
            return True
    shared = await kube.get(f"{_VALIDATORS}/istiod-default-validator") or {}
    services = [(one.get("clientConfig") or {}).get("service") or {} for one in shared.get("webhooks") or ()]
    ours = {f"istiod{suffix}" for suffix in suffixes}
    return any(service.get("namespace") == namespace and service.get("name") in ours for service in services)


async def _keeping_away(kube: Kube, namespace: str, revision: str) -> str:
    """The label of a namespace whose pods this revision does not inject, whatever they ask for (istiod chart: mutatingwebhook.yaml)."""
    live = await kube.get(object_path("v1", "namespaces", name=namespace)) or {}
    labels: dict[str, str] = (live.get("metadata") or {}).get("labels") or {}
    injection, chosen = labels.get(INJECTION), labels.get(REVISION)
    if injection is not None and (injection != "enabled" or revision != _DEFAULT):
        return f"{INJECTION}: {injection}"
    return f"{REVISION}: {chosen}" if injection is None and chosen not in {None, revision} else ""


async def _validation_trouble(kube: Kube, namespace: str, revision: str) -> Trouble | None:
    """Ask for a Gateway without servers, which only istiod knows to be wrong."""
    body = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "meshinstall-proof", "namespace": namespace, "labels": {REVISION: revision}},
        "spec": {"selector": {"meshinstall.dev/proof": "none"}},
    }
    try:
        await kube.create(object_path("networking.istio.io/v1", "gateways", namespace), body, dry_run=True)
    except ClusterError as error:
        raise_if_not_permitted(error)
        return None if _DENIED.search(error.message) else Trouble(f"validation webhook: {error.message}")
    # While it cannot be called its failurePolicy, Ignore, lets everything pass.
    return Trouble("validation webhook: istiod does not reject an invalid object yet")


async def _injection_trouble(kube: Kube, namespace: str, revision: str) -> Trouble | None:
    """Ask for a pod that wants a sidecar."""
    labels = {INJECT: "true", REVISION: revision}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "meshinstall-proof", "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "proof", "image": "proof"}]},
    }
    try:
        pod = await kube.create(object_path("v1", "pods", namespace), body, dry_run=True)
    except (UnauthorizedError, UnreachableError) as error:
        return Trouble(f"injection webhook: {error.message}")
    except ClusterError as error:
        raise_if_not_permitted(error)
        # Pod Security, a policy engine or a quota refuses what the webhook, called before them, has answered.
        return Trouble(f"injection webhook: {error.message}") if CALL_FAILED in error.message else None
    containers = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    if any(container["name"] == PROXY_CONTAINER for container in containers):
        return None
    return Trouble("injection webhook: a pod that asks for a sidecar does not get one")


def raise_if_not_permitted(error: ClusterError) -> None:
    """Raise what shows that the question itself is not permitted."""
    if isinstance(error, ForbiddenError) and _NOT_PERMITTED in error.message:
        raise error
