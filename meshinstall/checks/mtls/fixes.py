"""The command or YAML that fixes a finding of verification; everything named in it is one word for a shell."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshinstall.checks.mtls.client_fixes import client_fix
from meshinstall.checks.mtls.coverage import joins
from meshinstall.checks.mtls.cut_off import CLOSING, capture_fix, kept_open, strict_ports_fix, warnings
from meshinstall.checks.mtls.permission_fixes import forward_fix, lists_fix
from meshinstall.checks.mtls.view import View
from meshinstall.checks.words import some, word
from meshinstall.model.istio import (
    CA_SECRETS,
    DEFAULT_ROOT_NAMESPACE,
    ISTIOD_APP,
    PROXY_CONTAINER,
    ROOT_CERTIFICATE,
    USER_CA_SECRET,
    VOUCHING_KINDS,
)
from meshinstall.model.labels import INJECT, INJECTION, MODE, REVISION
from meshinstall.model.mesh import PROXY_PORTS, Dataplane, Place, Pod, SyncState
from meshinstall.model.verdict import PortVerdict
from meshinstall.model.wire import PROBE_PREFIX

_RESTARTED = ("Deployment", "StatefulSet", "DaemonSet")
# Annotations that take traffic past the proxy, but for these values. Where there is an istio-cni the webhook writes the first three on
# every pod, from istiod's values if need be (istio: istio-discovery/files/injection-template.yaml).
_PAST_THE_PROXY: Mapping[str, frozenset[str]] = {
    "traffic.sidecar.istio.io/excludeInboundPorts": frozenset({"", "15020"}),
    "traffic.sidecar.istio.io/includeInboundPorts": frozenset({"*"}),
    "sidecar.istio.io/interceptionMode": frozenset({"REDIRECT", "TPROXY"}),
    "traffic.sidecar.istio.io/excludeInterfaces": frozenset({""}),
    "ambient.istio.io/bypass-inbound-capture": frozenset({"", "false"}),
}
# Annotations of pods with more than one interface.
_INTERFACES = (
    "traffic.sidecar.istio.io/excludeInterfaces",
    "traffic.sidecar.istio.io/kubevirtInterfaces",
    "istio.io/reroute-virtual-interfaces",
)
_OF_PODS_ALONE = frozenset({"traffic.sidecar.istio.io/excludeInterfaces", "ambient.istio.io/bypass-inbound-capture"})
_VALUES = (
    "istiod's values, for the whole mesh: global.proxy.includeInboundPorts, global.proxy.excludeInboundPorts, "
    "meshConfig.defaultConfig.interceptionMode"
)
# Each port has a fix of its own.
_PORT_BY_PORT = frozenset({"MTL003", "MTL021"})
# Workloads for which commands are written out.
_MOST = 5
_STRICT = """kubectl apply -f - <<'EOF'
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: default
  namespace: {namespace}
spec:
  mtls:
    mode: STRICT
EOF"""


@dataclass(frozen=True, slots=True)
class Ill:
    """What is to be fixed: the finding's object and the workload ports that it is about."""

    object: str
    ports: Sequence[PortVerdict]
    view: View

    @property
    def namespace(self) -> str:
        """Where the ports are, quoted."""
        return word(self.ports[0].namespace)

    @property
    def place(self) -> tuple[str, str]:
        """Namespace and name of an object ``Kind namespace/name``, quoted; empty when it is none."""
        namespace, _, name = self.object.partition(" ")[2].partition("/")
        return (word(namespace), word(name)) if name else ("", "")

    @property
    def workloads(self) -> list[str]:
        """The workloads, each once, ``Deployment web``."""
        return list(dict.fromkeys(port.workload for port in self.ports))

    @property
    def pods(self) -> list[Pod]:
        """Their pods."""
        wanted = {place for port in self.ports for place in port.pods}
        return [pod for pod in self.view.facts.pods if pod.place in wanted]


