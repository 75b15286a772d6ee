"""Says in words what the changes of a plan mean: for mTLS and access, for pods and addresses, for what goes; pure."""

from collections.abc import Iterable, Iterator

from meshinstall.checks.words import first
from meshinstall.engine.objects.json_fields import MalformedError, at, rows, table, text
from meshinstall.engine.rehearsal import mesh_meaning, service_meaning
from meshinstall.engine.rehearsal.sides import AllSides, Sides
from meshinstall.engine.rehearsal.wording import from_to
from meshinstall.model.diff import Concern, Concerned, Consequence, ObjectChange, Verb
from meshinstall.model.facts import Facts, ObjectKey
from meshinstall.model.foreign_text import plain
from meshinstall.model.release import Manifest

_WORKLOADS = frozenset({"Deployment", "DaemonSet", "StatefulSet"})
_ACCESS = frozenset({"AuthorizationPolicy", "RequestAuthentication"})
_WEBHOOKS = {
    "ValidatingWebhookConfiguration": ("Istio objects are refused", "Istio objects are not checked"),
    "MutatingWebhookConfiguration": ("pods that get a proxy cannot start", "pods may start without a proxy"),
}
# From the weakest; nothing said is PERMISSIVE (istio: PeerAuthentication).
_MODES = {"DISABLE": 0, None: 1, "UNSET": 1, "PERMISSIVE": 1, "STRICT": 2}
_PASSIVE = {Verb.CREATE: "is created", Verb.CHANGE: "is changed", Verb.DELETE: "is deleted"}
# CRDs that are told.
_CRDS = 3


def consequences(diff: Iterable[ObjectChange], facts: Facts, concerned: Concerned, sides: AllSides) -> tuple[Consequence, ...]:
    """What the changes mean, security first; ``sides`` are the whole objects."""
    changes = tuple(diff)
    found = [one for change in changes for one in _of_one(change, both(change, facts, sides), concerned)]
    found += _crds(changes)
    found += _deletions(changes)
    return by_concern(found)


def by_concern(found: Iterable[Consequence]) -> tuple[Consequence, ...]:
    """Each once, security first."""
    order = list(Concern)
    return tuple(sorted(dict.fromkeys(found), key=lambda one: order.index(one.concern)))


def both(change: ObjectChange, facts: Facts, sides: AllSides) -> Sides:
    """The sides of a change; an object that goes has one."""
    return sides.get(change.key) or Sides(facts.live.get(change.key) or {}, {})


def _of_one(change: ObjectChange, sides: Sides, concerned: Concerned) -> Iterator[Consequence]:
    kind = change.key.kind
    if kind == "PeerAuthentication":
        yield from _mtls(change)
    elif kind in _ACCESS:
        yield Consequence(Concern.ACCESS, f"who may call what changes: {change.key} {_PASSIVE[change.verb]}")
    elif kind == "Service" and change.verb is Verb.DELETE and service_meaning.kind_of(sides.before) in service_meaning.EXPOSED:
        yield Consequence(Concern.ADDRESS, f"the address of {change.key} is given up{service_meaning.now(sides.before)}")
    elif change.verb is Verb.CHANGE:
        try:
            found = [*_of_changed(change, sides, concerned)]
        except MalformedError as error:
            # The API server refuses it, which is a finding of its own.
            found = [Consequence(Concern.ACCESS, f"cannot tell what the change of {change.key} means: {plain(error)}")]
        yield from found


def _of_changed(change: ObjectChange, sides: Sides, concerned: Concerned) -> Iterator[Consequence]:
    kind = change.key.kind
    if kind in _WORKLOADS:
        yield from _pods(change, sides)
    elif kind == "Service":
        yield from service_meaning.service(change.key, sides, concerned)
    elif kind == "ConfigMap":
        if change.key.name.startswith("istio-sidecar-injector"):
            told = "pods that start from then on get changed proxies; running pods keep theirs until they restart"
            yield Consequence(Concern.INJECTION, told)
            yield from mesh_meaning.injection(sides)
        yield from mesh_meaning.configuration(sides, concerned)
    elif kind in _WEBHOOKS:
        yield from _webhooks(change.key, sides)


