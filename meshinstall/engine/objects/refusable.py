"""Objects that istiod refuses and the API server does not, by which it is seen whether istiod's webhook has a say (pure).

Source: istio, pkg/config/validation (1.31); the schemas of its CRDs.
"""

from collections.abc import Mapping
from typing import Any

from meshinstall.model.policy_kinds import NETWORKING, POLICY_KINDS, SECURITY, TELEMETRY

_Kind = tuple[str, str]

SPECS: Mapping[_Kind, Mapping[str, Any]] = {
    (SECURITY, "AuthorizationPolicy"): {"action": "DENY"},
    (SECURITY, "RequestAuthentication"): {"jwtRules": [{"issuer": "trial", "jwks": "no keys"}]},
    (NETWORKING, "DestinationRule"): {"host": ""},
    (NETWORKING, "EnvoyFilter"): {"configPatches": [{}]},
    (NETWORKING, "Gateway"): {},
    (NETWORKING, "ServiceEntry"): {"hosts": ["a..b"]},
    (NETWORKING, "Sidecar"): {"egress": [{"hosts": ["trial"]}]},
    (NETWORKING, "VirtualService"): {"hosts": ["trial"]},
    (NETWORKING, "WorkloadEntry"): {"address": "a..b"},
    (NETWORKING, "WorkloadGroup"): {"metadata": {"labels": {"a b": "c"}}, "template": {}},
    (TELEMETRY, "Telemetry"): {"accessLogging": [{"filter": {"expression": "("}}]},
}
# Of kinds of which the schemas refuse all that istiod does, another one of the same group: webhooks go by groups, as a rule.
_INSTEAD: Mapping[str, _Kind] = {SECURITY: (SECURITY, "AuthorizationPolicy"), NETWORKING: (NETWORKING, "Gateway")}


def refusable_kind(group: str, kind: str) -> _Kind:
    """The kind by which it is tried whether istiod judges a kind of Istio's."""
    return (group, kind) if (group, kind) in SPECS else _INSTEAD.get(group, (SECURITY, "AuthorizationPolicy"))


def versions_of(kind: _Kind) -> tuple[str, ...]:
    """The API versions in which a kind may be served, the newest first."""
    return tuple(f"{kind[0]}/{version}" for version in POLICY_KINDS[kind].versions)
