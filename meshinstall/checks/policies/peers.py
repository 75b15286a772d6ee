"""PeerAuthentications, and where a policy is attached.

Sources: the rules in Istio's CRDs; istio, pilot/pkg/security/authn.
"""

from collections.abc import Iterator

from meshinstall.checks.policies.reading import Policies, finding, selector, table, word
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.policy_object import PolicyObject


def attached_twice(policy: PolicyObject) -> Iterator[Finding]:
    """A selector beside targetRefs, which the API server refuses."""
    if isinstance(policy.spec.get("selector"), dict) and (policy.spec.get("targetRefs") or policy.spec.get("targetRef")):
        title = "it has a selector and targetRefs: the API server refuses both together"
        yield finding(
            "POL017", Severity.ERROR, (policy, ("spec", "selector")), title, "selector for sidecars, targetRefs for gateways and waypoints"
        )


def peers(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Ports without a workload, and a policy of the whole mesh that selects pods of one namespace alone."""
    ports = table(policy.spec.get("portLevelMtls"))
    if ports and not selector(policy):
        title = "portLevelMtls without a selector: the API server refuses it"
        yield finding("POL018", Severity.ERROR, (policy, ("spec", "portLevelMtls")), title, "select the workload that has these ports")
    if policy.namespace == policies.root_namespace and selector(policy):
        title = f"with a selector it is for pods of {policy.namespace} alone, and not for the mesh"
        yield finding("POL019", Severity.WARNING, (policy, ("spec", "selector")), title, "without a selector it is for the whole mesh")
    if word(table(policy.spec.get("mtls")).get("mode")) == "DISABLE":
        title = "DISABLE: clients send plaintext, and everybody on the way reads and changes it"
        yield finding("POL020", Severity.WARNING, (policy, ("spec", "mtls", "mode")), title, "PERMISSIVE takes both while clients move")
