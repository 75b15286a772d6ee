"""Compares what meshinstall reads from objects with what istiod makes of them."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from meshinstall.checks.mtls.client_rules import ClientRules
from meshinstall.checks.mtls.inbound import entry
from meshinstall.checks.mtls.peer_authentication import Policies
from meshinstall.engine.mesh import envoy, kube_objects
from meshinstall.model.clients import OutboundCluster, Tls
from meshinstall.model.mesh import Dataplane, InboundChain, Mode, Pod, ServiceFacts
from testbed.api import Json
from testbed.referee.asking import Sent
from testbed.referee.crds import ROOT_NAMESPACE
from testbed.referee.node import DOMAIN
from tests.referees.court import Heard, clusters
from tests.referees.kinds import MESH_TLS

# Ports of pods: those of Services and policies, and one of nobody.
_POD_PORTS = (8080, 9090, 7070, 5555)
# A client's labels, and the subsets of a host in which it leaves the mesh's TLS.
_Client = tuple[Mapping[str, str], frozenset[str]]
# A certificate nobody looks at.
_NO_ROOT = base64.b64encode(b"-").decode()


def server_side(heard: Heard) -> list[str]:
    """Where the effective mode of a pod's port is not what istiod gives its proxy."""
    policies = _policies(heard)
    return [
        f"{pod.place} port {port}: policies say {expected}, istiod {found}"
        for kind, sent in heard.sent
        for pod in [pod_of(kind)]
        for chains in [_chains(sent)]
        for port in _POD_PORTS
        for expected in [policies.merged(pod).at(port).mode]
        for found in [_mode(chains, port)]
        if expected is not found
    ]


def rule_side(heard: Heard) -> list[str]:
    """Where the DestinationRules that count for clients of a Service are not those that istiod applies.

    Looks at endpoints that clients would reach by the mesh's TLS if there were no rules.
    """
    rules = [kube_objects.client_rule(found) for found in heard.of("DestinationRule")]
    known = ClientRules.of(rules, {}, ROOT_NAMESPACE, domain=DOMAIN, automatic=True)
    told = _told(heard, _meshed(heard))
    found = []
    for service in _services(heard):
        host = f"{service.place.name}.{service.place.namespace}.svc.{DOMAIN}"
        for port in service.ports:
            at = {client: clients for (client, *to), clients in told.items() if to == [host, port]}
            # A Sidecar may hide the host from some clients of a namespace: rules say nothing of those.
            left = replace(known, clients={client: [labels for labels, _ in clients] for client, clients in at.items()})
            ways = left.against(service, port)
            for client, clients in at.items():
                truth = frozenset[str]().union(*(subsets for _, subsets in clients))
                own = {one.subset for one in ways if client in one.namespaces}
                if ("" in own) != ("" in truth) or ("" not in own and not truth <= own):
                    found.append(f"clients in {client} to {host} port {port}: rules say {sorted(own)}, istiod {sorted(truth)}")
    return found


def _told(heard: Heard, meshed: frozenset[tuple[str, int]]) -> dict[tuple[str, str, int], list[_Client]]:
    """By namespace of clients, host and port: those clients of which clusters tell; the subsets in which they leave the mesh's TLS."""
    found: dict[tuple[str, str, int], list[_Client]] = {}
    for pod, sent in heard.sent:
        own: dict[tuple[str, int], set[str]] = {}
        for cluster in clusters(sent):
            if ways := _ways(cluster, meshed):
                own.setdefault((cluster.host, cluster.port), set()).update({cluster.subset} if ways != {Tls.MESH} else ())
        for (host, port), subsets in own.items():
            found.setdefault((pod["metadata"]["namespace"], host, port), []).append((pod["metadata"]["labels"], frozenset(subsets)))
    return found


def _ways(cluster: OutboundCluster, meshed: frozenset[tuple[str, int]]) -> set[Tls]:
    return {one.tls for one in cluster.endpoints if (one.address, one.port) in meshed}


def _meshed(heard: Heard) -> frozenset[tuple[str, int]]:
    """Addresses that automatic mTLS uses the mesh's TLS for: of pods with a sidecar whose policies do not turn it off.

    A namespace's mode decides for the Service, also where a workload's own policy says otherwise (istio:
    pilot/pkg/model/push_context.go, BestEffortInferServiceMTLSMode).
    """
    policies = _policies(heard)
    found = []
    for stored in heard.of("Pod"):
        pod = pod_of(stored)
        in_namespace = policies.merged(replace(pod, labels={})).mode
        if MESH_TLS.items() <= pod.labels.items() and in_namespace is not Mode.DISABLE:
            modes = {port: policies.merged(pod).at(port).mode for port in _POD_PORTS}
            found += [(stored["status"]["podIP"], port) for port, mode in modes.items() if mode is not Mode.DISABLE]
    return frozenset(found)


def _services(heard: Heard) -> Iterator[ServiceFacts]:
    """Those with an address of their own."""
    for found in heard.of("Service"):
        spec = found["spec"]
        if spec.get("type", "ClusterIP") == "ClusterIP" and spec.get("clusterIP") != "None":
            yield ServiceFacts(kube_objects.place(found), spec.get("selector", {}), {port["port"]: 0 for port in spec["ports"]})


def _policies(heard: Heard) -> Policies:
    return Policies.of((kube_objects.peer_policy(found) for found in heard.of("PeerAuthentication")), ROOT_NAMESPACE)


def pod_of(found: Json) -> Pod:
    """A pod with a sidecar as the judges know it."""
    return Pod(kube_objects.place(found), f"Pod {found['metadata']['name']}", Dataplane.SIDECAR, labels=found["metadata"].get("labels", {}))


def mode_at(sent: Sent, port: int) -> Mode:
    """The mode that istiod gave a proxy for a port."""
    return _mode(_chains(sent), port)


def _chains(sent: Sent) -> Sequence[InboundChain]:
    """The inbound chains as meshinstall reads them."""
    kind = "type.googleapis.com/envoy.admin.v3."
    root = {"name": "ROOTCA", "secret": {"validation_context": {"trusted_ca": {"inline_bytes": _NO_ROOT}}}}
    listeners = json.loads(sent.active_listeners())["configs"]
    dump = {
        "configs": [
            {"@type": f"{kind}ListenersConfigDump", "dynamic_listeners": [one for one in listeners if one["name"] == "virtualInbound"]},
            {"@type": f"{kind}SecretsConfigDump", "dynamic_active_secrets": [root]},
        ]
    }
    return [found.chain for found in envoy.read_dump(json.dumps(dump).encode()).chains]


def _mode(chains: Sequence[InboundChain], port: int) -> Mode:
    pool = [chain for chain in chains if chain.port == port] or [chain for chain in chains if chain.port is None]
    if not entry(chains, port).plaintext:
        return Mode.STRICT
    return Mode.PERMISSIVE if any(chain.client_certificate for chain in pool) else Mode.DISABLE