def fix(code: str, ill: Ill) -> str:
    """How to fix a finding, after whom that cuts off; empty when no fix is known."""
    found = _FIXES[code](ill) if code in _FIXES else ""
    if not found or code not in CLOSING:
        return found
    kept = kept_open(ill.view, ill.ports) if code not in _PORT_BY_PORT else []
    return "\n".join([*warnings(ill.view, ill.ports, code), *kept, found])


def _strict(ill: Ill) -> str:
    namespace, name = ill.place
    if not name:
        seen = ill.view.seen(ill.pods[0])
        if not (mesh_wide := seen.mesh_wide):
            return _STRICT.format(namespace=word(seen.root_namespace))
        # It says nothing, but a newer one beside it would not count.
        namespace, name = map(word, mesh_wide[0].place)
    return _patch(f"peerauthentication {name} -n {namespace}", {"mtls": {"mode": "STRICT"}})


def _strict_ports(ill: Ill) -> str:
    target = f"peerauthentication {ill.place[1]} -n {ill.place[0]}"
    return strict_ports_fix(ill.view, ill.ports, lambda ports: _patch(target, {"portLevelMtls": ports}))


def _capture_ports(ill: Ill) -> str:
    return capture_fix(ill.view, ill.ports, lambda rest: _capture(replace(ill, ports=rest)))


def _automatic(_: Ill) -> str:
    return "remove enableAutoMtls: false from the mesh configuration (meshConfig in istiod's values), then upgrade istiod"


def _inject(ill: Ill) -> str:
    label = _label(ill)
    out = {pod.workload for pod in ill.pods if "false" in {pod.labels.get(INJECT), pod.annotations.get(INJECT)} or MODE in pod.labels}
    none = {"labels": {INJECT: None, MODE: None}, "annotations": {INJECT: None}}
    patches = [_template(workload, ill.namespace, {"metadata": none}) for workload in ill.workloads[:_MOST] if workload in out]
    return "\n".join([*label, *patches, _restart(ill, [name for name in ill.workloads if name not in out])]).strip()


def _label(ill: Ill) -> list[str]:
    """The command that labels a namespace for a control plane that is there; none when its labels do that already."""
    space = ill.view.facts.namespaces.get(ill.ports[0].namespace)
    labels = space.labels if space else {}
    revisions = sorted(ill.view.planes)
    injection, revision = labels.get(INJECTION), labels.get(REVISION)
    asked = "default" if injection else revision or ""
    contradicts = bool(injection and revision)
    if joins(labels) and (labels.get(MODE) == "ambient" or not revisions or (asked in revisions and not contradicts)):
        return []
    wanted = revision if revision in revisions else "default" if "default" in revisions or not revisions else revisions[0]
    # Either label keeps the other out of effect, or contradicts it.
    set_to, off = (f"{INJECTION}=enabled", REVISION) if wanted == "default" else (f"{REVISION}={word(wanted)}", INJECTION)
    away = f" {off}-" if off in labels else ""
    is_unknown = joins(labels) and asked not in revisions
    # Which tags there are is not known: one may be what the labels ask for.
    tag = f"  # not needed if {word(asked)} is a revision tag (istioctl tag list)" if is_unknown else ""
    return [f"kubectl label namespace {ill.namespace} {set_to}{away} --overwrite{tag}"]


