"""A mesh of 200 workloads with 3 pods each; ``python -m tests.cases.big_mesh`` prints what it takes to judge it."""

import resource
import sys
import time
from datetime import UTC, datetime, timedelta

from meshinstall.checks.mtls.judge import judge, targets
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
WORKLOADS, PODS, PORTS = 200, 3, (8080, 9090, 7070)
_CLIENT = "spiffe://cluster.local/ns/meshinstall-probe/sa/default"
_ROOT = CertificateFacts("root", "O=x", NOW - timedelta(days=9), NOW + timedelta(days=900), is_authority=True, root="root")


def big_mesh(namespaces: int) -> MeshFacts:
    """Every workload has a Service and a DestinationRule, every seventh a policy of its own."""
    names = [(f"team-{number % namespaces}", f"app-{number}") for number in range(WORKLOADS)]
    policies = [PeerPolicy(Place("istio-system", "default"), NOW, Mode.STRICT)]
    policies += [PeerPolicy(Place(space, app), NOW, Mode.STRICT, {"app": app}, {8080: Mode.STRICT}) for space, app in names[::7]]
    pods = tuple(_pod(space, app, number) for space, app in names for number in range(PODS))
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
    )


def _pod(namespace: str, app: str, number: int) -> Pod:
    place = Place(namespace, f"{app}-{number}")
    return Pod(place, f"Deployment {app}", Dataplane.SIDECAR, app, "10.0.0.1", tuple(map(Port, PORTS)), {"app": app})


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


def _measure(namespaces: int) -> str:
    facts = big_mesh(namespaces)
    before = time.process_time()
    wanted = targets(facts)
    between = time.process_time()
    probing = answered(facts, wanted)
    after = time.process_time()
    verdict = judge(facts, probing, "big")
    took = f"{len(wanted)} targets in {between - before:.2f} s, {len(verdict.ports)} ports in {time.process_time() - after:.2f} s"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{len(facts.pods)} pods in {namespaces} namespaces: {took} of CPU, {verdict.outcome}, at most {peak:.0f} MiB"


if __name__ == "__main__":
    for count in (1, 20, WORKLOADS):
        sys.stdout.write(f"{_measure(count)}\n")
