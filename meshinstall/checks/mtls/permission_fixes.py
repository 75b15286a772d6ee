"""What an account lacks that could not read something: all of it at once."""

from collections.abc import Iterable, Mapping

from meshinstall.checks.words import word
from meshinstall.model.mesh import Proxy

# As adapters/kube/portforward.py words it.
_NO_PERMISSION = "permission for pods/portforward"
_RESOURCES: Mapping[str, str] = {
    "ConfigMap": "configmaps",
    "Deployment": "deployments.apps",
    "MutatingWebhookConfiguration": "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "ValidatingWebhookConfiguration": "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "DestinationRule": "destinationrules.networking.istio.io",
    "Namespace": "namespaces",
    "PeerAuthentication": "peerauthentications.security.istio.io",
    "Pod": "pods",
    "Service": "services",
    "ServiceEntry": "serviceentries.networking.istio.io",
    "Sidecar": "sidecars.networking.istio.io",
}


def lists_fix(unread: Iterable[str], plane: str) -> str:
    """The questions to ask for each kind that was not read; ``plane`` is the namespace of an istiod."""
    kinds = tuple(unread)
    lines = [f"kubectl auth can-i list {_RESOURCES[kind]} -A" for kind in kinds if kind in _RESOURCES]
    if "MeshConfig" in kinds:
        lines.append(f"kubectl auth can-i get configmaps -n {word(plane)}")
    reason = "# the lines 'not seen' at the end name the reason"
    if not lines:
        return f"{reason}; what this account may do: kubectl auth can-i --list"
    return "\n".join([f"{reason}; where it is a missing permission, the answer to one of these is no:", *lines])


def forward_fix(proxies: Iterable[Proxy], namespace: str) -> str:
    """What to do when no proxy may be asked; empty when another cause is among them."""
    problems = [proxy.problem for proxy in proxies if proxy.problem]
    if not problems or any(_NO_PERMISSION not in problem for problem in problems):
        return ""
    return f"kubectl auth can-i create pods/portforward -n {namespace}  # this account may not ask proxies: it needs create and get"
