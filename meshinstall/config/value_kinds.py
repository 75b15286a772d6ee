"""Says what each value of Istio's charts must be, and checks it: a table of paths, by component, and the chart's own values for the rest.

Sources: templates of Istio's charts of 1.31, tried with helm 4 and the API server of Kubernetes 1.36. Paths are as templates see them
(chart_layers.template_path); kinds are those of config/kube_kinds.py. meshConfig has a list of its own (config/mesh_config.py).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from meshinstall.config.chart_layers import template_path
from meshinstall.config.kube_kinds import Mistake, check_kind
from meshinstall.errors import Problem
from meshinstall.model.release import Component
from meshinstall.model.stack import ValuesStack, leaves
from meshinstall.model.values import CHART_KINDS, KeyPath, LayerKind, value_at

_PULL_POLICY = "?enum(Always|IfNotPresent|Never)"
_FAMILY_POLICY = "?enum(SingleStack|PreferDualStack|RequireDualStack)"
_EVICTION = "?enum(IfHealthyBudget|AlwaysAllow)"
_SCOPE = "enum(all|cluster|namespace)"
_SECRETS = "?list(bare(text))"
_DNS_POLICY = "?enum(ClusterFirstWithHostNet|ClusterFirst|Default|None)"

# What every workload of the charts has.
_POD: Mapping[str, str] = {
    "affinity": "?Affinity",
    "env": "?variables",
    "podAnnotations": "?annotations",
    "resources": "?ResourceRequirements",
    "tolerations": "?list(Toleration)",
}
_PLACED: Mapping[str, str] = {"nodeSelector": "?labels", "topologySpreadConstraints": "?list(TopologySpreadConstraint)"}
_VOLUMES: Mapping[str, str] = {"volumes": "?list(Volume)", "volumeMounts": "?list(VolumeMount)"}
_SHARED: Mapping[str, str] = {
    "global.defaultResources": "?ResourceRequirements",
    "global.imagePullPolicy": _PULL_POLICY,
    "global.imagePullSecrets": _SECRETS,
    "global.resourceScope": _SCOPE,
}

KINDS: Mapping[Component, Mapping[str, str]] = {
    Component.BASE: {
        "base.excludedCRDs": "?list(text)",
        "global.imagePullSecrets": _SECRETS,
        "global.resourceScope": _SCOPE,
    },
    Component.ISTIOD: {
        **_POD,
        **_PLACED,
        **_VOLUMES,
        **_SHARED,
        "autoscaleBehavior": "?HorizontalPodAutoscalerBehavior",
        "autoscaleMax": "?bare(positive)",
        "autoscaleMin": "?bare(positive)",
        "base.validationFailurePolicy": "?enum(Fail|Ignore)",
        "cpu.targetAverageUtilization": "bare(positive)",
        "deploymentAnnotations": "?annotations",
        "deploymentLabels": "?quoted-labels",
        "envVarFrom": "?list(EnvVar)",
        "extraContainerArgs": "?list(text)",
        "gateways.seccompProfile": "?SeccompProfile",
        "gateways.securityContext": "?PodSecurityContext",
        "global.priorityClassName": "?subdomain",
        "global.proxy.autoInject": "enum(enabled|disabled)",
        "global.proxy.readinessFailureThreshold": "bare(count)",
        "global.proxy.readinessInitialDelaySeconds": "bare(count)",
        "global.proxy.readinessPeriodSeconds": "bare(count)",
        "global.proxy.resources": "?ResourceRequirements",
        "global.proxy.seccompProfile": "?SeccompProfile",
        "global.proxy.startupProbe.failureThreshold": "bare(count)",
        "global.proxy.statusPort": "bare(port-or-0)",
        "global.sts.servicePort": "bare(port-or-0)",
        "global.waypoint.affinity": "?Affinity",
        "global.waypoint.nodeSelector": "?labels",
        "global.waypoint.resources": "?ResourceRequirements",
        "global.waypoint.tolerations": "?list(Toleration)",
        "global.waypoint.topologySpreadConstraints": "?list(TopologySpreadConstraint)",
        "initContainers": "?list(Container)",
        "ipFamilies": "?list(enum(IPv4|IPv6))",
        "ipFamilyPolicy": _FAMILY_POLICY,
        "keepaliveMaxServerConnectionAge": "duration",
        "memory.targetAverageUtilization": "?bare(positive)",
        "pdb.maxUnavailable": "?bare(count-or-share)",
        "pdb.minAvailable": "?bare(count-or-share)",
        "pdb.unhealthyPodEvictionPolicy": _EVICTION,
        "podLabels": "?quoted-labels",
        "replicaCount": "?bare(count)",
        "rollingMaxSurge": "bare(count-or-percent)",
        "rollingMaxUnavailable": "bare(count-or-share)",
        "seccompProfile": "?SeccompProfile",
        "serviceAccountAnnotations": "?annotations",
        "serviceAnnotations": "?annotations",
        "sidecarInjectorWebhook.alwaysInjectSelector": "?list(LabelSelector)",
        "sidecarInjectorWebhook.defaultTemplates": "?list(text)",
        "sidecarInjectorWebhook.neverInjectSelector": "?list(LabelSelector)",
        "sidecarInjectorWebhook.reinvocationPolicy": "enum(Never|IfNeeded)",
        "sidecarInjectorWebhookAnnotations": "?annotations",
        "terminationMessagePolicy": "?enum(File|FallbackToLogsOnError)",
        "trafficDistribution": "?enum(PreferClose|PreferSameZone|PreferSameNode)",
    },
    Component.CNI: {
        **_POD,
        **_SHARED,
        "daemonSetLabels": "?labels",
        # It goes into a ConfigMap too.
        "env": "?config",
        "excludeNamespaces": "?list(single)",
        "podLabels": "?labels",
        "pullPolicy": _PULL_POLICY,
        "resourceQuotas.pods": "amount",
        "seLinuxOptions": "?SELinuxOptions",
        "seccompProfile": "?SeccompProfile",
        "terminationGracePeriodSeconds": "bare(int)",
        "updateStrategy": "?DaemonSetUpdateStrategy",
    },
    Component.ZTUNNEL: {
        **_POD,
        **_VOLUMES,
        "annotations": "?annotations",
        "dnsConfig": "?PodDNSConfig",
        "dnsPolicy": _DNS_POLICY,
        "imagePullPolicy": _PULL_POLICY,
        "imagePullSecrets": _SECRETS,
        "labels": "?labels",
        "nodeSelector": "?labels",
        "podLabels": "?labels",
        "resourceQuotas.pods": "amount",
        "resourceScope": _SCOPE,
        "seLinuxOptions": "?SELinuxOptions",
        "terminationGracePeriodSeconds": "bare(int)",
        "updateStrategy": "?DaemonSetUpdateStrategy",
    },
    Component.GATEWAY: {
        **_POD,
        **_PLACED,
        **_VOLUMES,
        "additionalContainers": "?list(Container)",
        "annotations": "?annotations",
        "autoscaling.autoscaleBehavior": "?HorizontalPodAutoscalerBehavior",
        "autoscaling.maxReplicas": "bare(count)",
        "autoscaling.minReplicas": "bare(count)",
        "autoscaling.targetCPUUtilizationPercentage": "?bare(positive)",
        "autoscaling.targetMemoryUtilizationPercentage": "?bare(positive)",
        "containerSecurityContext": "?SecurityContext",
        "dnsConfig": "?PodDNSConfig",
        "dnsPolicy": _DNS_POLICY,
        "envVarFrom": "?list(EnvVar)",
        "imagePullPolicy": _PULL_POLICY,
        "imagePullSecrets": "?list(LocalObjectReference)",
        "initContainers": "?list(Container)",
        "labels": "?quoted-labels",
        "lifecycle": "?Lifecycle",
        "minReadySeconds": "?bare(count)",
        "name": "?bare(service-name)",
        "networkGateway": "?label-value",
        "networkGatewayPorts": "?map(ServicePort)",
        "podDisruptionBudget": "?PodDisruptionBudgetSpec",
        "priorityClassName": "?bare(subdomain)",
        "readinessProbe": "?Probe",
        "replicaCount": "bare(count)",
        "securityContext": "?PodSecurityContext",
        "service.annotations": "?annotations",
        "service.externalIPs": "?list(ip)",
        "service.externalTrafficPolicy": "?enum(Cluster|Local)",
        "service.healthCheckNodePort": "?bare(port)",
        "service.internalTrafficPolicy": "?enum(Cluster|Local)",
        "service.ipFamilies": "?list(enum(IPv4|IPv6))",
        "service.ipFamilyPolicy": _FAMILY_POLICY,
        "service.loadBalancerClass": "?label-key",
        "service.loadBalancerSourceRanges": "?list(cidr)",
        "service.ports": "?list(ServicePort)",
        "service.selectorLabels": "?labels",
        "service.type": "enum(ClusterIP|NodePort|LoadBalancer|None)",
        "serviceAccount.annotations": "?annotations",
        "serviceAccount.name": "?bare(subdomain)",
        "strategy": "?DeploymentStrategy",
        "terminationGracePeriodSeconds": "bare(int)",
    },
}
_MESH_CONFIG = "meshConfig"


def check_kinds(component: Component, view: ValuesStack, stack: ValuesStack) -> Iterator[Problem]:
    """Values that cannot be what they must be, at the line that wrote them; ``view`` is all layers as templates see them."""
    values = view.effective()
    written = {template_path(component, path): path for path in leaves(stack.merged())}
    for dotted, kind in KINDS[component].items():
        path = tuple(dotted.split("."))
        for mistake in check_kind(path, value_at(values, path), kind):
            yield from _problem(mistake, view, written)
    for mistake in _check_shapes(component, view, written):
        yield from _problem(mistake, view, written)


def _check_shapes(component: Component, view: ValuesStack, written: Iterable[KeyPath]) -> Iterator[Mistake]:
    """Maps, lists and single values in each other's place, by the chart's own values."""
    own = ValuesStack(tuple(layer for layer in view.layers if layer.kind in CHART_KINDS)).effective()
    values = view.effective()
    for path in written:
        for end in range(1, len(path) + 1):
            inside = path[:end]
            if ".".join(inside) in KINDS[component] or inside[0] == _MESH_CONFIG:
                break
            chart, value = value_at(own, inside), value_at(values, inside)
            if chart is None or value is None:
                break
            if _shape(chart) != _shape(value):
                yield Mistake(inside, f"must be {_shape(chart)}, not {_shape(value)}")
                break


def _shape(value: Any) -> str:
    return "a map" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else "a single value"


def _problem(mistake: Mistake, view: ValuesStack, written: Mapping[KeyPath, KeyPath]) -> Iterator[Problem]:
    """The mistake where a user wrote it; nothing when all of it is the chart's own."""
    places = [spoken[-1].origin for path in (mistake.path, mistake.beside) if path and (spoken := view.explain(path))]
    origin = max(places, key=lambda place: place.kind)
    if origin.kind in CHART_KINDS:
        return
    path = mistake.path if places[0].kind not in CHART_KINDS else mistake.beside
    prefix = next((own[: len(own) - len(seen)] for seen, own in written.items() if seen[: len(path)] == path[: len(seen)]), ())
    hint = "use --set-string" if mistake.hint == "quote it" and origin.kind is LayerKind.FLAG else mistake.hint
    yield origin.problem(f"{'.'.join((*prefix, *mistake.path))} {mistake.text}", hint)
