"""The command that fixes a client, or what makes clients leave the mesh's TLS; everything named in it is quoted for a shell."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from meshinstall.checks.mtls.watching import watch_fix, watches
from meshinstall.checks.words import some, word
from meshinstall.model.istio import DEFAULT_DOMAIN
from meshinstall.model.labels import NOT_OURS, TLS_MODE
from meshinstall.model.mesh import Dataplane, MeshFacts
from meshinstall.model.verdict import PortVerdict

# What of a pod's own annotations decides which of its connections enter its proxy (istio: injection-template.yaml).
_REDIRECTION = (
    "traffic.sidecar.istio.io/excludeOutboundPorts",
    "traffic.sidecar.istio.io/includeOutboundPorts",
    "traffic.sidecar.istio.io/excludeOutboundIPRanges",
    "traffic.sidecar.istio.io/includeOutboundIPRanges",
    "sidecar.istio.io/interceptionMode",
)
# What makes its pods anew.
_RESTARTED = frozenset({"Deployment", "StatefulSet", "DaemonSet"})
# Namespaces that a patch names.
_MOST = 5
_MUTUAL = """# first let the gateway require it: in the Gateway's server, protocol HTTPS and tls.mode ISTIO_MUTUAL; then:
kubectl apply -f - <<'EOF'
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: {name}
  namespace: {namespace}
spec:
  host: {host}
  trafficPolicy:
    tls:
      mode: ISTIO_MUTUAL
EOF"""


def client_fix(code: str, found: str, ports: Sequence[PortVerdict], facts: MeshFacts) -> str:
    """How to fix what the object ``found``, ``Kind namespace/name``, does to clients of some ports; empty when that is not known."""
    kind, _, place = found.partition(" ")
    namespace, _, name = place.partition("/")
    if code == "MTL014" and name:
        return _past(kind, namespace, name, facts)
    if code == "MTL016" and kind == "Service":
        return _hidden(namespace, name)
    if code == "MTL016" and kind == "MeshConfig":
        return _unwatched(ports, facts)
    if code == "MTL015" and kind in _RESTARTED and _has_proxy(kind, namespace, name, facts):
        target = f"{word(f'{kind.lower()}/{name}')} -n {word(namespace)}"
        return f"kubectl rollout restart {target}  # the injector labels new pods, unless the template sets {TLS_MODE} itself"
    if kind in _BY_KIND:
        return _BY_KIND[kind](namespace, name, ports, facts)
    return ""


def _has_proxy(kind: str, namespace: str, name: str, facts: MeshFacts) -> bool:
    own = (namespace, f"{kind} {name}")
    return any(pod.dataplane is Dataplane.SIDECAR for pod in facts.pods if (pod.place.namespace, pod.workload) == own)


def _rule(namespace: str, name: str, _ports: Sequence[PortVerdict], facts: MeshFacts) -> str:
    where = f"destinationrule {word(name)} -n {word(namespace)}"
    rule = next((rule for rule in facts.client_rules if tuple(rule.place) == (namespace, name)), None)
    if rule and rule.mode == "DISABLE" and not rule.ports and not rule.subsets:
        return f"kubectl patch {where} --type merge -p {_json({'spec': {'trafficPolicy': {'tls': {'mode': 'ISTIO_MUTUAL'}}}})}"
    return f"kubectl edit {where}  # remove every tls block, or set its mode to ISTIO_MUTUAL"


def _tls_policy(namespace: str, name: str, _ports: Sequence[PortVerdict], _facts: MeshFacts) -> str:
    where = f"backendtlspolicy {word(name)} -n {word(namespace)}"
    return f"kubectl annotate {where} {NOT_OURS}=true  # istiod ignores it then, also for its gateways"


def _past(kind: str, namespace: str, name: str, facts: MeshFacts) -> str:
    workload = f"{kind} {name}"
    pods = [pod for pod in facts.pods if (pod.place.namespace, pod.workload) == (namespace, workload)]
    told = [name for name in _REDIRECTION if any(name in pod.annotations for pod in pods)]
    target = f"{word(f'{kind.lower()}/{name}')} -n {word(namespace)}"
    lines = [_template(kind, target, {"metadata": {"annotations": dict.fromkeys(told)}})] if told else []
    if users := sorted({f"{one.container} ({one.user})" for pod in pods for one in pod.outbound.as_proxy}):
        lines.append(f"kubectl edit {target}  # run {_comment(some(users))} as another user and group than the proxy's (securityContext)")
    return "\n".join(lines) or f"kubectl edit {target}  # let its connections enter its proxy: annotations, or istiod's values"


def _template(kind: str, target: str, template: Mapping[str, Any]) -> str:
    if kind not in _RESTARTED:
        return f"kubectl edit {target}  # remove {', '.join(template['metadata']['annotations'])}, then create it again"
    return f"kubectl patch {target} --type merge -p {_json({'spec': {'template': template}})}"


def _policy(namespace: str, name: str, _ports: Sequence[PortVerdict], _facts: MeshFacts) -> str:
    patch = _json({"spec": {"mtls": {"mode": "PERMISSIVE"}}})
    where = f"peerauthentication {word(name)} -n {word(namespace)}"
    return f"kubectl patch {where} --type merge -p {patch}  # clients use mTLS then, and nobody is cut off; STRICT comes after that"


def _service(namespace: str, name: str, _ports: Sequence[PortVerdict], facts: MeshFacts) -> str:
    service = next((one for one in facts.services if tuple(one.place) == (namespace, name)), None)
    selector = ",".join(f"{key}={value}" for key, value in sorted(service.selector.items())) if service else ""
    if service and service.ends:
        of = f"{word(namespace)} -l {word(f'kubernetes.io/service-name={name}')}"
        return f"kubectl get endpointslices -n {of} -o yaml  # give the Service a selector, or each endpoint its targetRef"
    chosen = f" -l {word(selector)}" if selector else ""
    return f"kubectl get pods -n {word(namespace)}{chosen}  # give those without a proxy one, or a Service of their own"


def _hidden(namespace: str, name: str) -> str:
    where = f"{word(name)} -n {word(namespace)}"
    return f"kubectl get service {where} -o yaml  # who may see it: networking.istio.io/exportTo, or the mesh's defaultServiceExportTo"


def _unwatched(ports: Sequence[PortVerdict], facts: MeshFacts) -> str:
    found = {}
    for namespace in sorted({port.namespace for port in ports}):
        blind = [plane for plane in facts.control_planes if watches(plane, namespace, facts) is False]
        found[namespace] = watch_fix(blind, namespace) if blind else ""
    return "\n".join([fix for fix in found.values() if fix][:_MOST])


def _entry(namespace: str, name: str, _ports: Sequence[PortVerdict], _facts: MeshFacts) -> str:
    patch = _json({"spec": {"labels": {TLS_MODE: "istio"}}})
    where = f"workloadentry {word(name)} -n {word(namespace)}"
    return f"kubectl patch {where} --type merge -p {patch}  # only if its own proxy takes the mesh's mTLS"


def _entries(namespace: str, name: str, _ports: Sequence[PortVerdict], facts: MeshFacts) -> str:
    where = f"serviceentry {word(name)} -n {word(namespace)}"
    told = facts.clients.entries if facts.clients else ()
    if not any(tuple(one.service_entry) == (namespace, name) for one in told):
        return f"kubectl edit {where}  # leave out what leads to pods and Services of the mesh: clients know them without it"
    return f"kubectl edit {where}  # endpoints whose own proxy takes the mesh's mTLS need the label {TLS_MODE}: istio"


def _led(namespace: str, name: str, ports: Sequence[PortVerdict], facts: MeshFacts) -> str:
    """A rule for the gateway's own Service, beside it."""
    wanted = {place for port in ports for place in port.pods}
    labels = [pod.labels for pod in facts.pods if pod.place in wanted]
    home = ports[0].namespace
    services = [one for one in facts.services if one.place.namespace == home and one.selector]
    service = next((one for one in services if any(one.selector.items() <= mine.items() for mine in labels)), None)
    if service is None:
        return f"kubectl edit virtualservice {word(name)} -n {word(namespace)}  # lead to a gateway that takes mTLS"
    domain = facts.control_planes[0].domain if facts.control_planes else DEFAULT_DOMAIN
    return _MUTUAL.format(name=service.place.name, namespace=home, host=f"{service.place.name}.{home}.svc.{domain}")