def _mtls(change: ObjectChange) -> Iterator[Consequence]:
    modes = [one for one in change.fields if one.path.startswith("spec.") and one.path.endswith(".mode")]
    for one in modes:
        before, after = _MODES.get(one.before, 1), _MODES.get(one.after, 1)
        text = f"mTLS by {change.key}: {one.before or 'nothing said'} → {one.after or 'nothing said'}"
        if before != after:
            yield Consequence(Concern.WEAKER if after < before else Concern.STRONGER, text)
    for one in change.fields:
        if change.verb is Verb.CHANGE and one.path.startswith("spec.selector"):
            yield Consequence(Concern.ACCESS, f"{change.key} covers other workloads: {from_to(one.before, one.after)}")


def _pods(change: ObjectChange, sides: Sides) -> Iterator[Consequence]:
    # While a rollout goes on, the status counts pods of both sides.
    counted, name = ("status", "desiredNumberScheduled") if change.key.kind == "DaemonSet" else ("spec", "replicas")
    pods = at(sides.before, counted, name)
    count = f"{pods} {'pod' if pods == 1 else 'pods'}" if isinstance(pods, int) else "its pods"
    if any(one.path.startswith("spec.template") for one in change.fields):
        yield Consequence(Concern.RESTART, _restart(change.key, table(at(sides.after, "spec")), count))
    for one in change.fields:
        if one.path == "spec.replicas":
            yield Consequence(Concern.RESTART, f"{change.key} gets another number of pods: {from_to(one.before, one.after)}")


def _restart(key: ObjectKey, spec: Manifest, count: str) -> str:
    """Whether its controller replaces the pods by itself."""
    if key.kind != "Deployment" and at(spec, "updateStrategy", "type") == "OnDelete":
        return f"{key} does not restart by itself: {count} stay as they are until somebody deletes them (updateStrategy OnDelete)"
    if key.kind == "Deployment" and spec.get("paused"):
        return f"{key} does not restart by itself: {count} stay as they are until its rollout is resumed (paused)"
    return f"{key} restarts: {count}"


def _webhooks(key: ObjectKey, sides: Sides) -> Iterator[Consequence]:
    before, after = (dict(_policies(one)) for one in sides)
    refused, unchecked = _WEBHOOKS[key.kind]
    for name, policy in after.items():
        if before.get(name, policy) == policy:
            continue
        told, concern = (refused, Concern.STRONGER) if policy == "Fail" else (unchecked, Concern.WEAKER)
        yield Consequence(concern, f"{told} while istiod does not answer ({key})")


def _policies(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What happens while a webhook does not answer, by its name; nothing set is Fail (k8s.io/api: admissionregistration/v1)."""
    for one in rows(at(manifest, "webhooks")):
        yield text(at(one, "name")), text(at(one, "failurePolicy")) or "Fail"


def _crds(changes: Iterable[ObjectChange]) -> Iterator[Consequence]:
    crds = [change for change in changes if change.key.kind == "CustomResourceDefinition"]
    if new := [change.key.name for change in crds if change.verb is Verb.CREATE]:
        yield Consequence(Concern.CRD, f"{len(new)} {'CRD is' if len(new) == 1 else 'CRDs are'} new: {first(new, _CRDS)}")
    if other := [change.key.name for change in crds if change.verb is Verb.CHANGE]:
        yield Consequence(Concern.CRD, f"{len(other)} {'CRD changes' if len(other) == 1 else 'CRDs change'}: {first(other, _CRDS)}")
    for change in crds:
        if change.verb is Verb.DELETE:
            yield Consequence(Concern.CRD, f"CRD {change.key.name} is deleted, and with it every object of its kind in the cluster")


def _deletions(changes: Iterable[ObjectChange]) -> Iterator[Consequence]:
    gone = [str(change.key) for change in changes if change.verb is Verb.DELETE]
    if gone:
        yield Consequence(Concern.DELETION, f"{len(gone)} {'object is' if len(gone) == 1 else 'objects are'} deleted: {', '.join(gone)}")
