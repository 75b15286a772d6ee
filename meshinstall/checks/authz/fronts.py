"""Gateways of the Gateway API: which workloads are some, and which policies are for them.

Source: istio, pilot/pkg/model/policyattachment.go (1.31).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from meshinstall.checks.policies.reading import GATEWAY_NAME, Policies, meets, selector, table, targets, word
from meshinstall.checks.policies.waypoints import WAYPOINT_CLASS
from meshinstall.model.authz import Workload
from meshinstall.model.policy_kinds import GATEWAY_API
from meshinstall.model.policy_object import PolicyObject

_GATEWAY_CLASS = "istio"
# What istiod labels the pods with that it makes, and of which kind they are (istio: pkg/config/constants).
_MANAGED = "gateway.istio.io/managed"
_KINDS = {"istio.io-gateway-controller": False, "istio.io-mesh-controller": True, "istio.io-eastwest-controller": True}
# A variable of istiod: whether policies without targetRefs count at gateways of the Gateway API, and what Go reads as false.
_BY_SELECTOR = "ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY"
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})

_WAYPOINT = "what waypoints and east-west gateways do with policies is not decided here"
_EITHER = f"it is unknown whether it is a gateway or a waypoint: the files have no Gateway of class {_GATEWAY_CLASS} of this name"


@dataclass(frozen=True, slots=True)
class Fronts:
    """The gateways of a mesh, by what its objects say; ``by_selector``: also policies with a selector, or with nothing, are for them."""

    classes: Mapping[tuple[str, str], str]
    by_selector: bool = True

    @classmethod
    def of(cls, policies: Policies) -> "Fronts":
        """Read the objects of a mesh."""
        known = policies.of_group(GATEWAY_API, "Gateway")
        env = table(policies.istiod.get("env"))
        return cls(
            {(one.namespace, one.name): word(one.spec.get("gatewayClassName")) for one in known}, str(env.get(_BY_SELECTOR)) not in _FALSE
        )

    def why_undecided(self, workload: Workload) -> str:
        """Why policies of a workload of the Gateway API are not decided; empty for a gateway, and for what is none of the Gateway API."""
        if GATEWAY_NAME not in workload.labels:
            return ""
        is_waypoint = self._is_waypoint(workload)
        return _EITHER if is_waypoint is None else _WAYPOINT if is_waypoint else ""

    def _is_waypoint(self, workload: Workload) -> bool | None:
        told = _KINDS.get(workload.labels.get(_MANAGED, ""))
        if told is not None:
            return told
        by_class = {_GATEWAY_CLASS: False, WAYPOINT_CLASS: True}
        told = by_class.get(self.classes.get((workload.namespace, workload.labels[GATEWAY_NAME]), ""))
        return False if told is None and workload.is_gateway else told

    def is_for(self, policy: PolicyObject, workload: Workload) -> bool:
        """Whether a policy of the root namespace, or of that of a gateway, is for the gateway."""
        if (wanted := selector(policy)) is not None:
            return self.by_selector and meets(wanted, workload.labels)
        return policy.namespace == workload.namespace and any(_names(one, workload) for _, one in targets(policy))


def _names(target: Mapping[str, object], workload: Workload) -> bool:
    """Whether a targetRef is for a gateway; one of another namespace never is."""
    group, kind, name, namespace = (word(target.get(field)) for field in ("group", "kind", "name", "namespace"))
    return (group, kind) == (GATEWAY_API, "Gateway") and name == workload.labels[GATEWAY_NAME] and namespace in {"", workload.namespace}
