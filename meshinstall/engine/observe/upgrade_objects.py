"""Turns objects of a cluster into the parts of a MeshPosition; pure. One of another shape than the API's raises ValueError."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from meshinstall.engine.mesh import discovery
from meshinstall.engine.mesh.injection import injected_by
from meshinstall.engine.mesh.kube_objects import labels, place
from meshinstall.engine.objects.json_fields import at, flag, number, rows, table, text, texts
from meshinstall.engine.observe.restart_marks import lacks_probe, read_mark
from meshinstall.model.istio import PROXY_CONTAINER, SYSTEM_NAMESPACE, image_tag
from meshinstall.model.istio_version import IstioVersion, istio_version
from meshinstall.model.labels import INJECTION, REVISION, TAG
from meshinstall.model.mesh_position import (
    AgentAt,
    ApiGatewayAt,
    BudgetAt,
    Carrier,
    LabelledAt,
    Mark,
    NamespaceAt,
    Rollout,
    TagAt,
)
from meshinstall.model.ownership import SCOUT, kept_by, owner_of
from meshinstall.model.place import Place
from meshinstall.model.release import Manifest
from meshinstall.model.revision import DEFAULT_REVISION
from meshinstall.model.selectors import LabelSelector
from meshinstall.model.wire import PROBE_LABEL, PROBE_PREFIX

# What ``istioctl tag set default`` puts into the selectors of an injector that is to match nothing (istio: istioctl/pkg/tag).
SWITCHED_OFF = "istio.io/deactivated"
_GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
_PROXY_IMAGE = "sidecar.istio.io/proxyImage"
# On the ReplicaSets and pods of an Argo Rollout (argoproj/argo-rollouts: utils/defaults).
_ROLLOUT_HASH = "rollouts-pod-template-hash"
_DEPLOYMENT_HASH = "pod-template-hash"
_DEFAULT_GRACE = 30
# What Kubernetes takes where a Deployment says nothing.
_QUARTER = "25%"
_AGENTS = {"install-cni": "cni"}


class Owner(NamedTuple):
    """What made a pod: the kind and name of its workload."""

    kind: str
    place: Place


@dataclass(frozen=True, slots=True)
class ProxyPod:
    """A pod with a proxy; ``role`` is what the proxy was started as, ``gateway`` the Gateway that istiod made it for.

    ``scout`` is the release of the gateway that it says it is the scout of.
    """

    owner: Owner
    role: str
    revision: str
    version: IstioVersion | None
    gateway: str = ""
    scout: str = ""
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class WorkloadAt:
    """A Deployment, StatefulSet or DaemonSet: how it is rolled out, and what its pod template says."""

    owner: Owner
    rollout: Rollout
    labels: Mapping[str, str]
    release: str = ""
    pinned: str = ""
    pinned_image: str = ""
    lacks_probe: bool = False
    mark: Mark = field(default_factory=Mark)
    kept_by: str = ""


class Budget(NamedTuple):
    """A PodDisruptionBudget, and which pods it is for."""

    at: BudgetAt
    selector: LabelSelector


def proxy_pod(item: Manifest) -> ProxyPod | None:
    """A pod with a proxy of Istio; None for any other, for one that is being deleted, and for a probe of meshinstall's."""
    spec = table(at(item, "spec"))
    containers = (*rows(spec.get("initContainers")), *rows(spec.get("containers")))
    proxy = next((one for one in containers if at(one, "name") == PROXY_CONTAINER), None)
    if proxy is None or at(item, "metadata", "deletionTimestamp") or _is_probing(item, place(item).namespace):
        return None
    role = next((text(one) for one in rows(at(proxy, "args"))[1:2]), "")
    if role == "ztunnel":
        return None
    version = istio_version(image_tag(text(at(proxy, "image"))))
    found = labels(item)
    owner = owner_of_pod(item)
    # Of the others the template tells them.
    own = () if owner.kind in _ROLLOUTS else tuple(sorted(found.items()))
    return ProxyPod(owner, role, injected_by(item), version, found.get(_GATEWAY_NAME, ""), found.get(SCOUT, ""), own)


