"""A mesh as verification looks at it: facts in the order in which they are asked for, port by port."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from meshinstall.checks.mtls.causes import Causes, selected
from meshinstall.checks.mtls.certificates import Trust, certificate_evidence, identities
from meshinstall.checks.mtls.client_rules import ClientRules, future_evidence
from meshinstall.checks.mtls.clients import Door, client_evidence, entry_evidence
from meshinstall.checks.mtls.coverage import coverage_evidence, is_asked_for, is_for_probes, is_judged, joins, members, shared_evidence
from meshinstall.checks.mtls.inbound import held, is_open, proxy_evidence
from meshinstall.checks.mtls.outlooks import Outlooks
from meshinstall.checks.mtls.peer_authentication import Effective, Merged, Policies, is_seen, policies_by_revision, revision_of
from meshinstall.checks.mtls.selecting import Selecting
from meshinstall.checks.mtls.watching import watches
from meshinstall.checks.mtls.wire import Names
from meshinstall.checks.words import some
from meshinstall.model.clients import ClientFacts, MeshEntry
from meshinstall.model.istio import DEFAULT_DOMAIN, DEFAULT_ROOT_NAMESPACE, VOUCHING_KINDS, full_host
from meshinstall.model.labels import REVISION
from meshinstall.model.mesh import ControlPlane, Dataplane, HeldPort, MeshFacts, Mode, Place, Pod, ServiceFacts, SyncState
from meshinstall.model.verdict import Evidence, Outcome, Source

# Why a gateway may not do what istiod last sent.
_BEHIND = {
    SyncState.UPDATING: "its proxy has not acknowledged the last push yet",
    SyncState.STALE: "its proxy has not acknowledged the last push",
    SyncState.REJECTED: "",
    SyncState.NOTHING_SENT: "istiod has not sent its proxy anything yet",
    SyncState.UNKNOWN: "no istiod reports whether its proxy has the last push",
}
_ENVOYS = frozenset({Dataplane.SIDECAR, Dataplane.GATEWAY})
_MESHED = frozenset({Dataplane.SIDECAR, Dataplane.AMBIENT})
# What ztunnel would send is not read: its pods are clients that cannot be asked.
_CLIENTS = _ENVOYS | _MESHED


@dataclass(frozen=True, slots=True)
class Workload:
    """The pods of one owner that have a verdict."""

    namespace: str
    name: str
    pods: tuple[Pod, ...]

    @property
    def running(self) -> tuple[Pod, ...]:
        """Those that can be asked and reached."""
        return tuple(pod for pod in self.pods if pod.running)

    @property
    def dataplane(self) -> Dataplane:
        """What carries it; while it changes, a proxy counts more than none."""
        return next((pod.dataplane for pod in self.pods if pod.dataplane is not Dataplane.NONE), Dataplane.NONE)


@dataclass(frozen=True, slots=True)
class EntryVerdict:
    """A port of a part of the mesh that is no pod, and what is known of it."""

    entry: MeshEntry
    port: int
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class View:
    """Facts with their indexes."""

    facts: MeshFacts
    mesh: frozenset[str]
    planes: Mapping[str, Sequence[ControlPlane]]
    policies: Mapping[str, Policies]
    merged: Mapping[Place, Merged]
    rules: Mapping[str, ClientRules]
    causes: Mapping[str, Causes]
    outlooks: Outlooks | None
    led: frozenset[str]
    services: Mapping[str, Selecting[ServiceFacts]]
    trust: Trust
    workloads: tuple[Workload, ...]
    given: Mapping[tuple[str, int], Sequence[tuple[ServiceFacts, int]]] = field(default_factory=dict)
    told: dict[tuple[tuple[Place, int], ...], tuple[Evidence, ...]] = field(default_factory=dict)
    selecting: dict[Place, Sequence[ServiceFacts]] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: MeshFacts) -> "View":
        """Index once; a mesh of 200 workloads takes well under a second."""
        mesh = members(facts)
        planes: dict[str, list[ControlPlane]] = {}
        for plane in facts.control_planes:
            planes.setdefault(plane.revision, []).append(plane)
        policies = policies_by_revision(facts)
        judged = [pod for pod in facts.pods if is_judged(pod, facts, mesh)]
        services: dict[str, list[ServiceFacts]] = {}
        for service in facts.services:
            services.setdefault(service.place.namespace, []).append(service)
        leading = {name: Selecting(some, lambda service: service.selector) for name, some in services.items()}
        proxied = {pod.place.namespace for pod in facts.pods if pod.dataplane in _ENVOYS}
        trust, outlooks, rules = Trust.of(facts, mesh | proxied), _outlooks(facts), _rules(facts, future=facts.clients is not None)
        causes = _causes(facts, policies)
        found = cls(facts, mesh, planes, policies, {}, rules, causes, outlooks, _led(facts), leading, trust, _workloads(judged))
        merged = {pod.place: found.seen(pod).merged(pod) for pod in judged if pod.dataplane in _MESHED}
        given: dict[tuple[str, int], list[tuple[ServiceFacts, int]]] = {}
        for service in facts.services:
            for address, own, there in service.ends:
                given.setdefault((address, there), []).append((service, own))
        return replace(found, merged=merged, given=given)

    def plane(self, pod: Pod) -> ControlPlane | None:
        """The istiod that a pod belongs to: that of its revision, else any where all are set up alike; None where that is not sure."""
        planes = self.planes.get(pod.revision)
        if planes is None and not self.contested(pod):
            planes = _alike(self.facts.control_planes)
        return planes[0] if planes and len(planes) == 1 else None

    def contested(self, pod: Pod) -> str:
        """The revision of a pod that several control planes claim; empty where one does. A pod may belong to a tag of any of them."""
        revisions = [pod.revision] if pod.revision in self.planes else sorted(self.planes)
        return next((revision for revision in revisions if len(self.planes[revision]) > 1), "")

    def seen(self, pod: Pod) -> Policies:
        """The policies that the istiod of a pod sees."""
        return self.policies[revision_of(pod, self.facts)]

    def effective(self, pod: Pod, port: int) -> Effective:
        """The mode at one of its ports."""
        return self.merged[pod.place].at(port)

    def names(self, pod: Pod) -> Names:
        """The SPIFFE names that its proxy, and a client of the mesh, may have."""
        plane = self.plane(pod)
        return Names(identities(pod, plane), (plane.trust_domain, *plane.trust_domain_aliases)) if plane else Names(frozenset(), ())

    def evidence(self, pod: Pod, port: int) -> Iterator[Evidence]:
        """All that is seen without the wire; ``object`` names the pod where nothing else is to blame."""
        namespace = self.facts.namespaces.get(pod.place.namespace)
        own = self._held(pod, port)
        yield _at(pod, coverage_evidence(pod, port, namespace.labels if namespace else {}, held=own is not None))
        if pod.dataplane in _MESHED:
            effective = self.effective(pod, port)
            fixed = own is not None and own.fixed
            # What is there from Envoy's start does not change with any policy: it must be as closed as under STRICT.
            mode, source = (Mode.STRICT, "") if fixed else (effective.mode, _policy_name(effective))
            yield Evidence(Source.POLICY, Outcome.PASS, "policies do not apply to it") if fixed else self._policy(pod, effective)
            if port:
                yield from self.clients(pod, port)
            if pod.dataplane is Dataplane.SIDECAR and pod.running:
                proxy = self.facts.proxies.get(pod.place)
                accepts = proxy_evidence(proxy, port, Mode.STRICT if self._doubt(pod) else mode, source, own)
                yield _at(pod, _without_policy(accepts) if self._doubt(pod) and not fixed else accepts)
        if pod.dataplane is Dataplane.GATEWAY and pod.running:
            yield _at(pod, self._sync(pod))
            if pod.shared and port and port not in pod.bypassed:
                yield _at(pod, shared_evidence(port, self.outlooks.listens(pod.place) if self.outlooks else None))
            if reached := self._led_to(pod, port):
                yield from self._asked(Door(pod, port, reached))
        if pod.dataplane in _ENVOYS and pod.running:
            proxy = self.facts.proxies.get(pod.place)
            found = certificate_evidence(pod, proxy, self.plane(pod), self.trust, self.facts.now)
            yield from (_at(pod, evidence) for evidence in found)

    def _held(self, pod: Pod, port: int) -> HeldPort | None:
        """The listener of its own on a port whose traffic is not redirected."""
        if pod.dataplane is not Dataplane.SIDECAR or pod.host_network or (pod.captured and port not in pod.bypassed):
            return None
        own = held(self.facts.proxies.get(pod.place), port)
        # What Envoy opens to everybody from its start, such as its metrics, bypasses the mesh as any other port does.
        return None if own and own.fixed and is_open(own.chains, port) else own

    def mode(self, pod: Pod, port: int) -> str:
        """The mode at one of its ports, empty where a policy that could not be read may set another."""
        return "" if self._doubt(pod) else str(self.effective(pod, port).mode)

    def _doubt(self, pod: Pod) -> Evidence | None:
        """What keeps the policy of a pod from being known; None where it is."""
        if revision := self.contested(pod):
            claims = some(sorted(f"Deployment {plane.place}" for plane in self.planes[revision]))
            text = f"cannot tell the policy: two control planes claim one revision, {revision}: {claims}"
            return Evidence(Source.POLICY, Outcome.NOT_PROVEN, text, code="MTL007")
        unread = [kind for kind in (*VOUCHING_KINDS, "Deployment", "PeerAuthentication") if kind in self.facts.unread]
        if unread or self.plane(pod) is None:
            what = f"some {some(unread)} objects" if unread else "the pod's control plane"
            return Evidence(Source.POLICY, Outcome.NOT_PROVEN, f"cannot tell the policy: {what} could not be read", code="MTL006")
        policies = self.seen(pod)
        if unsure := {pod.place.namespace, policies.root_namespace} & policies.unsure:
            text = f"cannot tell the policy: it is unknown whether istiod watches namespace {some(sorted(unsure))} (discoverySelectors)"
            return Evidence(Source.POLICY, Outcome.NOT_PROVEN, text, code="MTL006")
        return None

    def _policy(self, pod: Pod, effective: Effective) -> Evidence:
        if doubt := self._doubt(pod):
            return doubt
        source = _policy_name(effective)
        if effective.mode is Mode.STRICT:
            return Evidence(Source.POLICY, Outcome.PASS, "STRICT", source)
        alone = ", for this port only," if effective.port_level else ""
        what = "accepts plaintext beside mutual TLS" if effective.mode is Mode.PERMISSIVE else "turns mutual TLS off"
        code = "MTL003" if effective.port_level else "MTL001" if effective.mode is Mode.PERMISSIVE else "MTL002"
        return Evidence(Source.POLICY, Outcome.FAIL, f"{effective.mode}{alone} {what}", source, code)

    def clients(self, pod: Pod, port: int) -> Iterator[Evidence]:
        """What clients do: those that are there by their own proxies, those that may come by the objects alone."""
        unread = [kind for kind in ("DestinationRule", "EndpointSlice", "MeshConfig", "Service") if kind in self.facts.unread]
        if unread:
            text = f"cannot tell the settings of clients: some {some(unread)} objects could not be read"
            yield Evidence(Source.CLIENT, Outcome.NOT_PROVEN, text, code="MTL013")
        # Pods of one workload are reached by the same ports: they are looked up once.
        reached = self.reaching(pod, port)
        key = tuple((service.place, own) for service, own in reached)
        if key not in self.told:
            found = [one for rules in self.rules.values() for one in future_evidence(rules, reached)]
            self.told[key] = tuple(one for one in found if one.outcome is not Outcome.PASS) or tuple(found[:1])
        asked = self._asked(Door(pod, port, reached))
        told = [one for one in self.told[key] if not asked or one.outcome is not Outcome.PASS]
        both = [*asked, *told]
        fails = any(one.outcome is not Outcome.PASS for one in both) or unread
        yield from (one for one in both if one.outcome is not Outcome.PASS or not fails)

    def _asked(self, door: Door) -> tuple[Evidence, ...]:
        """What the clients' own proxies say; nothing when none was asked."""
        return client_evidence(door, self.outlooks, self.causes) if self.outlooks else ()

    def _led_to(self, pod: Pod, port: int) -> Sequence[tuple[ServiceFacts, int]]:
        """The Services of a gateway to which a VirtualService leads clients of the mesh: what comes so is the mesh's own traffic."""
        causes = self.causes[revision_of(pod, self.facts)]
        return [(service, own) for service, own in self.reaching(pod, port) if causes.host(service) in self.led]

    def reaching(self, pod: Pod, port: int) -> Sequence[tuple[ServiceFacts, int]]:
        """The Services, with their own ports, that send to a port of a pod."""
        if pod.place not in self.selecting:
            mine = self.services[pod.place.namespace].of(pod.labels) if pod.place.namespace in self.services else []
            self.selecting[pod.place] = sorted(mine, key=lambda service: service.place)
        chosen = [(service, own) for service in self.selecting[pod.place] for own in service.ports if port in service.targets(own)]
        given = [pair for ip in (pod.ip, *pod.more_ips) if ip for pair in self.given.get((ip, port), ())]
        return [*chosen, *(pair for pair in given if pair not in chosen)]

    def entries(self) -> Iterator[EntryVerdict]:
        """WorkloadEntries and endpoints of ServiceEntries that belong to the mesh: their clients can be asked, they cannot."""
        told = self.facts.clients.entries if self.facts.clients and self.outlooks else ()
        for entry in told:
            if self.outlooks and is_asked_for(entry.place.namespace, self.facts):
                for own, port in entry.ports.items():
                    yield EntryVerdict(entry, port, entry_evidence(entry, own, port, self.outlooks))

    def _sync(self, pod: Pod) -> Evidence:
        """A gateway's own truth: what it was told last is what it does."""
        proxy = self.facts.proxies.get(pod.place)
        if proxy is None or proxy.problem:
            said = proxy.problem if proxy else "it was not read"
            return Evidence(Source.PROXY, Outcome.NOT_PROVEN, f"its proxy's configuration could not be read: {said}", code="MTL032")
        if proxy.sync is SyncState.SYNCED:
            return Evidence(Source.PROXY, Outcome.PASS, "its proxy has the configuration that istiod last sent")
        return Evidence(Source.PROXY, Outcome.NOT_PROVEN, _BEHIND[proxy.sync] or proxy.sync_words, code="MTL034")


