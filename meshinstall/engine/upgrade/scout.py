"""Makes the scout of a gateway: a pod like it, injected by another revision, that Gateways select and that gets no traffic; pure.

Charts give a gateway's pods two labels, ``app`` and ``istio``, and its Service, its autoscaler and its disruption budget select by both.
Gateways mostly select by one of them. The scout has that one, and another value of the other.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from meshinstall.engine.objects.json_fields import at, rows, table, text, texts
from meshinstall.model.istio import PROXY_CONTAINER
from meshinstall.model.labels import REVISION
from meshinstall.model.ownership import HOLDER, MANAGED_BY, MANAGER, SCOUT
from meshinstall.model.release import Manifest

# In this order: Gateways of Istio's own examples select by the second.
ROLES = ("app", "istio")
_LONGEST_NAME = 63
_ENDING = "-scout"
_CHART = "helm.sh/chart"
_LOW_PORTS = "net.ipv4.ip_unprivileged_port_start"
_FIRST_HIGH = 1024
_UNPRIVILEGED = "ISTIO_META_UNPRIVILEGED_POD"
# A scout beside the gateway on its only node must not wait for another, and must not push any pod off.
_DROPPED = ("topologySpreadConstraints", "priorityClassName", "priority", "preemptionPolicy")


class Selecting(NamedTuple):
    """An object that selects pods by labels; ``name`` says what and where it is."""

    name: str
    labels: Mapping[str, str]

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Whether it selects a pod."""
        return self.labels.items() <= labels.items()


@dataclass(frozen=True, slots=True)
class Selectors:
    """What selects pods around a gateway: Gateways give them configuration, Services traffic."""

    gateways: tuple[Selecting, ...] = ()
    services: tuple[Selecting, ...] = ()


@dataclass(frozen=True, slots=True)
class Scouting:
    """For whom a scout is made: the release's name, the revision that injects it, the run, and the live gateway's ServiceAccount."""

    release: str
    revision: str
    holder: str
    account: str


def scout_name(gateway: str) -> str:
    """``istio-ingress-scout``, shorter where that is too long for a label."""
    if len(gateway) + len(_ENDING) <= _LONGEST_NAME:
        return gateway + _ENDING
    mark = hashlib.sha256(gateway.encode()).hexdigest()[:8]
    return f"{gateway[: _LONGEST_NAME - len(_ENDING) - 9].rstrip('-.')}-{mark}{_ENDING}"


def choose_role(manifest: Manifest, live: Mapping[str, str], around: Selectors) -> tuple[str, str]:
    """The label that the scout has another value of, or why none will do; ``live`` are the labels of a pod of the gateway."""
    reasons = []
    for role in ROLES:
        if role not in texts(at(manifest, "spec", "selector", "matchLabels")):
            reasons.append(f"its Deployment does not select by the label {role}")
            continue
        labels = {**_template_labels(manifest), role: scout_name(_name(manifest))}
        lost = [one.name for one in around.gateways if one.takes(live) and not one.takes(labels)]
        caught = [one.name for one in around.services if one.labels and one.takes({**live, **labels})]
        if not lost and not caught:
            return role, ""
        if lost:
            reasons.append(f"{' and '.join(lost)} {'select' if len(lost) > 1 else 'selects'} by the label {role}")
        if caught:
            reasons.append(f"without the label {role} it would get traffic of {' and '.join(caught)}")
    return "", "; ".join(reasons)


def scout_deployment(manifest: Manifest, role: str, scouting: Scouting) -> dict[str, Any]:
    """The scout's Deployment, of the gateway's rendered Deployment or DaemonSet; raises ValueError for what is neither."""
    name, namespace = scout_name(_name(manifest)), text(at(manifest, "metadata", "namespace"))
    template = table(at(manifest, "spec", "template"))
    own = {role: name, MANAGED_BY: MANAGER, SCOUT: scouting.release}
    selector = {**texts(at(manifest, "spec", "selector", "matchLabels")), role: name}
    labels = {**_template_labels(manifest), **own, REVISION: scouting.revision}
    metadata = {"name": name, "namespace": namespace, "labels": own, "annotations": {HOLDER: scouting.holder}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": labels, "annotations": texts(at(template, "metadata", "annotations"))},
                "spec": _pod(table(template.get("spec")), scouting.account),
            },
        },
    }


def why_not(manifest: Manifest) -> str:
    """Why a gateway can have no scout, whatever selects it; empty where it can."""
    is_on_node = bool(at(manifest, "spec", "template", "spec", "hostNetwork"))
    return "its pods use the network of their nodes, where a scout would take their ports" if is_on_node else ""


def targets(ports: Iterable[tuple[int, int]]) -> dict[int, frozenset[int]]:
    """From pairs of a Service's port and the pods' port: ports of pods, each with those of Services that lead to it.

    A Gateway names the port of the Service, and the gateway listens on the pods' (istio: pilot/pkg/model/gateway.go, resolvePorts). A scout
    is in no Service, so it listens on what the Gateway names.
    """
    found: dict[int, set[int]] = {}
    for port, target in ports:
        found.setdefault(target, set()).add(port)
    return {target: frozenset(ports) for target, ports in found.items()}


def unbindable(manifest: Manifest, ports: Mapping[int, frozenset[int]]) -> frozenset[int]:
    """Ports of the live gateway's pods that stand for one of a Service that the scout, like those pods, may not listen on."""
    lowest = _lowest(manifest)
    return frozenset(target for target, some in ports.items() if target not in some and min(some) < lowest)


def _lowest(manifest: Manifest) -> int:
    """The first port that the proxy may listen on."""
    spec = at(manifest, "spec", "template", "spec")
    if _UNPRIVILEGED in {text(at(one, "name")) for one in _environment(spec)}:
        return _FIRST_HIGH
    settings = {text(at(one, "name")): text(at(one, "value")) for one in rows(at(spec, "securityContext", "sysctls"))}
    found = settings.get(_LOW_PORTS, "")
    return int(found) if found.isdecimal() else _FIRST_HIGH


def _environment(spec: Any) -> Iterator[Any]:
    for container in rows(at(spec, "containers")):
        if at(container, "name") == PROXY_CONTAINER:
            yield from rows(at(container, "env"))


def _name(manifest: Manifest) -> str:
    return text(at(manifest, "metadata", "name"))


def _template_labels(manifest: Manifest) -> dict[str, str]:
    found = texts(at(manifest, "spec", "template", "metadata", "labels"))
    return {name: value for name, value in found.items() if name != _CHART}


def _pod(spec: Mapping[str, Any], account: str) -> dict[str, Any]:
    """The gateway's pod without what binds it to other pods or to a node's ports; it stops at once, as nobody is connected."""
    kept = {name: value for name, value in spec.items() if name not in {*_DROPPED, "affinity"}}
    if near := at(spec, "affinity", "nodeAffinity"):
        kept["affinity"] = {"nodeAffinity": near}
    containers = [_container(table(one)) for one in rows(spec.get("containers"))]
    return {**kept, "containers": containers, "serviceAccountName": account, "terminationGracePeriodSeconds": 0}


def _container(container: Mapping[str, Any]) -> dict[str, Any]:
    ports = [{name: value for name, value in table(one).items() if name != "hostPort"} for one in rows(container.get("ports"))]
    # Before it is stopped there is nobody to wait for.
    kept = {name: value for name, value in container.items() if name != "lifecycle"}
    return {**kept, **({"ports": ports} if ports else {})}
