"""Finds PeerAuthentications that have no effect, or a part that has none, and objects that istiod does not see; for verify and check.

A policy is idle when every istiod that there is ignores it (istio: pilot/pkg/config/kube/crdclient/client.go for the revision,
pilot/pkg/security/authn/policy_applier.go for the rest).
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from meshinstall.checks.mtls.peer_authentication import is_seen, policies_by_revision, revision_of
from meshinstall.checks.mtls.selecting import Selected, Selecting
from meshinstall.checks.mtls.watching import watch_fix, watches
from meshinstall.checks.words import some, word
from meshinstall.model.clients import ClientFacts
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio import DEFAULT_ROOT_NAMESPACE, VOUCHING_KINDS
from meshinstall.model.labels import REVISION
from meshinstall.model.mesh import ControlPlane, Dataplane, Machine, MeshFacts, Mode, PeerPolicy, Place, Pod, ServiceFacts

_MESHED = frozenset({Dataplane.SIDECAR, Dataplane.AMBIENT})
_OPEN = frozenset({Mode.PERMISSIVE, Mode.DISABLE})


@dataclass(frozen=True, slots=True)
class Idle:
    """A policy, or a part of it, without effect: why, how to fix it, and the older policy that has its place, where that is the cause.

    ``severity`` is ERROR where no pod that may come to run can change it, INFO where nothing was asked for.
    """

    policy: PeerPolicy
    why: str
    fix: str
    severity: Severity = Severity.ERROR
    older: PeerPolicy | None = None


def idle_policies(facts: MeshFacts) -> tuple[Idle, ...]:
    """All of them; nothing of what pods or an istiod that could not be read may change."""
    shadowed = tuple(_shadowed(facts))
    in_force = {one.older.place for one in shadowed if one.older}
    # One that sets no mode, but keeps a newer one out of effect, has an effect.
    return (*(one for one in _ignored(facts) if one.severity is not Severity.INFO or one.policy.place not in in_force), *shadowed)


def idle_objects(facts: MeshFacts, asked: Collection[str] = ()) -> Iterator[Finding]:
    """DestinationRules, Sidecars and ServiceEntries that no istiod sees, in the namespaces ``asked``, or all."""
    revisions = _revisions(facts)
    for kind, place, revision in sorted(facts.labelled):
        if revisions and (not asked or place.namespace in asked) and not any(is_seen(revision, one) for one in revisions):
            hint = _without_label(kind, place, "its settings")
            title = f"istiod ignores {kind} {place} because of its label {REVISION}"
            yield Finding("MTL008", Severity.WARNING, title, _other_revision(revision, revisions), f"{kind} {place}", hint=hint)
    if revisions:
        yield from _out_of_sight(facts, asked)


def _out_of_sight(facts: MeshFacts, asked: Collection[str]) -> Iterator[Finding]:
    """The same objects, in namespaces that no istiod watches: one finding for each namespace."""
    found: dict[str, set[str]] = {}
    meant: dict[str, dict[Place, ControlPlane]] = {}
    for kind, place, revision in _objects(facts):
        home = place.namespace
        planes = [plane for plane in facts.control_planes if is_seen(revision, plane.revision)]
        wanted = home not in facts.probes and (not asked or home in asked)
        if wanted and planes and all(watches(plane, home, facts) is False for plane in planes):
            found.setdefault(home, set()).add(f"{kind} {place.name}")
            meant.setdefault(home, {}).update({plane.place: plane for plane in planes})
    for home, objects in sorted(found.items()):
        planes = [plane for _, plane in sorted(meant[home].items())]
        title = f"istiod ignores {_count(objects)} in namespace {home}, which it does not watch"
        text = f"{_unwatched(home, planes)}: {some(sorted(objects))}"
        yield Finding("MTL008", Severity.WARNING, title, text, f"Namespace {home}", hint=watch_fix(planes, home))


def _count(objects: Collection[str]) -> str:
    return "1 object" if len(objects) == 1 else f"{len(objects)} objects"


def _objects(facts: MeshFacts) -> Iterator[tuple[str, Place, str | None]]:
    """DestinationRules, Sidecars and ServiceEntries with their revisions."""
    told = facts.clients or ClientFacts()
    labelled = {(one.kind, one.place): one.revision for one in facts.labelled}
    for kind, some_objects in (("DestinationRule", facts.client_rules), ("Sidecar", told.sidecars), ("ServiceEntry", facts.external)):
        yield from ((kind, one.place, one.revision) for one in some_objects)
    for entry in told.entries:
        yield "ServiceEntry", entry.service_entry, labelled.get(("ServiceEntry", entry.service_entry))


def _revisions(facts: MeshFacts) -> list[str]:
    """Those of all istiods; empty when there may be others."""
    unread = {*VOUCHING_KINDS, "Service", "Deployment"} & {*facts.unread}
    return [] if unread else [plane.revision for plane in facts.control_planes]


def _other_revision(label: str, revisions: Iterable[str]) -> str:
    there = f"revisions: {some(sorted(revisions))}; a revision tag does not count"
    return f"its label {REVISION} is {label or 'empty'}, and no istiod has that revision ({there})"


def _without_label(kind: str, place: Place, what: str) -> str:
    lower, namespace, name = kind.lower(), word(place.namespace), word(place.name)
    return (
        f"kubectl delete {lower} {name} -n {namespace}  # if nothing needs it\n"
        f"kubectl label {lower} {name} -n {namespace} {REVISION}-  # or put {what} in force"
    )


def _ignored(facts: MeshFacts) -> Iterator[Idle]:
    revisions, there = _revisions(facts), _There(facts)
    for policy in sorted(facts.policies, key=lambda policy: policy.place):
        home = policy.place.namespace
        meant = [plane for plane in facts.control_planes if is_seen(policy.revision, plane.revision)]
        seeing = [plane for plane in meant if watches(plane, home, facts) is not False]
        if seeing or not facts.control_planes:
            roots = {plane.root_namespace for plane in seeing} or {DEFAULT_ROOT_NAMESPACE}
            yield from _parts(policy, there, is_root=roots == {home})
        elif revisions and meant:
            yield Idle(policy, _unwatched(home, meant), f"{_deleted(policy)}  # if nothing needs it\n{watch_fix(meant, home)}")
        elif revisions and policy.revision is not None:
            what = f"mode {policy.mode}" if policy.mode is not Mode.UNSET else "its settings"
            yield Idle(policy, _other_revision(policy.revision, revisions), _without_label("PeerAuthentication", policy.place, what))


def _unwatched(namespace: str, planes: Iterable[ControlPlane]) -> str:
    blind = some(sorted(f"Deployment {plane.place}" for plane in planes))
    return f"the discoverySelectors of {blind} do not select namespace {namespace}, so istiod does not see it"


class _There:
    """Pods, Services and WorkloadEntries by their namespaces."""

    def __init__(self, facts: MeshFacts) -> None:
        self.unread = facts.unread
        self.pods: dict[str, list[Pod]] = {}
        self.services: dict[str, list[ServiceFacts]] = {}
        for pod in facts.pods:
            self.pods.setdefault(pod.place.namespace, []).append(pod)
        for service in facts.services:
            self.services.setdefault(service.place.namespace, []).append(service)
        machines: dict[str, list[Machine]] = {}
        for machine in facts.machines:
            machines.setdefault(machine.place.namespace, []).append(machine)
        self._machines = {name: Selected(some, lambda machine: machine.labels) for name, some in machines.items()}
        self._selected = {name: Selected(pods, lambda pod: pod.labels) for name, pods in self.pods.items()}
        self._selecting = {name: Selecting(some, lambda service: service.selector) for name, some in self.services.items()}

    def selected(self, policy: PeerPolicy) -> Sequence[Pod]:
        """The pods that a policy is for."""
        home = policy.place.namespace
        return self._selected[home].by(policy.selector) if home in self._selected else ()

    def is_for_machines(self, policy: PeerPolicy) -> bool:
        """Whether a policy selects a WorkloadEntry, or one that could not be read: what it listens on nobody says."""
        home = policy.place.namespace
        return "WorkloadEntry" in self.unread or (home in self._machines and bool(self._machines[home].by(policy.selector)))

    def leading_to(self, pods: Iterable[Pod]) -> list[ServiceFacts]:
        """The Services that send to some pods."""
        found = {one.place: one for pod in pods for one in self._of(pod)}
        return [found[place] for place in sorted(found)]

    def _of(self, pod: Pod) -> Sequence[ServiceFacts]:
        home = pod.place.namespace
        return self._selecting[home].of(pod.labels) if home in self._selecting else ()


def _parts(policy: PeerPolicy, there: _There, *, is_root: bool) -> Iterator[Idle]:
    """What a policy that istiod sees says in vain."""
    if policy.selector and is_root:
        yield Idle(policy, "it has a selector and is in the root namespace, where only policies without one count", _moved(policy))
    elif policy.ports and not policy.selector:
        yield Idle(policy, "its portLevelMtls has no effect without a selector", _moved(policy))
    elif policy.mode is Mode.UNSET and set(policy.ports.values()) <= {Mode.UNSET}:
        yield Idle(policy, "it sets no mode, so that its pods keep the mode that they have without it", _deleted(policy), Severity.INFO)
    elif policy.selector and "Pod" not in there.unread and not there.is_for_machines(policy):
        yield from _selecting(policy, there)


def _selecting(policy: PeerPolicy, there: _There) -> Iterator[Idle]:
    pods = there.selected(policy)
    if not pods:
        yield Idle(policy, _no_pod(policy, there.pods.get(policy.place.namespace, ())), _selector_fix(policy), Severity.WARNING)
    elif policy.ports and "Service" not in there.unread:
        yield from _ports(policy, pods, there.leading_to(pods))


def _no_pod(policy: PeerPolicy, there: Iterable[Pod]) -> str:
    wanted = ", ".join(f"{key}={value}" for key, value in sorted(policy.selector.items()))
    values = {f"{key}={pod.labels[key]}" for pod in there for key in policy.selector if key in pod.labels}
    have = f"; pods there have {some(sorted(values))}" if values else ""
    return f"its selector matches no pod: none in namespace {policy.place.namespace} has {wanted}{have}"


def _ports(policy: PeerPolicy, pods: Sequence[Pod], mine: Sequence[ServiceFacts]) -> Iterator[Idle]:
    """Ports of portLevelMtls that no pod has; one that opens what is closed otherwise has a finding of its own (MTL003)."""
    known = {port.number for pod in pods for port in pod.ports} | {port for pod in pods for port in pod.bypassed}
    for port, mode in sorted(policy.ports.items()):
        sent = {target: one for one in mine for target in one.targets(port) if target != port}
        if port in known or mode is Mode.UNSET:
            continue
        if sent:
            yield Idle(policy, _service_port(port, sent), _port_fix(policy, port, mode, sent), Severity.ERROR)
        elif mode not in _OPEN:
            why = f"its portLevelMtls is for port {port}, which its pods do not declare, and no Service sends to it"
            yield Idle(policy, why, _port_fix(policy, port, mode, {}), Severity.WARNING)


def _service_port(port: int, sent: Mapping[int, ServiceFacts]) -> str:
    services = some(f"Service {one.place}, which sends to port {target} of the pods" for target, one in sent.items())
    return f"its portLevelMtls is for port {port}, but takes ports of the pods; {port} is a port of {services}"


def _shadowed(facts: MeshFacts) -> Iterator[Idle]:
    """The newer of several policies for the same pods."""
    policies = policies_by_revision(facts)
    found: dict[Place, tuple[PeerPolicy, PeerPolicy, list[str]]] = {}
    # Those for a whole mesh or namespace, whether it has pods yet or not, unless some istiod takes them first.
    scopes = [scope for seen in policies.values() for scope in seen.general.values() if scope]
    first = {scope[0].place for scope in scopes}
    for oldest, *newer in scopes:
        found |= {policy.place: (policy, oldest, []) for policy in newer if policy.place not in first}
    for pod in sorted(facts.pods, key=lambda pod: pod.place):
        if pod.dataplane in _MESHED:
            for policy, older in policies[revision_of(pod, facts)].merged(pod).shadowed:
                found.setdefault(policy.place, (policy, older, []))[2].append(str(pod.place))
    for _, (policy, older, pods) in sorted(found.items()):
        whom = f"; pods: {some(pods)}" if pods else ""
        why = f"only the oldest policy for the same pods counts: {older.mode} of {older.place}{whom}"
        yield Idle(policy, why, _moved(policy), older=older)


def _moved(policy: PeerPolicy) -> str:
    return f"move its settings to a policy that counts, then: {_deleted(policy)}"


def _deleted(policy: PeerPolicy) -> str:
    return f"kubectl delete {_target(policy)}"


def _target(policy: PeerPolicy) -> str:
    namespace, name = map(word, policy.place)
    return f"peerauthentication {name} -n {namespace}"


def _selector_fix(policy: PeerPolicy) -> str:
    space = word(policy.place.namespace)
    return f"kubectl get pods -n {space} --show-labels  # then correct its selector: kubectl edit {_target(policy)}"


def _port_fix(policy: PeerPolicy, port: int, mode: Mode, sent: Mapping[int, ServiceFacts]) -> str:
    """Move the setting to the pods' port; where it opens something, that is for people to decide."""
    if not sent or mode in _OPEN:
        return f"kubectl edit {_target(policy)}  # remove port {port} from portLevelMtls, or name the port of the pods"
    ports = {str(port): None, **{str(target): {"mode": str(mode)} for target in sorted(sent)}}
    patch = json.dumps({"spec": {"portLevelMtls": ports}}, separators=(",", ":"))
    return f"kubectl patch {_target(policy)} --type merge -p {word(patch)}"