def _alike(planes: Sequence[ControlPlane]) -> Sequence[ControlPlane]:
    """One of the control planes where all are told the same about mTLS; otherwise all of them."""
    told = {(one.root_namespace, one.trust_domain, one.trust_domain_aliases, one.auto_mtls, one.domain) for one in planes}
    return planes[:1] if len(told) == 1 else planes


def _at(pod: Pod, evidence: Evidence) -> Evidence:
    return evidence if evidence.object else replace(evidence, object=f"Pod {pod.place}")


def _without_policy(found: Evidence) -> Evidence:
    """What a proxy does, as it is judged under STRICT, where the policy is unknown: neither in force nor exceeded."""
    match found.code:
        case "MTL030":
            return replace(found, text="its proxy accepts plaintext, and cannot tell by which policy", code="MTL009")
        case "MTL031":
            return replace(found, text="its proxy accepts TLS without a client certificate of the mesh, and cannot tell by which policy")
        case _:
            return found


def _policy_name(effective: Effective) -> str:
    return f"PeerAuthentication {effective.source.place}" if effective.source else "Istio's default"


def _workloads(pods: Iterable[Pod]) -> tuple[Workload, ...]:
    found: dict[tuple[str, str], list[Pod]] = {}
    for pod in sorted(pods, key=lambda pod: pod.place):
        found.setdefault((pod.place.namespace, pod.workload), []).append(pod)
    return tuple(Workload(*key, tuple(mine)) for key, mine in sorted(found.items()))


