"""Refuses values that a chart's templates fail on or Kubernetes refuses, and finds those that have another effect than they seem to have.

Source: templates of Istio's charts of 1.31, tried with helm 3 and 4. ``view`` is all layers as the templates see them (chart_view).
"""

import re
from collections.abc import Iterator, Mapping

from meshinstall import catalog
from meshinstall.config.chart_layers import template_path
from meshinstall.config.source import is_plain_text
from meshinstall.config.value_types import is_text_entry
from meshinstall.errors import Problem
from meshinstall.model.release import Component
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import CHART_KINDS, KeyPath, LayerKind, Spoken, value_at

# The Service istiod-REVISION is a DNS label of 63 characters.
_REVISION = re.compile(r"[a-z0-9]([-a-z0-9]{0,54}[a-z0-9])?")
_REVISION_HINT = "use at most 56 lower-case letters, digits and hyphens, such as 1-31-0"
_REVISION_KEYS = frozenset({("revision",), ("defaultRevision",), ("revisionTags",)})
# Charts whose templates write the revision as a label or an annotation without quotes.
_BARE_REVISION = frozenset({Component.CNI, Component.ZTUNNEL})
_NAMESPACE_KEYS = frozenset({("istioNamespace",), ("global", "istioNamespace")})

# Maps that templates read keys of without asking whether they exist: those of the chart, and those that istiod runs for each pod.
_READ_BY_KEY: Mapping[Component, frozenset[str]] = {
    Component.BASE: frozenset({"base", "experimental", "global"}),
    Component.ISTIOD: frozenset(
        {
            "base",
            "cni",
            "cpu",
            "env",
            "experimental",
            "gateways",
            "global",
            "global.defaultPodDisruptionBudget",
            "global.istiod",
            "global.logging",
            "global.multiCluster",
            "global.proxy",
            "global.proxy.startupProbe",
            "global.proxy_init",
            "global.sds",
            "global.sds.token",
            "global.sts",
            "istiodRemote",
            "memory",
            "meshConfig",
            "sidecarInjectorWebhook",
            "sidecarInjectorWebhook.templates",
            "taint",
            "telemetry",
            "telemetry.v2",
            "telemetry.v2.prometheus",
            "telemetry.v2.stackdriver",
        }
    ),
    Component.CNI: frozenset({"ambient", "global", "global.logging", "logging", "repair", "resourceQuotas"}),
    Component.ZTUNNEL: frozenset({"global", "meshConfig", "meshConfig.defaultConfig", "multiCluster", "peerCaCrl", "resourceQuotas"}),
    # The chart's schema refuses every null that its templates do not expect.
    Component.GATEWAY: frozenset(),
}


def check_rules(component: Component, view: ValuesStack, stack: ValuesStack) -> Iterator[Problem]:
    """Every value that would stop helm or the API server."""
    for written, spoken in stack.winners().items():
        path = template_path(component, written)
        if path in _REVISION_KEYS:
            yield from _check_revision(component, written, spoken)
        if path in _NAMESPACE_KEYS and component in {Component.BASE, Component.ISTIOD, Component.ZTUNNEL}:
            yield from _check_namespace(written, spoken)
        if spoken.value is None:
            yield from _check_null(component, written, path, view, spoken)
        if spoken.origin.kind is LayerKind.FLAG and isinstance(spoken.value, list):
            yield from _check_item(component, written, view, stack)
    yield from _check_replicas(component, view)
    if component is Component.GATEWAY:
        yield from _check_service(view)
    if component is Component.ISTIOD:
        yield from _check_rollout(view)


def doubtful(component: Component, view: ValuesStack, stack: ValuesStack) -> Iterator[Problem]:
    """Values that are accepted and do something else than they seem to do."""
    for written, spoken in stack.winners().items():
        if spoken.value is None and is_text_entry(component, written):
            chart = [each for each in view.explain(template_path(component, written)) if each.origin.kind in CHART_KINDS]
            if chart and chart[-1].value is not None:
                what = "the chart's own value is used" if written in stack.unsent else "it is set to empty text"
                text = f"null does not remove {'.'.join(written)}, which the chart sets ({chart[-1].origin}): {what}"
                yield spoken.origin.problem(text, "write the text that you want")
            elif written not in stack.unsent:
                yield spoken.origin.problem(
                    f"{'.'.join(written)} is set to empty text: there is nothing below to remove", "remove the line"
                )
        elif isinstance(spoken.value, str) and spoken.value and _is_switch(template_path(component, written), view):
            text = f"{'.'.join(written)} is text: where the chart asks whether it is true, any text is"
            yield spoken.origin.problem(
                text, "use --set" if spoken.origin.kind is LayerKind.FLAG else "write true or false, without quotes"
            )
    if component is Component.ISTIOD:
        yield from _doubt_budget(view)
    if component is Component.GATEWAY:
        yield from _doubt_node_ports(view)