def owner_of_pod(item: Manifest) -> Owner:
    """The workload behind a pod, through the ReplicaSet of a Deployment or of an Argo Rollout."""
    own, found = place(item), labels(item)
    controller = next((one for one in rows(at(item, "metadata", "ownerReferences")) if flag(at(one, "controller"))), None)
    if controller is None or text(at(controller, "kind")) == "Node":
        return Owner("Pod", own)
    kind, name = text(at(controller, "kind")), text(at(controller, "name"))
    if kind == "ReplicaSet":
        for label, above in ((_ROLLOUT_HASH, "Rollout"), (_DEPLOYMENT_HASH, "Deployment")):
            if (ending := found.get(label)) and name.endswith(f"-{ending}"):
                return Owner(above, Place(own.namespace, name.removesuffix(f"-{ending}")))
    return Owner(kind, Place(own.namespace, name))


def workload(item: Manifest, kind: str) -> WorkloadAt:
    """A workload of one of the three kinds that Kubernetes rolls out."""
    template = table(at(item, "spec", "template"))
    notes = texts(at(template, "metadata", "annotations"))
    template_labels = labels(template)
    metadata = table(at(item, "metadata"))
    release = owner_of(metadata)
    return WorkloadAt(
        Owner(kind, place(item)),
        _ROLLOUTS[kind](item),
        template_labels,
        str(release) if release else "",
        template_labels.get(REVISION, ""),
        notes.get(_PROXY_IMAGE, ""),
        lacks_probe(template),
        read_mark(item, kind),
        kept_by({"metadata": metadata}),
    )


def _deployment(item: Manifest) -> Rollout:
    spec = table(at(item, "spec"))
    replicas = 1 if spec.get("replicas") is None else number(spec["replicas"])
    strategy = text(at(spec, "strategy", "type")) or "RollingUpdate"
    rolling = at(spec, "strategy", "rollingUpdate")
    surge = _share(at(rolling, "maxSurge"), replicas, math.ceil)
    unavailable = _share(at(rolling, "maxUnavailable"), replicas, math.floor)
    if not surge and not unavailable:
        unavailable = 1
    ready = number(spec.get("minReadySeconds"))
    return Rollout(strategy, replicas, unavailable, surge, is_paused=flag(spec.get("paused")), grace=_grace(spec), min_ready=ready)


def _stateful_set(item: Manifest) -> Rollout:
    spec = table(at(item, "spec"))
    replicas = 1 if spec.get("replicas") is None else number(spec["replicas"])
    strategy = text(at(spec, "updateStrategy", "type")) or "RollingUpdate"
    held = min(number(at(spec, "updateStrategy", "rollingUpdate", "partition")), replicas)
    return Rollout(strategy, replicas, 1, held=held, grace=_grace(spec))


def _daemon_set(item: Manifest) -> Rollout:
    spec, wanted = table(at(item, "spec")), number(at(item, "status", "desiredNumberScheduled"))
    strategy = text(at(spec, "updateStrategy", "type")) or "RollingUpdate"
    surge = at(spec, "updateStrategy", "rollingUpdate", "maxSurge")
    return Rollout(strategy, wanted, 1, 0 if surge is None else _share(surge, wanted, math.ceil), grace=_grace(spec))


_ROLLOUTS = {"Deployment": _deployment, "StatefulSet": _stateful_set, "DaemonSet": _daemon_set}


def _share(value: Any, replicas: int, rounded: Any) -> int:
    """A number of pods, or a percentage of them (kubernetes: apimachinery/pkg/util/intstr)."""
    given = _QUARTER if value is None else value
    if isinstance(given, str) and given.endswith("%") and given[:-1].isdecimal():
        return int(rounded(replicas * int(given[:-1]) / 100))
    return number(given)