def _listed(namespace: str, name: str, hosts: Sequence[str], facts: MeshFacts) -> Sequence[Mapping[str, Any]]:
    """What adds hosts to the listener of a Sidecar that takes all ports, or such a listener: those of one port do not help."""
    told = facts.clients.sidecars if facts.clients else ()
    found = next((one for one in told if tuple(one.place) == (namespace, name)), None)
    if found and found.open is None:
        return [{"op": "add", "path": "/spec/egress/-", "value": {"hosts": list(hosts)}}]
    return [{"op": "add", "path": f"/spec/egress/{found.open if found else 0}/hosts/-", "value": one} for one in hosts]


def _sidecar(namespace: str, name: str, ports: Sequence[PortVerdict], facts: MeshFacts) -> str:
    missing = sorted({port.namespace for port in ports})
    added = _listed(namespace, name, [f"{one}/*" for one in missing[:_MOST]], facts)
    where = f"sidecar {word(name)} -n {word(namespace)}"
    more = f", and {len(missing) - _MOST} namespaces more" if len(missing) > _MOST else ""
    return (
        f"kubectl patch {where} --type json -p {_json(added)}  # if they call it{more}; if they never do, "
        "spec.outboundTrafficPolicy.mode REGISTRY_ONLY stops what is not listed, also on the way out of the mesh"
    )


def _json(value: Any) -> str:
    return word(json.dumps(value, separators=(",", ":")))


def _comment(text: str) -> str:
    """Words that stand after ``#``: on one line."""
    return " ".join(text.split())


_Fix = Callable[[str, str, Sequence[PortVerdict], MeshFacts], str]
_BY_KIND: Mapping[str, _Fix] = {
    "BackendTLSPolicy": _tls_policy,
    "DestinationRule": _rule,
    "PeerAuthentication": _policy,
    "Service": _service,
    "WorkloadEntry": _entry,
    "ServiceEntry": _entries,
    "VirtualService": _led,
    "Sidecar": _sidecar,
}