def _is_switch(path: KeyPath, view: ValuesStack) -> bool:
    """Whether the chart itself has true or false there."""
    chart = [each.value for each in view.explain(path) if each.origin.kind in CHART_KINDS]
    return bool(chart) and isinstance(chart[-1], bool)


def _doubt_budget(view: ValuesStack) -> Iterator[Problem]:
    least, most = view.explain(("pdb", "minAvailable")), view.explain(("pdb", "maxUnavailable"))
    if least and most and most[-1].value is not None and least[-1].value is not None and least[-1].origin.kind not in CHART_KINDS:
        text = f"pdb.minAvailable has no effect beside pdb.maxUnavailable ({most[-1].origin})"
        yield least[-1].origin.problem(text, "set pdb.maxUnavailable instead")


def _check_revision(component: Component, written: KeyPath, spoken: Spoken) -> Iterator[Problem]:
    name = ".".join(written)
    values = spoken.value if isinstance(spoken.value, list) else [spoken.value]
    for twice in dict.fromkeys(value for value in values if isinstance(value, str) and values.count(value) > 1):
        yield spoken.origin.problem(f"{name} lists {twice} twice: two objects would have one name", "remove one of the two")
    for value in values:
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            hint = "use --set-string" if spoken.origin.kind is LayerKind.FLAG else f"quote it; {_REVISION_HINT}"
            yield spoken.origin.problem(f"{name} must be text", hint)
        elif not _REVISION.fullmatch(value):
            yield spoken.origin.problem(f"{name} must be a DNS label: it becomes a part of names", _REVISION_HINT)
        elif component in _BARE_REVISION and not is_plain_text(value):
            yield spoken.origin.problem(
                f"{name} must not look like a number or a boolean: the chart does not quote it", "add a letter, such as r131"
            )


def _check_namespace(written: KeyPath, spoken: Spoken) -> Iterator[Problem]:
    if spoken.value != catalog.MESH_NAMESPACE:
        text = f"{'.'.join(written)} must be {catalog.MESH_NAMESPACE}: the mesh is installed there, and its objects would be split"
        yield spoken.origin.problem(text, "remove the line; meshinstall has no setting for another namespace")


def _check_null(component: Component, written: KeyPath, path: KeyPath, view: ValuesStack, spoken: Spoken) -> Iterator[Problem]:
    name = ".".join(written)
    if ".".join(path) in _READ_BY_KEY[component] or (path == ("pdb",) and _has_budget(view)):
        yield spoken.origin.problem(f"{name} must be a map: null makes the chart's templates fail", "write {} or remove the line")
    elif path == ("image",) and component is not Component.GATEWAY:
        yield spoken.origin.problem(f"{name} must be text: null makes the chart's templates fail", "remove the line")


def _has_budget(view: ValuesStack) -> bool:
    """Whether istiod's chart renders a PodDisruptionBudget."""
    values = view.effective()
    least = values.get("autoscaleMin" if values.get("autoscaleEnabled") else "replicaCount")
    return isinstance(least, int) and least > 1 and bool(value_at(values, ("global", "defaultPodDisruptionBudget", "enabled")))


def _check_item(component: Component, written: KeyPath, view: ValuesStack, stack: ValuesStack) -> Iterator[Problem]:
    """``--set LIST[0]=...`` where only the chart has the list: Helm would put a list of one item in its place."""
    spoken = stack.explain(written)
    if any(isinstance(each.value, list) and each.origin.kind is not LayerKind.FLAG for each in spoken):
        return
    items = [each.value for each in view.explain(template_path(component, written)) if each.origin.kind in CHART_KINDS]
    if items and isinstance(items[-1], list) and items[-1]:
        text = f"would replace the chart's list {'.'.join(written)} ({len(items[-1])} items) by this item alone"
        yield spoken[-1].origin.problem(text, "write the whole list in a file of values")