def _grace(spec: Mapping[str, Any]) -> int:
    found = at(spec, "template", "spec", "terminationGracePeriodSeconds")
    return _DEFAULT_GRACE if found is None else number(found)


def budget(item: Manifest) -> Budget:
    """A PodDisruptionBudget."""
    status = table(at(item, "status"))
    (selector,) = discovery.selectors([at(item, "spec", "selector") or {}])
    return Budget(BudgetAt(place(item), number(status.get("disruptionsAllowed")), number(status.get("expectedPods"))), selector)


def namespace(item: Manifest) -> NamespaceAt | None:
    """A namespace by the labels that decide injection; None for one that is being deleted, and for that of probes."""
    found, name = labels(item), place(item).name
    if at(item, "metadata", "deletionTimestamp") or _is_probing(item, name):
        return None
    return NamespaceAt(name, found.get(INJECTION, ""), found.get(REVISION, ""), tuple(sorted(found.items())))


def _is_probing(item: Manifest, namespace: str) -> bool:
    """Whether it belongs to probes, which a run, perhaps this one, removes by itself."""
    return namespace.startswith(PROBE_PREFIX) and PROBE_LABEL in labels(item)


def agent(item: Manifest, mesh_namespace: str) -> AgentAt | None:
    """The DaemonSet of istio-cni or of ztunnel, where no tenant runs pods; None for any other."""
    if place(item).namespace not in {mesh_namespace, SYSTEM_NAMESPACE}:
        return None
    for container in rows(at(item, "spec", "template", "spec", "containers")):
        name, args = text(at(container, "name")), [text(one) for one in rows(at(container, "args"))]
        component = _AGENTS.get(name) or ("ztunnel" if name == PROXY_CONTAINER and args[1:2] == ["ztunnel"] else "")
        if component:
            return AgentAt(component, istio_version(image_tag(text(at(container, "image")))), place(item))
    return None


def tag(item: Manifest) -> TagAt | None:
    """The revision tag that a MutatingWebhookConfiguration is; None for any other."""
    found = labels(item)
    return TagAt(found[TAG], found.get(REVISION) or DEFAULT_REVISION) if found.get(TAG) else None


def is_switched_off(item: Manifest) -> bool | None:
    """Whether the injector of the istiod without a revision matches nothing; None for what is not that injector."""
    found = labels(item)
    if found.get(TAG) or found.get(REVISION) != DEFAULT_REVISION or found.get("app") != "sidecar-injector":
        return None
    hooks = rows(at(item, "webhooks"))
    return bool(hooks) and all(SWITCHED_OFF in texts(at(one, "namespaceSelector", "matchLabels")) for one in hooks)


def validator(item: Manifest) -> str:
    """The revision of the istiod that the default validator calls; empty for a configuration without webhooks."""
    for hook in rows(at(item, "webhooks")):
        if name := text(at(hook, "clientConfig", "service", "name")):
            return name.removeprefix("istiod").removeprefix("-") or DEFAULT_REVISION
    return ""


def labelled(item: Manifest, kind: str) -> LabelledAt | None:
    """An object with the label istio.io/rev."""
    revision = labels(item).get(REVISION, "")
    return LabelledAt(kind, place(item), revision) if revision else None


def api_gateway(item: Manifest) -> ApiGatewayAt | None:
    """A Gateway of one of Istio's classes, of which istiod makes the proxies; None for any other."""
    of = text(at(item, "spec", "gatewayClassName"))
    if not of.startswith("istio"):
        return None
    return ApiGatewayAt(place(item), of.endswith("waypoint"), labels(item).get(REVISION, ""))


def carrier(pod: ProxyPod, *, is_ours: bool) -> Carrier:
    """What a proxy is there for; somebody else's gateway is restarted like any workload."""
    if pod.role == "waypoint":
        return Carrier.WAYPOINT
    if pod.role == "router" and pod.gateway:
        return Carrier.MANAGED_GATEWAY
    return Carrier.GATEWAY if pod.role == "router" and is_ours else Carrier.SIDECAR