def _capture(ill: Ill) -> str:
    if ill.ports[0].namespace.startswith(PROBE_PREFIX):
        # A tenant may call a namespace so; then it is still there when nobody else verifies.
        return f"kubectl get namespace {ill.namespace}  # probes of another run look like this: verify again when that run is over"
    lines = []
    by_values: list[str] = []
    for workload in ill.workloads[:_MOST]:
        pods = [pod for pod in ill.pods if pod.workload == workload]
        if any(pod.dataplane is Dataplane.GATEWAY for pod in pods):
            lines.append(f"kubectl edit {_slashed(workload)} -n {ill.namespace}  # move what listens beside the proxy to its own pod")
            continue
        if all(port.port in PROXY_PORTS for port in ill.ports if port.workload == workload):
            lines.append(f"kubectl edit {_slashed(workload)} -n {ill.namespace}  # let it listen on a port that Istio does not use")
            continue
        told = {annotation for pod in pods for annotation in pod.annotations.items()}
        named = [name for name, harmless in _PAST_THE_PROXY.items() if any(name == one and value not in harmless for one, value in told)]
        if named:
            patch = _template(workload, ill.namespace, {"metadata": {"annotations": dict.fromkeys(named)}})
            lines.append(patch if _OF_PODS_ALONE.issuperset(named) else f"{patch}  # if the finding stays, change {_VALUES}")
        else:
            by_values.append(workload)
    if by_values:
        lines += [
            f"# no such annotation sets it: see proxy.istio.io/config and an istio-init of its own; else change {_VALUES}; then:",
            _restart(ill, by_values),
        ]
    return "\n".join(lines)


def _interfaces(ill: Ill) -> str:
    found = []
    for workload in ill.workloads[:_MOST]:
        told = {name for pod in ill.pods if pod.workload == workload for name in pod.annotations}
        named: dict[str, Any] = dict.fromkeys(name for name in _INTERFACES if name in told)
        found.append(f"{_template(workload, ill.namespace, {'metadata': {'annotations': named}})}  # if it needs no second interface")
    return "\n".join(found)


def _dual_stack(ill: Ill) -> str:
    settings = 'pilot.env.ISTIO_DUAL_STACK and meshConfig.defaultConfig.proxyMetadata.ISTIO_DUAL_STACK: "true"'
    return f"# set {settings} in istiod's values, upgrade istiod, then:\n{_restart_all(ill)}"


def _network(ill: Ill) -> str:
    patches = [_template(workload, ill.namespace, {"spec": {"hostNetwork": None}}) for workload in ill.workloads[:_MOST]]
    return "\n".join([*patches, "# or, if it needs the node's network, move it to a namespace outside the mesh"])


def _restart_all(ill: Ill) -> str:
    return _restart(ill, ill.workloads)


def _restart(ill: Ill, workloads: Sequence[str]) -> str:
    """Make the pods anew: by their owners where those can, else one by one."""
    owners = [_slashed(name) for name in workloads if _can_restart(name)]
    others = sorted(pod.place.name for pod in ill.pods if pod.workload in workloads and not _can_restart(pod.workload))
    lines = [f"kubectl rollout restart -n {ill.namespace} {' '.join(owners)}"] if owners else []
    lines += (
        [f"kubectl delete pod -n {ill.namespace} {' '.join(map(word, others))}  # create them again if they have no owner"]
        if others
        else []
    )
    return "\n".join(lines)


def _weaker(ill: Ill) -> str:
    """A push that did not arrive, or an object that opens what the policy closes."""
    proxies = [ill.view.facts.proxies.get(pod.place) for pod in ill.pods]
    return _listener(ill) if all(proxy and proxy.sync is SyncState.SYNCED for proxy in proxies) else _push(ill)


def _push(ill: Ill) -> str:
    return f"{_istiod_logs(ill)}  # istiod must run and push; if the finding stays, then:\n{_restart_all(ill)}"


def _istiod_logs(ill: Ill) -> str:
    plane = ill.view.plane(ill.pods[0]) if ill.pods else None
    where = plane.place if plane else Place(DEFAULT_ROOT_NAMESPACE, ISTIOD_APP)
    return f"kubectl logs -n {word(where.namespace)} deployment/{word(where.name)} --tail=50"


def _listener(ill: Ill) -> str:
    return (
        f"istioctl proxy-config listener {_first_pod(ill)} --port 15006 -o json  # look for the EnvoyFilter or Sidecar that opens the port"
    )