def _check_replicas(component: Component, view: ValuesStack) -> Iterator[Problem]:
    """A HorizontalPodAutoscaler whose minimum is larger than its maximum, or 0."""
    values = view.effective()
    least: KeyPath
    most: KeyPath
    if component is Component.ISTIOD and values.get("autoscaleEnabled"):
        least, most, smallest = ("autoscaleMin",), ("autoscaleMax",), 0
    elif component is Component.GATEWAY and value_at(values, ("autoscaling", "enabled")) and values.get("kind") != "DaemonSet":
        least, most, smallest = ("autoscaling", "minReplicas"), ("autoscaling", "maxReplicas"), 1
    else:
        return
    low, high = value_at(values, least), value_at(values, most)
    if not isinstance(low, int) or not isinstance(high, int):
        return
    lower, upper = view.explain(least)[-1], view.explain(most)[-1]
    if low < smallest:
        yield lower.origin.problem(f"{'.'.join(least)} must be at least {smallest}")
    elif low > high and (high or component is Component.GATEWAY):
        text = f"{'.'.join(least)} ({lower.origin}) is larger than {'.'.join(most)} ({upper.origin})"
        yield max(lower, upper, key=lambda each: each.origin.kind).origin.problem(text)


# Values of a gateway's Service that Kubernetes takes only with these types of it; the type None is no Service at all.
_ONLY_WITH: Mapping[KeyPath, tuple[str, ...]] = {
    ("service", "externalTrafficPolicy"): ("NodePort", "LoadBalancer"),
    ("service", "healthCheckNodePort"): ("LoadBalancer",),
    ("service", "loadBalancerSourceRanges"): ("LoadBalancer",),
}
_NODE_PORTS = range(30000, 32768)


def _check_service(view: ValuesStack) -> Iterator[Problem]:
    """Settings of a load balancer on a Service that is not one; Kubernetes has no words for them there."""
    values = view.effective()
    kind = value_at(values, ("service", "type"))
    # A tuple: what is written there may be a map.
    if kind not in ("ClusterIP", "NodePort") or value_at(values, ("service", "externalIPs")):
        return
    of_type = view.explain(("service", "type"))[-1].origin
    for path, kinds in _ONLY_WITH.items():
        if value_at(values, path) and kind not in kinds:
            origin = max(view.explain(path)[-1].origin, of_type, key=lambda place: place.kind)
            yield origin.problem(
                f"{'.'.join(path)} needs service.type {' or '.join(kinds)}, and it is {kind} ({of_type})", "remove the line"
            )
    for path, _ in _node_ports(values) if kind == "ClusterIP" else ():
        origin = max(view.explain(path)[-1].origin, of_type, key=lambda place: place.kind)
        yield origin.problem(
            f"{'.'.join(path)} needs service.type NodePort or LoadBalancer, and it is {kind} ({of_type})", "remove the line"
        )


def _doubt_node_ports(view: ValuesStack) -> Iterator[Problem]:
    """Outside of the range that every managed cluster has; other clusters may have been given another range."""
    for path, port in _node_ports(view.effective()):
        if isinstance(port, int) and port not in _NODE_PORTS:
            text = f"{'.'.join(path)} {port} is outside of 30000-32767, the node ports of a cluster unless it was set up otherwise"
            yield view.explain(path)[-1].origin.problem(text, "choose a port of that range, or leave the choice to the cluster")


def _node_ports(values: Mapping[str, object]) -> Iterator[tuple[KeyPath, object]]:
    ports = value_at(values, ("service", "ports"))
    for number, port in enumerate(ports if isinstance(ports, list) else ()):
        if isinstance(port, Mapping) and port.get("nodePort"):
            yield ("service", "ports", str(number), "nodePort"), port["nodePort"]


def _check_rollout(view: ValuesStack) -> Iterator[Problem]:
    """A Deployment that may neither add nor remove a pod."""
    values, most = view.effective(), view.explain(("rollingMaxUnavailable",))
    if all(str(values.get(key)) in {"0", "0%"} for key in ("rollingMaxSurge", "rollingMaxUnavailable")):
        yield most[-1].origin.problem("rollingMaxUnavailable must be above 0 when rollingMaxSurge is 0")
