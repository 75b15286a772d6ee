"""Judges whether a pod's traffic passes a proxy, and which namespaces are in the mesh."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from meshinstall.checks.words import some
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio import SYSTEM_NAMESPACE
from meshinstall.model.labels import INJECT, INJECTION, MODE, REVISION
from meshinstall.model.mesh import PROXY_PORTS, TUNNEL_PORT, Dataplane, MeshFacts, Pod
from meshinstall.model.verdict import Evidence, Outcome, Outside, Source
from meshinstall.model.wire import PROBE_LABEL

_ONE_FAMILY, _INTERFACES, UNREAD = "MTL028", "MTL029", "MTL037"
_PAST_THE_PROXY = frozenset({"MTL021", "MTL022"})
_UNSURE = frozenset({_ONE_FAMILY, _INTERFACES, UNREAD})
_MESHED = frozenset({Dataplane.SIDECAR, Dataplane.AMBIENT})
_WITHOUT_PROXY = frozenset({Dataplane.NONE, Dataplane.CONTROL})


def members(facts: MeshFacts) -> frozenset[str]:
    """The namespaces of the mesh: those that are labelled so, and those that hold a pod with a sidecar or in ambient mode."""
    labelled = {name for name, namespace in facts.namespaces.items() if joins(namespace.labels)}
    return frozenset(labelled | {pod.place.namespace for pod in facts.pods if pod.dataplane in _MESHED})


def joins(labels: Mapping[str, str]) -> bool:
    """Whether a namespace's labels ask for the mesh; istio-injection decides over istio.io/rev (istio.io: Installing the Sidecar)."""
    injection = labels.get(INJECTION)
    return injection == "enabled" or (injection is None and bool(labels.get(REVISION))) or labels.get(MODE) == "ambient"


def is_judged(pod: Pod, facts: MeshFacts, mesh: frozenset[str]) -> bool:
    """Whether a pod has a verdict: gateways everywhere, others in namespaces of the mesh; the control plane and our own client never."""
    if not is_asked_for(pod.place.namespace, facts):
        return False
    if _is_control(pod, facts) or _is_our_client(pod, facts):
        return False
    return pod.dataplane is Dataplane.GATEWAY or pod.place.namespace in mesh


def is_asked_for(namespace: str, facts: MeshFacts) -> bool:
    """Whether what stands in a namespace has a verdict; pods of others are looked at as clients."""
    return facts.judged is None or namespace in facts.judged


def _is_control(pod: Pod, facts: MeshFacts) -> bool:
    """Whether it is a part of Istio: only beside an istiod or among the system's own pods, as anybody may name a container."""
    homes = {plane.place.namespace for plane in facts.control_planes} | {SYSTEM_NAMESPACE}
    return pod.dataplane is Dataplane.CONTROL and pod.place.namespace in homes


def _is_our_client(pod: Pod, facts: MeshFacts) -> bool:
    return is_for_probes(pod.place.namespace, facts) and pod.labels.get(PROBE_LABEL) == "client"


def is_for_probes(namespace: str, facts: MeshFacts) -> bool:
    """Whether this run made a namespace for its live probes; what only sends there is not judged.

    Names and labels do not tell: whoever may create namespaces may choose both. Those of other runs are judged like any.
    """
    return namespace in facts.probes


def coverage_evidence(pod: Pod, port: int, labels: Mapping[str, str], *, held: bool = False) -> Evidence:
    """Whether traffic to a port passes the pod's proxy; ``labels`` are the namespace's, port 0 is any that nobody declared.

    ``held``: its proxy itself listens on the port.
    """
    code, text = _coverage(pod, port, labels)
    if held and code in _PAST_THE_PROXY:
        code, text = _unsure(pod) or ("", "its proxy itself listens on this port")
    outcome = Outcome.NOT_PROVEN if code in _UNSURE else Outcome.FAIL if code else Outcome.PASS
    return Evidence(Source.COVERAGE, outcome, text, code=code)


def shared_evidence(port: int, listens: Collection[tuple[str, int]] | None) -> Evidence:
    """Whether a gateway's own proxy answers on a port, by where it ``listens``, rather than a container beside it; None is unknown."""
    if any(own == port for _, own in listens or ()):
        return Evidence(Source.COVERAGE, Outcome.PASS, "its proxy itself listens on this port")
    seen = "its proxy does not listen on this port" if listens is not None else "it is not known where its proxy listens"
    return Evidence(Source.COVERAGE, Outcome.NOT_PROVEN, f"the pod is a gateway, and {seen}: a container beside it may answer in plaintext")


