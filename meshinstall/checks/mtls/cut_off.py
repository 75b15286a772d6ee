"""Who a fix would cut off that closes a port: those clients are named before the fix, and the API server's way in is kept.

Each of them has no certificate of the mesh, so that a proxy with STRICT refuses it.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from meshinstall.checks.mtls.view import View
from meshinstall.checks.words import some, word
from meshinstall.model.foreign_text import plain
from meshinstall.model.istio import VOUCHING_KINDS
from meshinstall.model.mesh import ApiServerClient, Dataplane, Place, Pod
from meshinstall.model.verdict import Outcome, PortVerdict, Source

# Findings whose fix closes a port, or puts a proxy before it.
CLOSING = frozenset({"MTL001", "MTL002", "MTL003", "MTL020", "MTL021", "MTL022", "MTL023", "MTL030", "MTL050"})
API_CLIENT_KINDS = (*VOUCHING_KINDS, "APIService", "CustomResourceDefinition")
# Those that close what a policy opens.
_POLICY = frozenset({"MTL001", "MTL002", "MTL003"})
EXCLUDED = "traffic.sidecar.istio.io/excludeInboundPorts"
_STOPS = {
    "APIService": "every request for this API fails",
    "CustomResourceDefinition": "objects of this kind cannot be read or written in another version",
}
_TEMPLATED = ("Deployment", "StatefulSet", "DaemonSet")


def pods_of(view: View, port: PortVerdict) -> list[Pod]:
    """The pods of a row."""
    wanted = set(port.pods)
    return [pod for pod in view.facts.pods if pod.place in wanted]


def api_clients(view: View, port: PortVerdict) -> tuple[ApiServerClient, ...]:
    """What makes the API server call this port of its pods."""
    wanted: dict[tuple[Place, int], list[ApiServerClient]] = {}
    for client in view.facts.api_clients:
        wanted.setdefault((client.service, client.port), []).append(client)
    # Most meshes have none that leads to a pod of the mesh.
    places = {service for service, _ in wanted}
    if not port.port or all(place.namespace != port.namespace for place in places):
        return ()
    reached = {(service.place, own): None for pod in pods_of(view, port) for service, own in view.reaching(pod, port.port)}
    return tuple(client for key in reached for client in wanted.get(key, ()))


def warnings(view: View, ports: Sequence[PortVerdict], code: str) -> list[str]:
    """Comment lines that say who is cut off when these ports are closed; whose fix comes first stands first."""
    return [f"# {line}" for line in (*refused(view, ports), *_rest(view, ports, code))]


def refused(view: View, ports: Sequence[PortVerdict]) -> Iterator[str]:
    """Who is cut off when these ports are closed, as far as objects and proxies tell; whose fix comes first stands first."""
    yield from _first(ports)
    yield from _api_server(view, ports)
    yield from unknown_callers(view)
    yield from _by_pods(view, ports)


def known_refused(view: View, ports: Sequence[PortVerdict]) -> Iterator[str]:
    """The same without what is not known."""
    yield from _first(ports)
    yield from _api_server(view, ports)
    yield from _by_pods(view, ports)


def _first(ports: Iterable[PortVerdict]) -> Iterator[str]:
    """Clients of the mesh that send plaintext today."""
    told = dict.fromkeys(
        f"{one.code} {plain(one.object)}"
        for port in ports
        for one in port.evidence
        if one.source is Source.CLIENT and one.outcome is Outcome.FAIL
    )
    if told:
        yield f"first fix the clients that send plaintext to these ports, which would be refused: {some(told)}"


def _api_server(view: View, ports: Iterable[PortVerdict]) -> Iterator[str]:
    for port in ports:
        for client in api_clients(view, port):
            policy = f" (failurePolicy {'Fail' if client.fails else 'Ignore'})" if client.kind.endswith("WebhookConfiguration") else ""
            who = f"{client.kind} {plain(client.name)}{policy} makes the API server call port {port.port} of {_named(port)}"
            yield f"{who}; the API server has no certificate of the mesh: when the port is closed, {_stops(client)}"


def _stops(client: ApiServerClient) -> str:
    if client.kind in _STOPS:
        return _STOPS[client.kind]
    return "every request that this webhook is asked about fails" if client.fails else "requests pass without this webhook"


def unknown_callers(view: View) -> Iterator[str]:
    """That objects which make the API server call ports could not be read."""
    if unread := [kind for kind in API_CLIENT_KINDS if kind in view.facts.unread]:
        yield f"it is not known whether the API server calls one of these ports: some {some(unread)} objects could not be read"


def _by_pods(view: View, ports: Iterable[PortVerdict]) -> Iterator[str]:
    """What the pods' own objects say: probes of the kubelet, and Prometheus."""
    probed, scraped = list[str](), list[str]()
    for port in ports:
        pods = pods_of(view, port)
        probed += [f"{_named(port)}:{port.port}"] if any(port.port in pod.kubelet for pod in pods) else []
        scraped += [f"{_named(port)}:{port.port}"] if any(port.port in pod.scraped for pod in pods) else []
    if probed:
        yield (
            f"probes of the kubelet would fail, and pods be restarted or get no traffic: {some(probed)}; "
            "first remove sidecar.istio.io/rewriteAppHTTPProbers"
        )
    if scraped:
        yield f"Prometheus would no longer get metrics (prometheus.io/port): {some(scraped)}; first let it use a certificate of the mesh"


