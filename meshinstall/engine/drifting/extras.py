"""Objects that no file has and that weaken a mesh, or may; pure. Only what is known by the objects themselves is said.

Sources: istio: pilot/pkg/networking/core (DestinationRule.trafficPolicy.tls), api: extensions/v1alpha1/wasm.proto; Kubernetes:
admissionregistration/v1 (rules of webhooks).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from meshinstall.checks.mtls.weaker_policies import weaker_policies
from meshinstall.checks.policies.foreign import Foreign, wider
from meshinstall.engine.drifting.terms import Other
from meshinstall.engine.mesh.kube_objects import client_rule, peer_policy
from meshinstall.engine.objects.json_fields import at, rows, text
from meshinstall.engine.objects.mesh_policies import with_lines
from meshinstall.model.desired import Desired
from meshinstall.model.diff import Concern, Consequence
from meshinstall.model.facts import Facts, ObjectKey, key_of
from meshinstall.model.finding import Finding
from meshinstall.model.foreign_text import plain
from meshinstall.model.istio import DEFAULT_DOMAIN, full_host
from meshinstall.model.mesh import PeerPolicy
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.wire import PROBE_PREFIX

_ACCESS = frozenset({"AuthorizationPolicy", "RequestAuthentication", "EnvoyFilter"})
_MUTUAL = frozenset({"", "ISTIO_MUTUAL"})
_FILTERS = frozenset({"AUTHN", "AUTHZ"})
_TLS = "transport_socket"
_SECURITY = "security.istio.io"
# What an EnvoyFilter may change of mutual TLS itself.
_CONNECTIONS = frozenset({"LISTENER", "FILTER_CHAIN", "CLUSTER"})


def weakening(others: Iterable[Other], desired: Desired) -> dict[ObjectKey, tuple[Consequence, ...]]:
    """What each of these objects does, or may do; those that do nothing of the kind are not in it."""
    files = _Files.of(desired)
    found = {one.key: tuple(_of(one, desired, files)) for one in others}
    return {key: told for key, told in found.items() if told}


class _Files(NamedTuple):
    """The policies of files, and those that count in a namespace: its own, and those of the root."""

    policies: tuple[PolicyObject, ...]
    by_namespace: Mapping[str, tuple[PolicyObject, ...]]
    root: str

    @classmethod
    def of(cls, desired: Desired) -> "_Files":
        """Those of a site."""
        policies, found = tuple(with_lines(policy) for policy in desired.layered or ()), dict[str, list[PolicyObject]]()
        for one in policies:
            found.setdefault(one.namespace, []).append(one)
        return cls(policies, {name: tuple(some) for name, some in found.items()}, _root(desired))

    def beside(self, one: PolicyObject) -> Sequence[PolicyObject]:
        """Those that may count for a pod together with a policy; the tokens of all files are known ones."""
        if one.kind == "RequestAuthentication" or one.namespace == self.root:
            return self.policies
        return (*self.by_namespace.get(one.namespace, ()), *self.by_namespace.get(self.root, ()))


def _of(one: Other, desired: Desired, files: _Files) -> Iterator[Consequence]:
    try:
        match one.key.kind:
            case "PeerAuthentication":
                yield from _peer(one, desired)
            case kind if kind in _ACCESS:
                yield from _access(one, desired, files)
            case "DestinationRule":
                yield from _client(one)
            case "WasmPlugin":
                yield from _plugin(one)
            case "MutatingWebhookConfiguration":
                yield from _webhook(one)
    except ValueError as error:
        # An object that nobody can read may say anything.
        yield Consequence(Concern.ACCESS, f"it cannot be read, and may weaken the mesh: {plain(error)}")


def _peer(one: Other, desired: Desired) -> Iterator[Consequence]:
    mine = [_with_time(policy.manifest) for policy in desired.policies if policy.manifest["kind"] == "PeerAuthentication"]
    facts = Facts("", peers=(*mine, peer_policy(one.live)))
    yield from (Consequence(Concern.WEAKER, _told(finding)) for finding in weaker_policies(desired, facts))


def _with_time(manifest: Mapping[str, Any]) -> PeerPolicy:
    """The policy of Git as if it had just been made: where another one is older, that may count."""
    metadata = {**manifest["metadata"], "creationTimestamp": "9999-12-31T23:59:59+00:00"}
    return peer_policy({**manifest, "metadata": metadata})


def _access(one: Other, desired: Desired, files: _Files) -> Iterator[Consequence]:
    policy = PolicyObject("", one.live, {})
    by = plain(one.writers[0]) if one.writers else "somebody whom Kubernetes did not record"
    for finding in wider(files.beside(policy), [Foreign(policy, by)], desired.identity, files.root):
        yield Consequence(Concern.WIDER, _told(finding))
    # Those of a run's own probes go with their namespace, and are for its pods alone.
    if one.key.kind == "EnvoyFilter" and not one.key.namespace.startswith(PROBE_PREFIX):
        patches = rows(at(one.live, "spec", "configPatches"))
        if any(text(at(patch, "applyTo")) in _CONNECTIONS and _TLS in json.dumps(patch) for patch in patches):
            yield Consequence(Concern.ACCESS, "it changes the TLS of connections, and may take away mutual TLS")


def _root(desired: Desired) -> str:
    return next((key_of(policy.manifest).namespace for policy in desired.policies), desired.mesh_namespace)


def _client(one: Other) -> Iterator[Consequence]:
    rule = client_rule(one.live)
    host = full_host(rule.host, one.key.namespace, DEFAULT_DOMAIN)
    if not (host.endswith(".local") or host.startswith("*")):
        return
    spec = at(one.live, "spec")
    policies = [at(spec, "trafficPolicy"), *(at(subset, "trafficPolicy") for subset in rows(at(spec, "subsets")))]
    tls = [at(policy, "tls") for policy in policies]
    tls += [at(port, "tls") for policy in policies for port in rows(at(policy, "portLevelSettings"))]
    modes = sorted({text(at(each, "mode")) or "DISABLE" for each in tls if each is not None} - _MUTUAL)
    if modes:
        told = f"clients send {' or '.join(map(plain, modes))} instead of mutual TLS of the mesh to {plain(host)}"
        yield Consequence(Concern.WEAKER, told)


def _plugin(one: Other) -> Iterator[Consequence]:
    phase = text(at(one.live, "spec", "phase"))
    where = f" in the phase {plain(phase)}, before policies count" if phase in _FILTERS else ""
    yield Consequence(Concern.ACCESS, f"it runs code in proxies{where}, and may let in what policies refuse")


def _webhook(one: Other) -> Iterator[Consequence]:
    names = [text(at(hook, "name")) for hook in rows(at(one.live, "webhooks")) if _changes_policies(hook)]
    if names:
        yield Consequence(Concern.ACCESS, f"it may change policies while they are written: webhook {plain(', '.join(names))}")


def _changes_policies(hook: Any) -> bool:
    # What is for all groups is of policy engines, which are in every cluster: that they change policies is not known.
    return any(_SECURITY in {text(group) for group in rows(at(rule, "apiGroups"))} for rule in rows(at(hook, "rules")))


def _told(finding: Finding) -> str:
    return f"{finding.title}{f' ({finding.detail})' if finding.detail else ''}"
