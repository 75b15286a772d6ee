"""What DestinationRules that a plan writes would make clients do, before they are there; pure.

Told by the same rules as verify tells it of those that are there (client_rules).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from meshinstall.checks.mtls.client_rules import future_evidence
from meshinstall.checks.mtls.view import View
from meshinstall.checks.words import some
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import plain
from meshinstall.model.istio import DEFAULT_DOMAIN, full_host
from meshinstall.model.mesh import ClientRule, Dataplane, MeshFacts, Place, ServiceFacts
from meshinstall.model.verdict import Outcome

_MESHED = frozenset({Dataplane.SIDECAR, Dataplane.AMBIENT})
PLAINTEXT, MISSING = "PRE054", "PRE055"


@dataclass(frozen=True, slots=True)
class PlannedRule:
    """A DestinationRule of a plan: ``subsets`` are the labels of each, ``origin`` is where it was written."""

    rule: ClientRule
    subsets: Mapping[str, Mapping[str, str]]
    origin: str

    def __str__(self) -> str:
        """As findings name it."""
        return f"DestinationRule {self.rule.place}"


def rule_findings(
    facts: MeshFacts, planned: Sequence[PlannedRule], gone: Collection[Place], hosts: Collection[str] = ()
) -> Iterator[Finding]:
    """Rules that would make clients leave the mesh's TLS on the way to its workloads, and hosts and subsets that are not there.

    Those too that were there before, and count when others are ``gone`` or changed. ``hosts`` are of ServiceEntries that the plan brings.
    """
    names = [*map(str, planned), *(f"DestinationRule {place}" for place in sorted(gone))]
    if unread := [kind for kind in ("DestinationRule", "MeshConfig", "Namespace", "Pod", "Service") if kind in facts.unread]:
        yield unknown(names, f"some {some(unread)} objects could not be read")
    told = _told(facts, planned, gone)
    for one in planned:
        if texts := told.get(str(one)):
            title = f"{one} would make clients send something else than mutual TLS of the mesh"
            hint = "remove tls from its trafficPolicy, or write mode: ISTIO_MUTUAL; up --allow plaintext applies it as it is"
            yield Finding(PLAINTEXT, Severity.ERROR, plain(title), plain(some(texts)), str(one), one.origin, hint)
    for name, texts in told.items():
        if name not in names:
            title = f"{name} would make clients send something else than mutual TLS of the mesh, without {some(names)}"
            hint = f"delete {name} first, or remove its tls; up --allow plaintext leaves it as it is"
            yield Finding(PLAINTEXT, Severity.ERROR, plain(title), plain(some(texts)), plain(name), "", plain(hint))
    for one in planned:
        if "Service" not in facts.unread:
            yield from _missing(facts, one, hosts)


def unknown(names: Iterable[str], why: str) -> Finding:
    """That it cannot be told what rules would do, when they come or go."""
    title = f"cannot tell whether a change of {some(names)} would make clients send plaintext"
    return Finding(PLAINTEXT, Severity.WARNING, plain(title), why, hint="meshinstall verify tells it when they are there")


def _told(facts: MeshFacts, planned: Sequence[PlannedRule], gone: Collection[Place]) -> Mapping[str, list[str]]:
    """What clients would do that is not the mesh's TLS, by the rule that makes them; of one that is not planned what they do not do yet."""
    seen = {rule.place: rule for rule in facts.client_rules}
    rules = [replace(one.rule, created=seen[one.rule.place].created) if one.rule.place in seen else one.rule for one in planned]
    kept = [rule for place, rule in seen.items() if place not in {one.rule.place for one in planned} and place not in gone]
    told, names = _failing(facts, (*kept, *rules)), {str(one) for one in planned}
    before = _failing(facts, facts.client_rules) if any(name not in names for name, _, _ in told) else {}
    found: dict[str, list[str]] = {}
    for key, texts in told.items():
        if key[0] in names or key not in before:
            found.setdefault(key[0], []).extend(texts)
    return found


