"""Finds the DestinationRule that decides how clients reach a Service, and whether it turns the mesh's TLS off.

The rules are Istio's (pilot/pkg/model/push_context.go and destination_rule.go, 1.31): a client's own namespace is asked first, then
the Service's, then the root namespace; the most specific host wins; rules for one host in one namespace are merged, the oldest first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from meshinstall.checks.words import some
from meshinstall.model.istio import full_host
from meshinstall.model.mesh import ClientRule, Place, ServiceFacts
from meshinstall.model.verdict import Evidence, Outcome, Source

_MESH_TLS = "ISTIO_MUTUAL"
_EVERYWHERE = "*"
_PRIVATE = "."

# The labels of the pods with a proxy, by namespace.
Clients = Mapping[str, Sequence[Mapping[str, str]]]


class Told(NamedTuple):
    """What clients do that is not the mesh's TLS: ``mode`` "" is plaintext because nothing asks for TLS, ``rule`` is then None."""

    mode: str
    rule: ClientRule | None
    subset: str
    namespaces: tuple[str, ...]


class _Left(NamedTuple):
    """A mode that is not the mesh's TLS; "" is plaintext because nothing asks for TLS."""

    value: str


@dataclass(slots=True)
class _Group:
    """Rules for one host that Istio makes one of: ``policy`` is the one whose trafficPolicy counts."""

    policy: ClientRule
    exports: frozenset[str]
    selector: Mapping[str, str]
    subsets: dict[str, tuple[str, Mapping[int, str]]] = field(default_factory=dict)


_Hosts = dict[str, list[_Group]]


@dataclass(frozen=True, slots=True)
class ClientRules:
    """All DestinationRules, indexed as istiod does it; ``automatic`` is meshConfig.enableAutoMtls.

    ``special`` are the namespaces that have rules of their own or are named by one.
    """

    root_namespace: str
    automatic: bool
    clients: Clients
    domain: str
    local: Mapping[str, _Hosts]
    exported: Mapping[str, _Hosts]
    root_private: _Hosts
    special: frozenset[str]

    @classmethod
    def of(cls, rules: Iterable[ClientRule], clients: Clients, root_namespace: str, *, domain: str, automatic: bool) -> "ClientRules":
        """Index once; rules with a selector come before others, then the oldest, then the first name."""
        known = sorted(rules, key=lambda rule: (not rule.selector, rule.created, rule.place.name, rule.place.namespace))
        local: dict[str, _Hosts] = {}
        exported: dict[str, _Hosts] = {}
        root_private: _Hosts = {}
        for rule in known:
            namespace, host = rule.place.namespace, full_host(rule.host, rule.place.namespace, domain)
            exports = frozenset({_PRIVATE} if rule.selector else rule.export_to)
            if not exports or exports & {_EVERYWHERE, _PRIVATE, namespace}:
                _merge(local.setdefault(namespace, {}), host, rule, exports)
            if exports not in (frozenset({_PRIVATE}), frozenset({namespace})):
                _merge(exported.setdefault(namespace, {}), host, rule, exports)
            elif namespace == root_namespace:
                _merge(root_private, host, rule, exports)
        special = frozenset({root_namespace, *local, *(name for rule in known for name in rule.export_to)})
        return cls(root_namespace, automatic, clients, domain, local, exported, root_private, special)

    def against(self, service: ServiceFacts, port: int) -> tuple[Told, ...]:
        """Everything at one port of a Service that is not the mesh's TLS, with the clients' namespaces that it applies to."""
        found: dict[tuple[str, Place | None, str], Told] = {}
        host = full_host(service.place.name, service.place.namespace, self.domain)
        # Most namespaces have nothing of their own and are all told the same.
        alike = next((namespace for namespace in self.clients if namespace not in self.special), "")
        common = list(self._ways(alike, host, service.place.namespace, port)) if alike else []
        for namespace in sorted(self.clients):
            for mode, rule, subset in self._ways(namespace, host, service.place.namespace, port) if namespace in self.special else common:
                key = (mode, rule.place if rule else None, subset)
                told = found.get(key, Told(mode, rule, subset, ()))
                if namespace not in told.namespaces:
                    found[key] = told._replace(namespaces=(*told.namespaces, namespace))
        return tuple(found.values())

    def _ways(self, client: str, host: str, namespace: str, port: int) -> Iterator[tuple[str, ClientRule | None, str]]:
        """Mode, rule and subset of each way in which the clients of a namespace leave the mesh's TLS."""
        for group in self._chosen(client, host, namespace):
            rule = group.policy if group else None
            # Settings of a port replace the rest, tls too; but the endpoints of a cluster inherit where those have no tls.
            base = rule.ports.get(port, rule.mode) if rule else ""
            inherited = (rule.ports.get(port) or rule.mode) if rule else ""
            if mode := self._left(base, inherited):
                yield mode.value, rule if base or inherited else None, ""
            for name, (own, ports) in group.subsets.items() if group else ():
                # A subset without tls has the rule's.
                cluster = ports.get(port, own or base)
                endpoints = ports.get(port) or own or inherited
                if (cluster, endpoints) != (base, inherited) and (mode := self._left(cluster, endpoints)):
                    yield mode.value, rule if cluster or endpoints else None, name

    def _left(self, cluster: str, endpoints: str) -> "_Left | None":
        """What is sent instead of the mesh's TLS, None when that is sent.

        istiod builds a cluster and marks its endpoints by different functions (istio: pilot/pkg/networking/core/cluster_builder.go,
        pilot/pkg/xds/endpoints/mtls_checker.go). A cluster that chooses by itself sends plaintext to endpoints without the mark.
        """
        if cluster == _MESH_TLS:
            return None
        if cluster or not self.automatic:
            return _Left(cluster)
        return None if endpoints in {"", _MESH_TLS} else _Left("DISABLE")

    def _chosen(self, client: str, host: str, namespace: str) -> list[_Group | None]:
        """What decides for each of a namespace's clients: the first whose selector fits, else the last without one."""
        groups = self._groups(client, host, namespace)
        general = next((group for group in reversed(groups) if not group.selector), None)
        special = [group for group in groups if group.selector and group.policy.place.namespace == client]
        if not special:
            return [general]
        chosen: list[_Group | None] = []
        for labels in self.clients[client]:
            pick = next((group for group in special if group.selector.items() <= labels.items()), general)
            if not any(pick is other for other in chosen):
                chosen.append(pick)
        return chosen

    def _groups(self, client: str, host: str, namespace: str) -> list[_Group]:
        own = self.local.get(client, {}) if client != self.root_namespace else self.root_private
        found = _most_specific(host, own)
        if found:
            return found
        for owner in (namespace, self.root_namespace):
            groups = _most_specific(host, self.exported.get(owner, {}))
            visible = [group for group in groups if not group.exports or group.exports & {_EVERYWHERE, client}]
            if visible:
                return visible
        return []