def _rules(facts: MeshFacts, *, future: bool) -> Mapping[str, ClientRules]:
    """The DestinationRules that each revision's clients obey; whoever may come to run in a labelled namespace is a client too.

    With ``future`` those alone: the proxies of the others speak for themselves.
    """
    planes = {plane.revision: plane for plane in reversed(facts.control_planes)}
    first = facts.control_planes[0].revision if facts.control_planes else ""
    clients: dict[str, dict[str, list[Mapping[str, str]]]] = {revision: {} for revision in planes or (first,)}
    for name, space in facts.namespaces.items():
        if joins(space.labels):
            asked = space.labels.get(REVISION, "")
            clients[asked if asked in planes else first][name] = []
    for pod in facts.pods:
        if pod.dataplane in _ENVOYS:
            clients[revision_of(pod, facts)].setdefault(pod.place.namespace, []).append(pod.labels)
    taken = {name for found in clients.values() for name, labels in found.items() if labels} if future else frozenset[str]()
    left = {revision: {name: some for name, some in found.items() if name not in taken} for revision, found in clients.items()}
    return {revision: _rules_for(revision, planes.get(revision), found, facts) for revision, found in left.items()}


def _rules_for(revision: str, plane: ControlPlane | None, clients: Mapping[str, list[Mapping[str, str]]], facts: MeshFacts) -> ClientRules:
    known = {name: tuple(labels) or ({},) for name, labels in clients.items() if not is_for_probes(name, facts)}
    watched = _watched((rule.place.namespace for rule in facts.client_rules), plane, facts)
    rules = [rule for rule in facts.client_rules if is_seen(rule.revision, revision) and rule.place.namespace in watched]
    root, domain = (plane.root_namespace, plane.domain) if plane else (DEFAULT_ROOT_NAMESPACE, DEFAULT_DOMAIN)
    return ClientRules.of(rules, known, root, domain=domain, automatic=plane is None or plane.auto_mtls)