def _failing(facts: MeshFacts, rules: Iterable[ClientRule]) -> Mapping[tuple[str, Place, int], list[str]]:
    """What clients do with some rules that is not the mesh's TLS, by the rule and the port; without what proxies say of today."""
    view, found = View.of(replace(facts, client_rules=tuple(rules), clients=None)), dict[tuple[str, Place, int], list[str]]()
    for service, port in _reached(view):
        for evidence in (one for rules_of in view.rules.values() for one in future_evidence(rules_of, ((service, port),))):
            texts = found.setdefault((evidence.object, service.place, port), []) if evidence.outcome is Outcome.FAIL else None
            if texts is not None and evidence.text not in texts:
                texts.append(evidence.text)
    return found


def _reached(view: View) -> Sequence[tuple[ServiceFacts, int]]:
    """Ports of Services that lead to pods of the mesh."""
    found: dict[tuple[Place, int], tuple[ServiceFacts, int]] = {}
    for pod in view.facts.pods:
        for service in view.services[pod.place.namespace].of(pod.labels) if pod.place.namespace in view.services else ():
            for own in service.ports if pod.dataplane in _MESHED else ():
                found[service.place, own] = (service, own)
    return [found[key] for key in sorted(found)]


def _missing(facts: MeshFacts, one: PlannedRule, hosts: Collection[str]) -> Iterator[Finding]:
    """A Service or a host that is not there, and subsets that no pod of it is in."""
    domain = facts.control_planes[0].domain if facts.control_planes else DEFAULT_DOMAIN
    host = full_host(one.rule.host, one.rule.place.namespace, domain)
    name, _, rest = host.removesuffix(f".svc.{domain}").partition(".")
    if host.startswith("*"):
        return
    if not host.endswith(f".svc.{domain}"):
        yield from _unnamed(facts, one, hosts, domain)
        return
    service = next((found for found in facts.services if found.place == Place(rest, name)), None)
    if service is None:
        hint = "write the Service's name and namespace as they are, or create the Service"
        yield Finding(MISSING, Severity.WARNING, plain(f"{one} is for {host}, which is not a Service"), "", str(one), one.origin, hint)
        return
    pods = [
        pod for pod in facts.pods if pod.place.namespace == rest and service.selector and service.selector.items() <= pod.labels.items()
    ]
    empty = [subset for subset, labels in one.subsets.items() if pods and not any(labels.items() <= pod.labels.items() for pod in pods)]
    if empty and "Pod" not in facts.unread:
        title = f"{one} has subsets that no pod of Service {service.place} is in: {some(empty)}"
        hint = "write the labels of the pods; requests that a route sends to such a subset fail with 503"
        yield Finding(MISSING, Severity.WARNING, plain(title), "", str(one), one.origin, hint)


def _unnamed(facts: MeshFacts, one: PlannedRule, planned: Collection[str], domain: str) -> Iterator[Finding]:
    """A host outside the cluster's names that no ServiceEntry has; a Service's name is complete as soon as it has a dot."""
    name, _, rest = one.rule.host.removesuffix(".svc").partition(".")
    if any(found.place == Place(rest, name) for found in facts.services):
        title = f"{one} is for {one.rule.host}, which is not the name of a Service"
        hint = f"write {name}.{rest}.svc.{domain}: a host with a dot is taken as it is"
        yield Finding(MISSING, Severity.WARNING, plain(title), "", str(one), one.origin, plain(hint))
        return
    if facts.clients is None or "ServiceEntry" in facts.unread:
        return
    known = {*planned, *(host for entry in facts.clients.named for host in entry.hosts)}
    if not any(one.rule.host == host or (host.startswith("*.") and one.rule.host.endswith(host[1:])) or host == "*" for host in known):
        title = f"{one} is for {one.rule.host}, which is neither a Service nor a host of a ServiceEntry"
        hint = "write the host as the ServiceEntry has it, or add a ServiceEntry: without one the rule has no effect"
        yield Finding(MISSING, Severity.WARNING, plain(title), "", str(one), one.origin, hint)