def _secrets(ill: Ill) -> str:
    return f"istioctl proxy-config secret {_first_pod(ill)}  # where does it come from? caCertificates, {USER_CA_SECRET}, or another mesh"


def _silent(ill: Ill) -> str:
    proxies = (ill.view.facts.proxies.get(pod.place) for pod in ill.pods)
    return forward_fix((proxy for proxy in proxies if proxy), ill.namespace) or _logs(ill)


def _logs(ill: Ill) -> str:
    return f"kubectl logs -n {ill.namespace} {word(ill.ports[0].pods[0].name)} -c {PROXY_CONTAINER} --tail=50"


def _roots(ill: Ill) -> str:
    trust, proxies = ill.view.trust, ill.view.facts.proxies.items()
    used = {(proxy.certificates[0].root, place.namespace) for place, proxy in proxies if proxy.certificates}
    other = sorted({name for root, home in used if root in trust.known for name in trust.strangers(root, home)})
    lines = [f"kubectl delete configmap {ROOT_CERTIFICATE} -n {word(name)}  # istiod creates it again" for name in other[:_MOST]]
    if without := [name for name, roots in trust.namespaces.items() if not roots]:
        why = f"istiod's leader writes {ROOT_CERTIFICATE} to every namespace that discoverySelectors include"
        lines.append(f"{_istiod_logs(ill)}  # {why}; missing in {some(map(word, without))}")
    return "\n".join(lines)


def _authority(ill: Ill) -> str:
    plane = ill.view.plane(ill.pods[0]) if ill.pods else None
    where = word(plane.place.namespace if plane else DEFAULT_ROOT_NAMESPACE)
    return (
        f"kubectl get secret {' '.join(CA_SECRETS)} -n {where}  # replace the first; if istiod signs by itself, delete the second\n"
        f"kubectl rollout restart -n {where} {_slashed(f'deployment {plane.place.name}' if plane else 'deployment istiod')}\n"
        f"{_restart_all(ill)}"
    )


def _first_pod(ill: Ill) -> str:
    """``pod.namespace``, as istioctl takes it."""
    place = ill.ports[0].pods[0]
    return word(f"{place.name}.{place.namespace}")


def _template(workload: str, namespace: str, template: Mapping[str, Any]) -> str:
    """Change the pods that a workload makes."""
    if workload.startswith("Pod "):
        # What decides is only read when a pod is created.
        then = f"save it, remove {', '.join(_names(template))}, then: kubectl replace --force -f FILE"
        return f"kubectl get {_slashed(workload)} -n {namespace} -o yaml  # {then}"
    if not _can_restart(workload):
        return f"kubectl edit {_slashed(workload)} -n {namespace}  # then create it again"
    return _patch(f"{_slashed(workload)} -n {namespace}", {"template": template})


def _can_restart(workload: str) -> bool:
    return workload.partition(" ")[0] in _RESTARTED


def _names(removed: Mapping[str, Any]) -> list[str]:
    """The fields that a template removes, each once."""
    found = ([name] if value is None else _names(value) for name, value in removed.items())
    return list(dict.fromkeys(name for names in found for name in names))


def _slashed(workload: str) -> str:
    kind, _, name = workload.partition(" ")
    return word(f"{kind.lower()}/{name}")


def _patch(target: str, spec: Mapping[str, Any]) -> str:
    return f"kubectl patch {target} --type merge -p {word(json.dumps({'spec': spec}, separators=(',', ':')))}"


def _of_clients(code: str) -> Callable[[Ill], str]:
    return lambda ill: client_fix(code, ill.object, ill.ports, ill.view.facts)


def _routes(ill: Ill) -> str:
    namespace, name = ill.place
    what = "for what comes in, it needs match.context SIDECAR_INBOUND; else look at the clusters that it names"
    return f"kubectl get envoyfilter {name} -n {namespace} -o yaml  # {what}"