def _coverage(pod: Pod, port: int, labels: Mapping[str, str]) -> tuple[str, str]:
    if pod.dataplane is Dataplane.GATEWAY and port in pod.bypassed:
        return "MTL021", "the pod is a gateway, and a container beside its proxy answers on this port"
    if pod.dataplane is Dataplane.GATEWAY:
        return "", "the pod is a gateway: its own listeners are open by design and are not judged"
    if pod.host_network:
        return "MTL023", "it uses the node's network (hostNetwork), where no proxy receives its traffic"
    if pod.dataplane in _WITHOUT_PROXY:
        return "MTL020", f"it has no proxy: {_why_not(pod, labels)}"
    if not pod.captured:
        ambient = pod.dataplane is Dataplane.AMBIENT
        why = (
            "ambient.istio.io/bypass-inbound-capture"
            if ambient
            else "interceptionMode NONE, no istio-init that sets rules, no inbound port, or its interface is excluded"
        )
        return "MTL022", f"its traffic bypasses its proxy ({why})"
    return _captured(pod, port)


def _captured(pod: Pod, port: int) -> tuple[str, str]:
    if port in pod.bypassed and port in PROXY_PORTS:
        return "MTL021", "traffic to this port is never redirected to its proxy: Istio uses the port for tunnels, metrics or health"
    if port in pod.bypassed or (port == 0 and pod.others_bypassed):
        return "MTL021", "traffic to this port bypasses its proxy (excludeInboundPorts, includeInboundPorts)"
    if unsure := _unsure(pod):
        return unsure
    if pod.dataplane is Dataplane.AMBIENT:
        return "", "ztunnel carries its traffic; ztunnel's own configuration was not read"
    if not port:
        # istio-iptables leaves it to ambient's tunnels before all else (istio: tools/istio-iptables/pkg/capture/run.go).
        return "", f"its sidecar receives all traffic to undeclared ports but {TUNNEL_PORT}, which is never redirected"
    return "", "its sidecar receives all traffic to this port"


def _unsure(pod: Pod) -> tuple[str, str] | None:
    """What may pass the proxy by, whatever the port is."""
    if pod.outbound.unread:
        return UNREAD, f"it is not known what is redirected to its proxy: {pod.outbound.unread}"
    if pod.one_family:
        text = "it has IPv4 and IPv6 addresses; without Istio's dual stack only traffic to the first is certain to pass the proxy"
        return _ONE_FAMILY, text
    if pod.interfaces:
        text = f"traffic that arrives by interface {some(pod.interfaces)} bypasses its proxy (excludeInterfaces, kubevirtInterfaces)"
        return _INTERFACES, text
    return None


def _why_not(pod: Pod, labels: Mapping[str, str]) -> str:
    """The likeliest reason, by the labels."""
    if {pod.labels.get(INJECT), pod.annotations.get(INJECT)} & {"false"}:
        return f"it opts out with {INJECT}=false"
    if pod.labels.get(MODE) == "none":
        return f"it opts out with {MODE}=none"
    if labels.get(INJECTION) == "enabled" and labels.get(REVISION):
        return f"its namespace has {INJECTION} and {REVISION}, and {INJECTION} has precedence"
    if labels.get(INJECTION) not in {None, "enabled"}:
        return f"its namespace has {INJECTION}={labels[INJECTION]}, while other pods there are in the mesh"
    if joins(labels):
        unknown = f", or no istiod has the revision in its {REVISION}" if labels.get(REVISION) else ""
        return f"it started before its namespace was labelled, or the API server could not call the webhook{unknown}"
    return "its namespace has no label that asks for a proxy, while other pods there are in the mesh"


def unencrypted(pods: Iterable[Pod]) -> Iterator[Finding]:
    """UDP and SCTP of pods of the mesh, which no proxy carries."""
    for namespace, found in _by_namespace(pods).items():
        title = f"namespace {namespace} has ports that Istio never encrypts"
        hint = "let the application encrypt it itself (DTLS, QUIC), or encrypt between nodes (WireGuard of the CNI)"
        yield Finding("MTL025", Severity.WARNING, title, some(found), f"Namespace {namespace}", hint=hint)


def _by_namespace(pods: Iterable[Pod]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pod in pods:
        for port in pod.ports:
            text = f"{pod.workload} port {port.number}/{port.protocol}"
            if port.protocol != "TCP" and text not in found.setdefault(pod.place.namespace, []):
                found[pod.place.namespace].append(text)
    return {namespace: sorted(texts) for namespace, texts in sorted(found.items()) if texts}


def outside(facts: MeshFacts, mesh: frozenset[str], reachable: tuple[str, ...]) -> tuple[Outside, ...]:
    """The namespaces that are not of the mesh and have pods, and what those could reach: no NetworkPolicy is looked at.

    Our own probes, which are gone when the verdict is read, do not count.
    """
    counts: dict[str, int] = {}
    for pod in facts.pods:
        without = pod.dataplane in _WITHOUT_PROXY and not _is_control(pod, facts) and not is_for_probes(pod.place.namespace, facts)
        if pod.place.namespace not in mesh and without and is_asked_for(pod.place.namespace, facts):
            counts[pod.place.namespace] = counts.get(pod.place.namespace, 0) + 1
    return tuple(Outside(namespace, counts[namespace], reachable) for namespace in sorted(counts))