def future_evidence(rules: ClientRules, reached: Sequence[tuple[ServiceFacts, int]]) -> tuple[Evidence, ...]:
    """What clients would be told for one port of a pod, which is reached by some ports of some Services."""
    found = tuple(_evidence(told, service, port) for service, port in reached for told in rules.against(service, port))
    text = "automatic mTLS is on and no DestinationRule says otherwise" if rules.automatic else "a DestinationRule asks for ISTIO_MUTUAL"
    return found or (Evidence(Source.CLIENT, Outcome.PASS, text if reached else "no Service sends to this port"),)


def _evidence(told: Told, service: ServiceFacts, port: int) -> Evidence:
    where = (
        f"port {port} of Service {service.place}{f', subset {told.subset}' if told.subset else ''}, from namespace {some(told.namespaces)}"
    )
    if told.rule is None:
        text = f"automatic mTLS is off and no DestinationRule asks for it: clients send plaintext to {where}"
        return Evidence(Source.CLIENT, Outcome.FAIL, text, "MeshConfig", "MTL012")
    place = f"DestinationRule {told.rule.place}"
    if told.mode == "DISABLE":
        return Evidence(Source.CLIENT, Outcome.FAIL, f"tls.mode DISABLE: clients send plaintext to {where}", place, "MTL010")
    text = f"tls.mode {told.mode}: clients do not use the mesh's certificates for {where}"
    return Evidence(Source.CLIENT, Outcome.FAIL, text, place, "MTL011")


def _merge(hosts: _Hosts, host: str, rule: ClientRule, exports: frozenset[str]) -> None:
    """Add a rule to those of its host: of rules for the same clients the first trafficPolicy and the first of each subset count."""
    groups = hosts.setdefault(host, [])
    apart = True
    for group in groups:
        apart = exports != group.exports
        if apart and not (group.exports and exports >= group.exports):
            continue
        if rule.selector and group.selector and dict(rule.selector) != dict(group.selector):
            apart = True
            continue
        if bool(rule.selector) == bool(group.selector):
            apart = False
        if _decides(rule) and not _decides(group.policy):
            group.policy = rule
        group.subsets = {**rule.subsets, **group.subsets}
    if apart:
        groups.append(_Group(rule, exports, rule.selector, dict(rule.subsets)))


def _decides(rule: ClientRule) -> bool:
    return rule.has_policy or bool(rule.mode or rule.ports)


def _most_specific(host: str, hosts: _Hosts) -> list[_Group]:
    """The rules for exactly this host, else for the longest wildcard that covers it."""
    if host in hosts:
        return hosts[host]
    wildcards = [name for name in hosts if name.startswith("*") and host.endswith(name[1:])]
    return hosts[min(wildcards, key=lambda name: (-len(name), name))] if wildcards else []
