"""Metrics that STRICT or an ALLOW keeps from Prometheus, and ports of the proxy itself, at which no policy is asked.

Sources: istio, pkg/kube/inject/webhook.go (metrics are merged at port 15020 unless an annotation or the mesh says no),
cni/pkg/plugin/sidecar_redirect.go (ports that never come to the proxy's inbound rules), 1.31; Prometheus Operator, ServiceMonitor.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from meshinstall.checks.policies.reading import (
    ALLOW,
    MODES,
    Policies,
    action,
    finding,
    is_dry_run,
    maps,
    meets,
    port_number,
    rules,
    selector,
    table,
    targets,
    texts,
    word,
)
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio import AGENT_PORT
from meshinstall.model.labels import INJECT
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

# The proxy's own: merged metrics, health, and its own metrics. They are taken out of what comes to a workload.
_OWN_PORTS = {str(AGENT_PORT): "merged metrics", "15021": "health", "15090": "the proxy's metrics"}
_SCRAPE, _PORT, _MERGE = "prometheus.io/scrape", "prometheus.io/port", "prometheus.istio.io/merge-metrics"
_NO = ("false", "False", "FALSE", "f", "F", "0")
_HINT = (
    f"let the proxy merge the metrics at port {AGENT_PORT}, which it does unless an annotation or the mesh says no; "
    "or let plaintext in at this port alone: portLevelMtls PERMISSIVE, and an ALLOW with to.operation.ports"
)


class _Pods(NamedTuple):
    """Pods that are scraped at a port, and what says so."""

    by: PolicyObject
    path: KeyPath
    namespace: str
    labels: Mapping[str, Any]
    port: str


def own_ports(policy: PolicyObject) -> Iterator[Finding]:
    """Of an AuthorizationPolicy: ports at which no policy is asked."""
    for rule in rules(policy):
        named = [((*path, "ports"), texts(part.get("ports"))) for path, part in rule.operations]
        named += [((*path, "values"), texts(part.get("values"))) for path, part in rule.conditions if part.get("key") == "destination.port"]
        for path, ports in named:
            for index, one in enumerate(ports):
                if one in _OWN_PORTS:
                    title = (
                        f"no policy is asked at port {one}: it is the proxy's own ({_OWN_PORTS[one]}), and open to all, in plaintext too"
                    )
                    hint = "leave it out; a NetworkPolicy says who reaches it"
                    yield finding("POL050", Severity.WARNING, (policy, (*path, str(index))), title, hint)


def scraped(policies: Policies, one: PolicyObject) -> Iterator[Finding]:
    """Of a workload or a ServiceMonitor: that Prometheus is refused."""
    for pods in _monitored(policies, one) if one.kind == "ServiceMonitor" else _annotated(policies, one):
        if _is_strict(policies, pods):
            title = f"STRICT refuses Prometheus at port {pods.port} of these pods: it has no certificate of the mesh"
            yield finding("POL049", Severity.WARNING, (one, pods.path), title, _HINT)
        elif closing := _closing(policies, pods):
            title = f"{closing} refuses Prometheus at port {pods.port} of these pods: no ALLOW for them takes that port"
            yield finding("POL049", Severity.WARNING, (one, pods.path), title, _HINT)


def _annotated(policies: Policies, workload: PolicyObject) -> Iterator[_Pods]:
    """A workload whose own port is scraped, as the proxy does not merge its metrics."""
    metadata = table(table(workload.spec.get("template")).get("metadata"))
    notes, labels = table(metadata.get("annotations")), table(metadata.get("labels"))
    port, inject = word(notes.get(_PORT)), (word(labels.get(INJECT)), word(notes.get(INJECT)))
    mesh = table(policies.istiod.get("meshConfig"))
    is_merged = word(notes[_MERGE]) not in _NO if _MERGE in notes else mesh.get("enablePrometheusMerge") is not False
    if word(notes.get(_SCRAPE)).lower() == "true" and port_number(port) and not is_merged and "false" not in inject:
        path = ("spec", "template", "metadata", "annotations", _PORT)
        yield _Pods(workload, path, workload.namespace, labels, port)


def _monitored(policies: Policies, monitor: PolicyObject) -> Iterator[_Pods]:
    """The pods of the Services that a ServiceMonitor selects."""
    wanted = {key: word(value) for key, value in table(table(monitor.spec.get("selector")).get("matchLabels")).items()}
    spaces = table(monitor.spec.get("namespaceSelector"))
    names = texts(spaces.get("matchNames")) or [monitor.namespace]
    for service in policies.of("Service") if spaces.get("any") is True else policies.within("Service", names):
        pods = table(service.spec.get("selector"))
        if pods and wanted and meets(wanted, service.labels):
            for path, endpoint in maps(monitor.spec.get("endpoints"), ("spec", "endpoints")):
                number = _number(service, endpoint)
                if number and number not in _OWN_PORTS and word(endpoint.get("scheme")).lower() != "https":
                    yield _Pods(monitor, path, service.namespace, pods, number)


def _number(service: PolicyObject, endpoint: Mapping[str, Any]) -> str:
    """The port of the container that an endpoint is scraped at; empty where its number is not known."""
    name, target = word(endpoint.get("port")), word(endpoint.get("targetPort"))
    ports = (one for _, one in maps(service.spec.get("ports"), ()) if word(one.get("name")) == name)
    found = target or next((word(one.get("targetPort")) or word(one.get("port")) for one in ports), "")
    return found if port_number(found) else ""


def _is_strict(policies: Policies, pods: _Pods) -> bool:
    """Whether files, or the mesh where they say nothing, close the port to plaintext."""
    modes: dict[int, set[str]] = {}
    for one in policies.within("PeerAuthentication", dict.fromkeys((pods.namespace, policies.root_namespace))):
        labels, root = selector(one) or {}, one.namespace == policies.root_namespace
        if not meets(labels, pods.labels) or (labels and root):
            continue
        ports = table(one.spec.get("portLevelMtls"))
        at = next((word(table(mode).get("mode")) for port, mode in ports.items() if str(port) == pods.port), "")
        for rank, mode in ((0, at if labels else ""), (1 if labels else 3 if root else 2, word(table(one.spec.get("mtls")).get("mode")))):
            modes.setdefault(rank, set()).update({mode} & MODES)
    nearest = next((modes[rank] for rank in sorted(modes) if modes[rank]), None)
    return policies.is_strict is True if nearest is None else nearest == {"STRICT"}


def _closing(policies: Policies, pods: _Pods) -> PolicyObject | None:
    """The first ALLOW for these pods, where none of them takes the port."""
    allows = [
        one
        for one in policies.within("AuthorizationPolicy", dict.fromkeys((pods.namespace, policies.root_namespace)))
        if action(one) == ALLOW and not is_dry_run(one) and not list(targets(one))
        if meets(selector(one) or {}, pods.labels)
    ]
    taken = (rule.ports() for one in allows for rule in rules(one))
    return allows[0] if allows and not any(not ports or pods.port in ports for ports in taken) else None
