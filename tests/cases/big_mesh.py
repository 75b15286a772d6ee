"""A mesh of many workloads with 3 pods each; ``python -m tests.cases.big_mesh`` prints what it takes to judge it.

In a mesh of any size there are 50 kinds of proxies, all of which know all Services; each has a host of its own beside them.
"""

import resource
import sys
import time
from datetime import UTC, datetime, timedelta

from meshinstall.checks.mtls.judge import judge, targets
from meshinstall.model.clients import ClientFacts, ClientGroup, Endpoint, OutboundCluster, Outlook, Tls
from meshinstall.model.mesh import (
    CertificateFacts,
    ClientRule,
    ControlPlane,
    Dataplane,
    InboundChain,
    MeshFacts,
    Mode,
    NamespaceFacts,
    PeerPolicy,
    Place,
    Pod,
    Port,
    Proxy,
    ServiceFacts,
    SyncState,
)
from meshinstall.model.wire import Answer, Probe, Probing, Seen, WireTarget

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WORKLOADS, PODS, PORTS, KINDS = 200, 3, (8080, 9090, 7070), 50
_CLIENT = "spiffe://cluster.local/ns/meshinstall-probe/sa/default"
_ROOT = CertificateFacts("root", "O=x", NOW - timedelta(days=9), NOW + timedelta(days=900), is_authority=True, root="root")


def big_mesh(namespaces: int, workloads: int = WORKLOADS) -> MeshFacts:
    """Every workload has a Service and a DestinationRule, every seventh a policy of its own."""
    names = [(f"team-{number % namespaces}", f"app-{number}") for number in range(workloads)]
    policies = [PeerPolicy(Place("istio-system", "default"), NOW, Mode.STRICT)]
    policies += [PeerPolicy(Place(space, app), NOW, Mode.STRICT, {"app": app}, {8080: Mode.STRICT}) for space, app in names[::7]]
    pods = tuple(_pod(space, app, index, number) for index, (space, app) in enumerate(names) for number in range(PODS))
    labels = {"istio-injection": "enabled"}
    return MeshFacts(
        now=NOW,
        control_planes=(ControlPlane(Place("istio-system", "istiod"), "default", "1.31.0", "istio-system", "cluster.local"),),
        namespaces={name: NamespaceFacts(name, labels, ("root",)) for name in {space for space, _ in names}},
        pods=pods,
        services=tuple(ServiceFacts(Place(space, app), {"app": app}, dict(zip((80, 81, 82), PORTS, strict=True))) for space, app in names),
        policies=tuple(policies),
        client_rules=tuple(ClientRule(Place(space, app), app, NOW, "ISTIO_MUTUAL") for space, app in names),
        proxies={pod.place: _proxy(pod) for pod in pods},
        authorities=(_ROOT,),
        clients=ClientFacts(_groups(names, pods)),
    )


def _groups(names: list[tuple[str, str]], pods: tuple[Pod, ...]) -> tuple[ClientGroup, ...]:
    """What the proxies hold: clusters that are the same are kept once, as they are when proxies are asked."""
    clusters = []
    for index, (space, app) in enumerate(names):
        host = f"{app}.{space}.svc.cluster.local"
        ips = [pod.ip for pod in pods[index * PODS : (index + 1) * PODS]]
        for own, port in zip((80, 81, 82), PORTS, strict=True):
            ends = tuple(Endpoint(ip, port, Tls.MESH) for ip in ips)
            clusters.append(OutboundCluster(f"outbound|{own}||{host}", host, own, "", None, ends))
    found = []
    for kind in range(KINDS):
        mine = tuple(pod.place for pod in pods[kind::KINDS])
        host = f"pay-{kind}.example"
        other = OutboundCluster(f"outbound|443||{host}", host, 443, "", None, (Endpoint(host, 443, Tls.PLAINTEXT),))
        found.append(ClientGroup(mine, Outlook((*clusters, other), passes_on=True), mine[0]))
    return tuple(found)


def _pod(namespace: str, app: str, index: int, number: int) -> Pod:
    place, ip = Place(namespace, f"{app}-{number}"), f"10.{index >> 8}.{index & 255}.{number}"
    return Pod(place, f"Deployment {app}", Dataplane.SIDECAR, app, ip, tuple(map(Port, PORTS)), {"app": app})


def _identity(pod: Pod) -> str:
    return f"spiffe://cluster.local/ns/{pod.place.namespace}/sa/{pod.service_account}"


def _proxy(pod: Pod) -> Proxy:
    hours = timedelta(hours=12)
    leaf = CertificateFacts(str(pod.place), "", NOW - hours, NOW + hours, (_identity(pod),), root="root")
    inbound = tuple(
        InboundChain(port, "tls", alpn, tls=True, client_certificate=True, roots=("root",))
        for port in (None, *PORTS)
        for alpn in ((), ("istio", "istio-http/1.1"))
    )
    return Proxy("1.31.0", inbound, (leaf,), (_ROOT,), sync=SyncState.SYNCED, istiod="istiod-1")


def answered(facts: MeshFacts, wanted: tuple[WireTarget, ...]) -> Probing:
    """Every target as it should be."""
    names = {pod.place: _identity(pod) for pod in facts.pods}
    refused = tuple(Seen(probe, Answer.REFUSED) for probe in Probe if probe is not Probe.MESHED)
    return Probing({one: (*refused, Seen(Probe.MESHED, Answer.SERVED, identity=names[one.pod], client_identity=_CLIENT)) for one in wanted})


def _measure(namespaces: int, workloads: int) -> str:
    facts = big_mesh(namespaces, workloads)
    before = time.process_time()
    wanted = targets(facts)
    between = time.process_time()
    probing = answered(facts, wanted)
    after = time.process_time()
    verdict = judge(facts, probing, "big")
    took = f"{len(wanted)} targets in {between - before:.2f} s, {len(verdict.ports)} ports in {time.process_time() - after:.2f} s"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{workloads} workloads in {namespaces} namespaces: {took} of CPU, {verdict.outcome}, at most {peak:.0f} MiB"


if __name__ == "__main__":
    for spaces, many in ((1, 200), (20, 200), (200, 200), (20, 1000), (20, 2000), (1, 2000)):
        sys.stdout.write(f"{_measure(spaces, many)}\n")
