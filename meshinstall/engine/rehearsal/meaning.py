"""Says in words what the changes of a plan mean: for mTLS and access, for pods and addresses, for what goes; pure."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from meshinstall.checks.ownership import counted
from meshinstall.checks.words import first
from meshinstall.model.diff import Concern, Concerned, Consequence, FieldChange, ObjectChange, Verb
from meshinstall.model.facts import Facts
from meshinstall.model.foreign_text import plain, spelled
from meshinstall.model.release import Manifest

_WORKLOADS = frozenset({"Deployment", "DaemonSet", "StatefulSet"})
_ACCESS = frozenset({"AuthorizationPolicy", "RequestAuthentication"})
# What clouds and Kubernetes make an address by.
_ADDRESS = ("spec.type", "spec.clusterIP", "spec.loadBalancer", "spec.externalIPs", "spec.ipFamil")
_CLOUD_NOTES = ("service.beta.kubernetes.io", "cloud.google.com", "networking.gke.io", "service.kubernetes.io")
_EXPOSED = frozenset({"LoadBalancer", "NodePort"})
# From the weakest; nothing said is PERMISSIVE (istio: PeerAuthentication).
_MODES = {"DISABLE": 0, None: 1, "UNSET": 1, "PERMISSIVE": 1, "STRICT": 2}
_PASSIVE = {Verb.CREATE: "is created", Verb.CHANGE: "is changed", Verb.DELETE: "is deleted"}
_MESH = "data.mesh."
# CRDs, and names of those whom a change concerns, that are told.
_CRDS, _NAMED = 3, 6


def consequences(diff: Iterable[ObjectChange], facts: Facts, concerned: Concerned) -> tuple[Consequence, ...]:
    """What the changes mean, security first."""
    changes = tuple(diff)
    found = [one for change in changes for one in _of_one(change, facts, concerned)]
    found += _crds(changes)
    found += _deletions(changes)
    order = list(Concern)
    return tuple(sorted(dict.fromkeys(found), key=lambda one: order.index(one.concern)))


def _of_one(change: ObjectChange, facts: Facts, concerned: Concerned) -> Iterator[Consequence]:
    kind = change.key.kind
    if kind == "PeerAuthentication":
        yield from _mtls(change)
    elif kind in _ACCESS:
        yield Consequence(Concern.ACCESS, f"who may call what changes: {change.key} {_PASSIVE[change.verb]}")
    elif kind in _WORKLOADS and change.verb is Verb.CHANGE:
        yield from _pods(change, facts.live.get(change.key) or {})
    elif kind == "Service":
        yield from _address(change, facts.live.get(change.key) or {}, concerned)
    elif kind == "ConfigMap" and change.verb is Verb.CHANGE:
        yield from _configuration(change, concerned)
    elif kind == "ValidatingWebhookConfiguration":
        yield from _validation(change)


def _mtls(change: ObjectChange) -> Iterator[Consequence]:
    modes = [one for one in change.fields if one.path.startswith("spec.") and one.path.endswith(".mode")]
    for one in modes:
        before, after = _MODES.get(one.before, 1), _MODES.get(one.after, 1)
        text = f"mTLS by {change.key}: {one.before or 'nothing said'} → {one.after or 'nothing said'}"
        if before != after:
            yield Consequence(Concern.WEAKER if after < before else Concern.STRONGER, text)
    for one in change.fields:
        if change.verb is Verb.CHANGE and one.path.startswith("spec.selector"):
            yield Consequence(Concern.ACCESS, f"{change.key} covers other workloads: {_from_to(one)}")


def _pods(change: ObjectChange, live: Manifest) -> Iterator[Consequence]:
    # While a rollout goes on, the status counts pods of both sides.
    counted, name = ("status", "desiredNumberScheduled") if change.key.kind == "DaemonSet" else ("spec", "replicas")
    pods = (live.get(counted) or {}).get(name)
    count = f"{pods} {'pod' if pods == 1 else 'pods'}" if isinstance(pods, int) else "its pods"
    if any(one.path.startswith("spec.template") for one in change.fields):
        yield Consequence(Concern.RESTART, f"{change.key} restarts: {count}")
    for one in change.fields:
        if one.path == "spec.replicas":
            yield Consequence(Concern.RESTART, f"{change.key} gets another number of pods: {_from_to(one)}")


def changes_address(change: ObjectChange) -> bool:
    """Whether the address of a Service may change with it."""
    return change.key.kind == "Service" and change.verb is Verb.CHANGE and any(_makes_address(one.path) for one in change.fields)


def _address(change: ObjectChange, live: Manifest, concerned: Concerned) -> Iterator[Consequence]:
    if change.verb is Verb.DELETE and (live.get("spec") or {}).get("type") in _EXPOSED:
        yield Consequence(Concern.ADDRESS, f"the address of {change.key} is given up{_now(live)}")
    if changes_address(change):
        told = ", ".join(f"{one.path} {_from_to(one)}" for one in change.fields if _makes_address(one.path))
        hosts = concerned.hosts.get(change.key, ())
        behind = f"; hosts behind it: {first(hosts, _NAMED)}" if hosts else _unknown(concerned)
        yield Consequence(Concern.ADDRESS, f"the address of {change.key} may change{_now(live)}: {told}{behind}")


def _unknown(concerned: Concerned) -> str:
    return f"; cannot tell whom that concerns: {concerned.unknown[0]}" if concerned.unknown else ""


def _makes_address(path: str) -> bool:
    return path.startswith(_ADDRESS) or (path.startswith("metadata.annotations.") and any(note in path for note in _CLOUD_NOTES))


def _now(live: Manifest) -> str:
    entries = ((live.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    found = [plain(entry.get("ip") or entry.get("hostname")) for entry in entries if isinstance(entry, dict)]
    return f" (now {', '.join(found)})" if found else ""


def given_up_domain(diff: Iterable[ObjectChange]) -> str:
    """The trust domain that the mesh has and will not have; empty where it stays, as an alias too."""
    for change in diff:
        fields = change.fields if change.key.kind == "ConfigMap" and change.verb is Verb.CHANGE else ()
        for one in fields:
            if one.path == f"{_MESH}trustDomain" and isinstance(one.before, str) and not _stays(fields, one.before):
                return one.before
    return ""


def _stays(fields: Iterable[FieldChange], domain: str) -> bool:
    return any(one.path.startswith(f"{_MESH}trustDomainAliases") and domain in (one.after, *_items(one.after)) for one in fields)


def _items(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def _domain(change: ObjectChange, one: FieldChange, concerned: Concerned) -> Iterator[Consequence]:
    told = f"the trust domain changes, {_from_to(one)}: all identities change"
    if not given_up_domain((change,)):
        yield Consequence(Concern.ACCESS, f"{told}; the old one stays as an alias")
        return
    yield Consequence(
        Concern.ACCESS,
        f"{told}; clients may refuse servers whose certificates are not renewed yet, for up to a day"
        f"{f' ({counted(concerned.proxies)})' if concerned.proxies else ''}; "
        f"keep the old one beside it: meshConfig.trustDomainAliases: [{_word(one.before)}]",
    )
    if concerned.naming:
        yield Consequence(Concern.ACCESS, f"these name the old trust domain and match nothing then: {first(concerned.naming, _NAMED)}")
    elif concerned.unknown:
        yield Consequence(Concern.ACCESS, f"cannot tell which policies name the old trust domain: {concerned.unknown[0]}")


def _configuration(change: ObjectChange, concerned: Concerned) -> Iterator[Consequence]:
    if change.key.name.startswith("istio-sidecar-injector"):
        text = "pods that start from then on get changed proxies; running pods keep theirs until they restart"
        yield Consequence(Concern.INJECTION, text)
    for one in change.fields:
        name = one.path.removeprefix(_MESH)
        if name == one.path:
            continue
        if name == "trustDomain":
            yield from _domain(change, one, concerned)
        elif name == "enableAutoMtls":
            weaker = one.after is False
            verb = "no longer use" if weaker else "use"
            yield Consequence(Concern.WEAKER if weaker else Concern.STRONGER, f"proxies {verb} mTLS where no DestinationRule asks for it")
        elif name == "outboundTrafficPolicy.mode":
            weaker = one.after != "REGISTRY_ONLY"
            verb = "may call" if weaker else "may no longer call"
            yield Consequence(Concern.WEAKER if weaker else Concern.STRONGER, f"workloads {verb} hosts that the mesh does not know")


def _validation(change: ObjectChange) -> Iterator[Consequence]:
    for one in change.fields:
        if not one.path.endswith("failurePolicy") or change.verb is not Verb.CHANGE:
            continue
        if one.after == "Fail":
            yield Consequence(Concern.STRONGER, f"Istio objects are refused while istiod does not answer ({change.key})")
        else:
            yield Consequence(Concern.WEAKER, f"Istio objects are not checked while istiod does not answer ({change.key})")


def _crds(changes: Iterable[ObjectChange]) -> Iterator[Consequence]:
    new = [change.key.name for change in changes if change.key.kind == "CustomResourceDefinition" and change.verb is Verb.CREATE]
    if new:
        yield Consequence(Concern.CRD, f"{len(new)} {'CRD is' if len(new) == 1 else 'CRDs are'} new: {first(new, _CRDS)}")


def _deletions(changes: Iterable[ObjectChange]) -> Iterator[Consequence]:
    gone = [str(change.key) for change in changes if change.verb is Verb.DELETE]
    if gone:
        yield Consequence(Concern.DELETION, f"{len(gone)} {'object is' if len(gone) == 1 else 'objects are'} deleted: {', '.join(gone)}")


def _from_to(one: FieldChange) -> str:
    return f"{_word(one.before)} → {_word(one.after)}"


def _word(value: Any) -> str:
    if value is None:
        return "(none)"
    return spelled(value if isinstance(value, str) else json.dumps(value, default=str))