def _watched(namespaces: Iterable[str], plane: ControlPlane | None, facts: MeshFacts) -> frozenset[str]:
    """Those of some namespaces whose objects istiod sees, or may see."""
    return frozenset(name for name in set(namespaces) if watches(plane, name, facts) is not False)


def _causes(facts: MeshFacts, policies: Mapping[str, Policies]) -> Mapping[str, Causes]:
    """What explains the words of proxies, for each revision there is."""
    told, pods = facts.clients or ClientFacts(), selected(facts.services, facts.pods)
    labels: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for pod in facts.pods:
        labels.setdefault((pod.place.namespace, pod.workload), []).append(pod.labels)
    planes = {plane.revision: plane for plane in reversed(facts.control_planes)}
    found = {}
    for revision, rules in _rules(facts, future=False).items():
        plane = planes.get(revision)
        watched = _watched((one.place.namespace for one in told.sidecars), plane, facts)
        services = {full_host(one.place.name, one.place.namespace, rules.domain): one for one in facts.services}
        sidecars = tuple(one for one in told.sidecars if is_seen(one.revision, revision) and one.place.namespace in watched)
        watching = partial(watches, plane, facts=facts)
        found[revision] = Causes(rules, policies[revision], replace(told, sidecars=sidecars), services, pods, labels, watching)
    return found