def _silent_clients(ill: Ill) -> str:
    """Where to look when proxies of clients do not answer."""
    silent = [] if ill.view.outlooks is None else list(ill.view.outlooks.silent)
    pods = [pod for pod in ill.view.facts.pods if (pod.place.namespace, pod.workload) in silent]
    if not pods:
        return "kubectl get pods -A  # find the clients whose group the pod does not show"
    pods.sort(key=lambda pod: pod.dataplane is Dataplane.AMBIENT)
    if pods[0].dataplane is Dataplane.AMBIENT:
        return "istioctl ztunnel-config workloads  # verify does not read what ztunnel would send: look at PROTOCOL, which must be HBONE"
    namespace, name = map(word, pods[0].place)
    return f"kubectl logs -n {namespace} {name} -c {PROXY_CONTAINER} --tail=50"


def _unexplained(_: Ill) -> str:
    return "istioctl proxy-config cluster CLIENT_POD.NAMESPACE --fqdn HOST -o json  # look for the EnvoyFilter that changes it"


def _permission(ill: Ill) -> str:
    planes = ill.view.facts.control_planes
    return lists_fix(ill.view.facts.unread, planes[0].place.namespace if planes else DEFAULT_ROOT_NAMESPACE)


def _claims(_: Ill) -> str:
    webhooks = ",".join(f"{kind.lower()}s" for kind in VOUCHING_KINDS)
    return f"kubectl get {webhooks} -L {REVISION}  # each revision must lead to one istiod: give one a name of its own, or uninstall it"


_FIXES: Mapping[str, Callable[[Ill], str]] = {
    "MTL001": _strict,
    "MTL002": _strict,
    "MTL003": _strict_ports,
    "MTL006": _permission,
    "MTL007": _claims,
    "MTL009": _permission,
    "MTL010": _of_clients("MTL010"),
    "MTL011": _of_clients("MTL011"),
    "MTL012": _automatic,
    "MTL013": _permission,
    "MTL014": _of_clients("MTL014"),
    "MTL015": _of_clients("MTL015"),
    "MTL016": _of_clients("MTL016"),
    "MTL017": _silent_clients,
    "MTL018": lambda _: "curl -s http://127.0.0.1:15000/config_dump  # on the machine itself: does its proxy require a client certificate?",
    "MTL019": _unexplained,
    "MTL020": _inject,
    "MTL021": _capture_ports,
    "MTL022": _capture,
    "MTL023": _network,
    "MTL024": lambda ill: f"kubectl get pods -n {ill.namespace}",
    "MTL026": _permission,
    "MTL027": lambda _: "kubectl get namespaces -L istio-injection,istio.io/rev,istio.io/dataplane-mode  # check the name and the labels",
    "MTL028": _dual_stack,
    "MTL029": _interfaces,
    "MTL030": _weaker,
    "MTL031": _listener,
    "MTL032": _silent,
    "MTL033": _push,
    "MTL034": _push,
    "MTL035": _secrets,
    "MTL036": _routes,
    "MTL037": lambda ill: f"kubectl get pods -n {ill.namespace} -o yaml  # look at istio-init and istio-validation",
    "MTL040": lambda ill: f"date -u  # if it is not valid yet, compare this with the node's clock first\n{_restart_all(ill)}",
    "MTL042": _restart_all,
    "MTL043": _restart_all,
    "MTL044": _secrets,
    "MTL047": _roots,
    "MTL048": _permission,
    "MTL049": _authority,
    "MTL050": _listener,
    "MTL051": _listener,
    "MTL052": _secrets,
    "MTL053": _secrets,
    "MTL054": lambda ill: f"kubectl get networkpolicy,authorizationpolicy -n {ill.namespace}  # look for a rule that blocks the probe",
    "MTL055": lambda _: "meshinstall verify  # without --read-only and --sample, and with permission to create a namespace and pods",
    "MTL056": lambda _: "declare the ports that it listens on (containerPort), then verify again",
}