def _rest(view: View, ports: Sequence[PortVerdict], code: str) -> Iterator[str]:
    """Who may call, where a policy is closed: pods without a proxy, and those of other namespaces that the policy is for."""
    if code not in _POLICY:
        return
    history = view.facts.history
    counted = [
        f"{plain(where)} (about {count})"
        for where, count in (history.plaintext if history else ())
        if any(port.namespace == where.namespace and port.workload.partition(" ")[2] == where.name for port in ports)
    ]
    if history and counted:
        yield f"in the last {history.days} days these received plaintext, from clients that will be refused: {some(counted)}"
    without = sorted({pod.place.namespace for pod in view.facts.pods if pod.dataplane is Dataplane.NONE})
    if without:
        yield f"pods without a proxy are refused afterwards; such pods run in {some(map(plain, without))}"
    if view.facts.judged is not None and any(_is_mesh_wide(view, port, code) for port in ports):
        verified = some(map(plain, sorted(view.facts.judged)))
        yield f"this policy is for the whole mesh, and only {verified} was verified: verify all namespaces first"


def _is_mesh_wide(view: View, port: PortVerdict, code: str) -> bool:
    roots = {policies.root_namespace for policies in view.policies.values()}
    named = (one.object.partition(" ")[2].partition("/") for one in port.evidence if one.code == code)
    return any(not name or namespace in roots for namespace, _, name in named)


def _named(port: PortVerdict) -> str:
    return plain(f"{port.namespace}/{port.workload}")


def called(view: View, ports: Iterable[PortVerdict]) -> list[PortVerdict]:
    """Those of some ports that the API server calls."""
    return [port for port in ports if api_clients(view, port)]


def kept_open(view: View, ports: Iterable[PortVerdict]) -> list[str]:
    """Commands that keep the API server's ports open, to be run before the rest is closed; none where it calls none."""
    by_target: dict[tuple[str, Place], tuple[Mapping[str, str], set[int]]] = {}
    targets: dict[tuple[str, str], tuple[str, Place, Mapping[str, str]]] = {}
    lines = []
    for port in called(view, ports):
        if any(view.seen(pod).root_namespace == port.namespace for pod in pods_of(view, port)):
            # In the root namespace no policy with a selector counts.
            lines += past_the_proxy(view, [port])
            continue
        # One policy for each workload: of two, the newer would not count.
        workload = (port.namespace, port.workload)
        kind, place, selector = targets[workload] = targets.get(workload) or _target(view, port)
        by_target.setdefault((kind, place), (selector, set()))[1].add(port.port)
    for (kind, place), (selector, numbers) in by_target.items():
        spec = {"portLevelMtls": {str(number): {"mode": "PERMISSIVE"} for number in sorted(numbers)}}
        lines.append(_patched(place, spec) if kind == "PeerAuthentication" else _created(place, selector, spec))
    return ["# keep the API server's ports open first, and accept what verify reports for them:", *lines] if lines else []