def _outlooks(facts: MeshFacts) -> Outlooks | None:
    """What clients would send; our own probes are none."""
    if facts.clients is None:
        return None
    pods = {
        pod.place: pod for pod in facts.pods if pod.dataplane in _CLIENTS and pod.active and not is_for_probes(pod.place.namespace, facts)
    }
    outlooks = Outlooks.of(facts.clients.groups, pods, lambda pod: revision_of(pod, facts))
    return replace(outlooks, rerouted=tuple(_rerouted(facts, pods.values())))


def _rerouted(facts: MeshFacts, clients: Collection[Pod]) -> Iterator[tuple[Place, tuple[tuple[str, str], ...]]]:
    """The EnvoyFilters that may lead what their proxies send elsewhere, and those of the clients that they hold for."""
    roots = {plane.root_namespace for plane in facts.control_planes} or {DEFAULT_ROOT_NAMESPACE}
    for place, selector in facts.clients.reroutes if facts.clients else ():
        near = (pod for pod in clients if place.namespace in {pod.place.namespace, *roots} and selector.items() <= pod.labels.items())
        if found := sorted({(pod.place.namespace, pod.workload) for pod in near if pod.dataplane is not Dataplane.AMBIENT}):
            yield place, tuple(found)


def _led(facts: MeshFacts) -> frozenset[str]:
    """The hosts to which VirtualServices lead clients of the mesh."""
    domain = facts.control_planes[0].domain if facts.control_planes else DEFAULT_DOMAIN
    told = facts.clients.led if facts.clients else ()
    return frozenset(full_host(one.to, one.place.namespace, domain) for one in told)
