"""Finds PeerAuthentications of others that open what this environment closes, before any pod is looked at; for plans.

The rules are those of ComposePeerAuthentication (istio: pilot/pkg/security/authn/policy_applier.go, 1.31).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from meshinstall.checks.mtls.peer_authentication import Policies
from meshinstall.checks.words import some, word
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.labels import REVISION
from meshinstall.model.mesh import Mode, PeerPolicy, Place

_OPEN = frozenset({Mode.PERMISSIVE, Mode.DISABLE})
# When a policy was made that is not there yet: after all others.
_LAST = datetime.max.replace(tzinfo=UTC)


def weaker_policies(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """A second policy for the whole mesh, and any that accepts plaintext where the environment wants STRICT."""
    ours = _mesh_wide(desired)
    if ours is None:
        return
    if facts.peers_unseen:
        title = "PeerAuthentications could not be listed: it is not known whether one of them accepts plaintext"
        hint = "kubectl auth can-i list peerauthentications.security.istio.io --all-namespaces"
        yield Finding("PRE020", Severity.WARNING, title, facts.peers_unseen, hint=hint)
        return
    seen = next((policy for policy in facts.peers if policy.place == ours.place), None)
    # What this plan makes of it: for the whole mesh, in every revision.
    ours = replace(ours, created=seen.created) if seen else ours
    policies = Policies.of(
        (ours, *(policy for policy in facts.peers if policy.place != ours.place)), ours.place.namespace, _revision(desired, facts)
    )
    yield from _second(ours, policies.mesh_wide)
    if ours.mode is Mode.STRICT:
        yield from _weaker(desired, facts, policies)


def wants_strict(desired: Desired) -> bool:
    """Whether the environment closes the mesh to plaintext."""
    ours = _mesh_wide(desired)
    return ours is not None and ours.mode is Mode.STRICT


def _mesh_wide(desired: Desired) -> PeerPolicy | None:
    for policy in desired.policies:
        metadata, spec = policy.manifest["metadata"], policy.manifest.get("spec") or {}
        if policy.manifest["kind"] == "PeerAuthentication" and not spec.get("selector"):
            return PeerPolicy(Place(metadata["namespace"], metadata["name"]), _LAST, Mode((spec.get("mtls") or {}).get("mode", Mode.UNSET)))
    return None


def _revision(desired: Desired, facts: Facts) -> str:
    """That of the istiod which is there; before it is looked for, or before there is one, that which is wanted."""
    planes = (plane["metadata"] for plane in facts.control_planes if plane["metadata"]["namespace"] == desired.mesh_namespace)
    return next(((plane.get("labels") or {}).get(REVISION, "") for plane in planes), desired.revision)


def _second(ours: PeerPolicy, mesh_wide: Sequence[PeerPolicy]) -> Iterator[Finding]:
    others = [policy for policy in mesh_wide if policy.place != ours.place]
    if not others:
        return
    counts = mesh_wide[0]
    names = some(f"{policy.place} ({policy.mode})" for policy in others)
    if counts.place == ours.place:
        title = f"more than one PeerAuthentication is for the whole mesh; {counts.place} counts, as it is the oldest"
        detail = f"without effect: {names}"
    else:
        title = f"PeerAuthentication {counts.place} ({counts.mode}) counts for the whole mesh, not {ours.place} ({ours.mode})"
        detail = f"istiod takes the oldest without a selector in {ours.place.namespace}; beside {ours.place} there are: {names}"
    hint = "\n".join(
        f"kubectl delete peerauthentication {word(policy.place.name)} -n {word(policy.place.namespace)}" for policy in others[:3]
    )
    yield Finding("PRE018", Severity.WARNING, title, detail, f"PeerAuthentication {others[0].place}", hint=hint)


def _weaker(desired: Desired, facts: Facts, policies: Policies) -> Iterator[Finding]:
    root = policies.root_namespace
    wanted = {(policy.manifest["metadata"]["namespace"], policy.manifest["metadata"]["name"]) for policy in desired.policies}
    whole = [some_policies[0] for namespace, some_policies in policies.general.items() if some_policies and namespace != root]
    # In the root namespace a selector selects nothing.
    single = [policy for policy in facts.peers if policy.selector and policy.place.namespace != root and policies.sees(policy)]
    found = sorted((policy for policy in (*whole, *single) if policy.place not in wanted and _opens(policy)), key=lambda one: one.place)
    if not found:
        return
    title = (
        f"PeerAuthentication {found[0].place} accepts plaintext, but this environment wants STRICT"
        if len(found) == 1
        else f"{len(found)} PeerAuthentications accept plaintext, but this environment wants STRICT"
    )
    delete = "kubectl delete peerauthentication NAME -n NAMESPACE"
    hint = f"meshinstall verify names what is open; when all clients use mutual TLS, delete them: {delete}"
    where = f"PeerAuthentication {found[0].place}" if len(found) == 1 else ""
    yield Finding("PRE019", Severity.WARNING, title, some(map(_told, found)), where, hint=hint)


def _opens(policy: PeerPolicy) -> bool:
    # portLevelMtls has no effect without a selector.
    return policy.mode in _OPEN or bool(policy.selector and _open_ports(policy))


def _open_ports(policy: PeerPolicy) -> list[int]:
    return sorted(port for port, mode in policy.ports.items() if mode in _OPEN)


def _told(policy: PeerPolicy) -> str:
    """``shop/web (PERMISSIVE, pods with app=web)``."""
    says = [str(policy.mode)] if policy.mode in _OPEN else []
    says += [f"port {port} {policy.ports[port]}" for port in _open_ports(policy) if policy.selector]
    whom = ", ".join(f"{key}={value}" for key, value in sorted(policy.selector.items()))
    return f"{policy.place} ({', '.join(says)}, {f'pods with {whom}' if whom else 'the whole namespace'})"