def _target(view: View, port: PortVerdict) -> tuple[str, Place, Mapping[str, str]]:
    """The policy of its pods, else the Service whose pods need one."""
    for pod in pods_of(view, port):
        if policy := view.seen(pod).merged(pod).workload:
            return "PeerAuthentication", policy.place, policy.selector
    service = next(service for pod in pods_of(view, port) for service, _ in view.reaching(pod, port.port))
    return "Service", service.place, service.selector


def _patched(place: Place, spec: Mapping[str, object]) -> str:
    namespace, name = map(word, place)
    return f"kubectl patch peerauthentication {name} -n {namespace} --type merge -p {_quoted({'spec': spec})}"


def _created(service: Place, selector: Mapping[str, str], spec: Mapping[str, object]) -> str:
    metadata = {"name": f"{service.name}-api-server", "namespace": service.namespace}
    whole = {"selector": {"matchLabels": dict(selector)}, **spec}
    body = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": metadata, "spec": whole}
    return f"kubectl apply -f - <<'EOF'\n{json.dumps(body)}\nEOF"


def past_the_proxy(view: View, ports: Sequence[PortVerdict], *, alone: bool = False) -> list[str]:
    """Commands that take these ports past the proxies of their workloads, where that can be done, and with ``alone`` no other port."""
    lines = []
    workloads = dict.fromkeys((port.namespace, port.workload) for port in ports)
    for namespace, workload in workloads:
        mine = [port for port in ports if (port.namespace, port.workload) == (namespace, workload)]
        kind, _, name = workload.partition(" ")
        if kind in _TEMPLATED and all(port.dataplane is Dataplane.SIDECAR for port in mine):
            pods = [] if alone else [pod for port in mine for pod in pods_of(view, port)]
            known = {one for pod in pods for one in pod.annotations.get(EXCLUDED, "").split(",") if one}
            excluded = ",".join(sorted({*known, *(str(port.port) for port in mine)}, key=lambda one: (len(one), one)))
            body = {"spec": {"template": {"metadata": {"annotations": {EXCLUDED: excluded}}}}}
            target = f"{kind.lower()}/{word(name)} -n {word(namespace)}"
            lines.append(f"kubectl patch {target} --type merge -p {_quoted(body)}")
    return lines


def strict_ports_fix(view: View, ports: Sequence[PortVerdict], patch: Callable[[Mapping[str, object]], str]) -> str:
    """Close single ports with the command ``patch``, but not those that the API server calls."""
    kept = called(view, ports)
    closed = {str(port.port): {"mode": "STRICT"} for port in sorted(ports, key=lambda port: port.port) if port not in kept}
    lines = [patch(closed)] if closed else []
    if kept:
        why = "# keep open what the API server calls, and accept this finding for it; or take it past the proxy (MTL021), where the"
        lines += [f"{why} application's own TLS protects it:", *past_the_proxy(view, kept)]
    return "\n".join(lines)


def capture_fix(view: View, ports: Sequence[PortVerdict], fix: Callable[[Sequence[PortVerdict]], str]) -> str:
    """Redirect ports with the commands ``fix``, but not those that the API server calls."""
    kept = called(view, ports)
    if not kept:
        return fix(ports)
    mixed = {port.workload for port in kept}
    rest = [port for port in ports if port.workload not in mixed]
    others = {port.workload for port in ports if port not in kept}
    lines = ["# what the API server calls may stay past the proxy, where the application's own TLS protects it: accept this finding for it"]
    lines += past_the_proxy(view, [port for port in kept if port.workload in others], alone=True)
    return "\n".join([*lines, *([fix(rest)] if rest else [])])


def _quoted(body: object) -> str:
    return word(json.dumps(body, separators=(",", ":")))
