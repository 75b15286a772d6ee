"""Checks values against the types of Kubernetes, as its API server does: the wrong type, name, port, label or quantity that it refuses.

A kind is ``text``, ``bool``, ``int``, ``port`` and the like; ``enum(A|B)``; ``list(KIND)`` and ``map(KIND)``; or a message of Kubernetes,
by its name (config/kube_fields.py). ``bare(KIND)`` is what a template writes without quotes, so that YAML reads it again; ``?KIND`` what it
leaves out when it is empty. Fields that are not listed are not judged: a newer Kubernetes may have them.

Sources: Kubernetes 1.36 (pkg/apis/core/validation, apimachinery/pkg/util/validation), tried with its API server.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from meshinstall.config.kube_scalars import SCALARS, fits, is_template
from meshinstall.config.source import is_plain_text
from meshinstall.model.quantity import quantity
from meshinstall.model.values import KeyPath
from meshinstall.model.yaml_text import plain

_NESTED = re.compile(r"(list|map|enum|bare)\((.*)\)")

_PROTOCOL = "enum(TCP|UDP|SCTP)"
_PULL_POLICY = "enum(Always|IfNotPresent|Never)"
# Fields of which Kubernetes knows more than their type.
_NARROWER: Mapping[str, str] = {
    "Container.imagePullPolicy": _PULL_POLICY,
    "Container.name": "dns-label",
    "Container.restartPolicy": "enum(Always|OnFailure|Never)",
    "Container.terminationMessagePolicy": "enum(File|FallbackToLogsOnError)",
    "ContainerPort.containerPort": "port",
    "ContainerPort.hostPort": "port-or-0",
    "ContainerPort.name": "port-name",
    "ContainerPort.protocol": _PROTOCOL,
    "DaemonSetUpdateStrategy.type": "enum(OnDelete|RollingUpdate)",
    "DeploymentStrategy.type": "enum(Recreate|RollingUpdate)",
    "GRPCAction.port": "port",
    "HPAScalingPolicy.periodSeconds": "positive",
    "HPAScalingPolicy.type": "enum(Pods|Percent)",
    "HPAScalingPolicy.value": "positive",
    "HPAScalingRules.selectPolicy": "enum(Max|Min|Disabled)",
    "HPAScalingRules.stabilizationWindowSeconds": "count",
    "HTTPGetAction.port": "port-or-name",
    "HTTPGetAction.scheme": "enum(HTTP|HTTPS)",
    "LabelSelector.matchLabels": "labels",
    "LabelSelectorRequirement.key": "label-key",
    "LabelSelectorRequirement.operator": "enum(In|NotIn|Exists|DoesNotExist)",
    "NodeSelectorRequirement.key": "label-key",
    "NodeSelectorRequirement.operator": "enum(In|NotIn|Exists|DoesNotExist|Gt|Lt)",
    "PodAffinityTerm.topologyKey": "label-key",
    "PodDNSConfig.nameservers": "list(ip)",
    "PodDisruptionBudgetSpec.maxUnavailable": "count-or-share",
    "PodDisruptionBudgetSpec.minAvailable": "count-or-share",
    "PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy": "enum(IfHealthyBudget|AlwaysAllow)",
    "PreferredSchedulingTerm.weight": "positive",
    "Probe.failureThreshold": "count",
    "Probe.initialDelaySeconds": "count",
    "Probe.periodSeconds": "count",
    "Probe.successThreshold": "count",
    "Probe.timeoutSeconds": "count",
    # The charts leave it out.
    "ResourceRequirements.claims": "any",
    "ResourceRequirements.limits": "resources",
    "ResourceRequirements.requests": "resources",
    "RollingUpdateDaemonSet.maxSurge": "count-or-share",
    "RollingUpdateDaemonSet.maxUnavailable": "count-or-share",
    "RollingUpdateDeployment.maxSurge": "count-or-percent",
    "RollingUpdateDeployment.maxUnavailable": "count-or-share",
    "SeccompProfile.type": "enum(Unconfined|RuntimeDefault|Localhost)",
    "ServicePort.appProtocol": "label-key",
    "ServicePort.name": "dns-label",
    "ServicePort.nodePort": "port-or-0",
    "ServicePort.port": "port",
    "ServicePort.protocol": _PROTOCOL,
    "ServicePort.targetPort": "port-or-name",
    "TCPSocketAction.port": "port-or-name",
    "Toleration.effect": "enum(NoSchedule|PreferNoSchedule|NoExecute)",
    "Toleration.key": "label-key",
    "Toleration.operator": "enum(Exists|Equal|Lt|Gt)",
    "TopologySpreadConstraint.maxSkew": "positive",
    "TopologySpreadConstraint.minDomains": "positive",
    "TopologySpreadConstraint.nodeAffinityPolicy": "enum(Honor|Ignore)",
    "TopologySpreadConstraint.nodeTaintsPolicy": "enum(Honor|Ignore)",
    "TopologySpreadConstraint.topologyKey": "label-key",
    "TopologySpreadConstraint.whenUnsatisfiable": "enum(DoNotSchedule|ScheduleAnyway)",
    "Volume.name": "dns-label",
    "WeightedPodAffinityTerm.weight": "positive",
}
# Fields without which Kubernetes refuses a message.
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "ConfigMapKeySelector": ("key",),
    "Container": ("name",),
    "ContainerPort": ("containerPort",),
    "EnvVar": ("name",),
    "HTTPGetAction": ("port",),
    "LabelSelectorRequirement": ("key", "operator"),
    "NodeSelectorRequirement": ("key", "operator"),
    "PodAffinityTerm": ("topologyKey",),
    "SeccompProfile": ("type",),
    "SecretKeySelector": ("key",),
    "ServicePort": ("port",),
    "TCPSocketAction": ("port",),
    "TopologySpreadConstraint": ("maxSkew", "topologyKey", "whenUnsatisfiable"),
    "Volume": ("name",),
    "VolumeMount": ("name", "mountPath"),
}
# Fields that Kubernetes takes only beside one of these values of another field.
_ONLY_BESIDE: Mapping[str, tuple[tuple[str, str, tuple[str, ...]], ...]] = {
    "LabelSelectorRequirement": (("values", "operator", ("In", "NotIn")),),
    "Toleration": (("tolerationSeconds", "effect", ("NoExecute",)), ("value", "operator", ("Equal", "", "Lt", "Gt"))),
    "TopologySpreadConstraint": (("minDomains", "whenUnsatisfiable", ("DoNotSchedule",)),),
}
# Fields of which Kubernetes takes one at most.
_EXCLUSIVE: Mapping[str, tuple[str, str]] = {
    "EnvVar": ("value", "valueFrom"),
    "PodDisruptionBudgetSpec": ("minAvailable", "maxUnavailable"),
}
# What no two items of a list may share: the fields together, and whether an item that lacks one counts.
_UNIQUE: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "Container": (("name",),),
    "ServicePort": (("name",), ("port", "protocol"), ("nodePort", "protocol")),
    "TopologySpreadConstraint": (("topologyKey", "whenUnsatisfiable"),),
    "Volume": (("name",),),
    "VolumeMount": (("mountPath",),),
}
_DEFAULTS: Mapping[str, Any] = {"protocol": "TCP"}
_EMPTY_IS_ABSENT = frozenset({"dns-label", "label-key", "port-name"})


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong at ``path``: the rest of a sentence that begins with the path; ``beside`` is the other value of a contradiction."""

    path: KeyPath
    text: str
    hint: str = ""
    beside: KeyPath = ()


def check_kind(path: KeyPath, value: Any, kind: str) -> Iterator[Mistake]:
    """Every mistake in ``value`` and below it; None is not judged, for a null deletes."""
    if kind.startswith("?"):
        if not value:
            return
        kind = kind[1:]
    if value is None or kind == "any":
        return
    nested = _NESTED.fullmatch(kind)
    if nested is None:
        yield from _check_plain(path, value, kind)
    elif nested[1] == "enum":
        yield from _check_enum(path, value, tuple(nested[2].split("|")))
    elif nested[1] == "bare":
        yield from _check_bare(path, value, nested[2])
    elif nested[1] == "list":
        yield from _check_list(path, value, nested[2])
    elif not isinstance(value, Mapping):
        yield Mistake(path, "must be a map")
    else:
        for key, item in value.items():
            yield from check_kind((*path, key), item, nested[2])


def _check_plain(path: KeyPath, value: Any, kind: str) -> Iterator[Mistake]:
    if kind in _MAPS:
        yield from _check_map(path, value, *_MAPS[kind])
    elif kind in SCALARS:
        if not fits(value, kind):
            yield Mistake(path, *SCALARS[kind])
    elif not isinstance(value, Mapping):
        yield Mistake(path, "must be a map")
    else:
        yield from _check_message(path, value, kind)


# Kinds of maps: of their keys, and of their values.
_MAPS: Mapping[str, tuple[str, str]] = {
    "annotations": ("annotation-key", "text"),
    "config": ("config-key", "any"),
    "labels": ("label-key", "label-value"),
    "quoted-labels": ("label-key", "quoted-label-value"),
    "resources": ("resource", "?amount"),
    "variables": ("variable", "any"),
}


def _check_map(path: KeyPath, value: Any, key_kind: str, item_kind: str) -> Iterator[Mistake]:
    if not isinstance(value, Mapping):
        yield Mistake(path, "must be a map")
        return
    for key, item in value.items():
        if not fits(key, key_kind):
            yield Mistake((*path, key), *SCALARS[key_kind])
        yield from check_kind((*path, key), item, item_kind)


def _check_enum(path: KeyPath, value: Any, names: tuple[str, ...]) -> Iterator[Mistake]:
    # Empty text is as good as none.
    if value not in ("", *names) and not is_template(value):
        same = next((name for name in names if isinstance(value, str) and name.lower() == value.lower()), "")
        yield Mistake(path, f"must be one of {', '.join(names)}", f"write {same}" if same else "")


def _check_bare(path: KeyPath, value: Any, kind: str) -> Iterator[Mistake]:
    """A scalar that the template writes without quotes: text of digits is a number then."""
    if isinstance(value, Mapping | list):
        yield Mistake(path, "must be a single value, not a list or a map")
    elif kind == "text":
        if not isinstance(value, str):
            yield Mistake(path, *SCALARS["text"])
        elif value and not is_plain_text(value):
            yield Mistake(path, "must not look like a number or a boolean: the chart does not quote it")
    else:
        yield from check_kind(path, plain(value) if isinstance(value, str) else value, kind)


def _check_list(path: KeyPath, value: Any, kind: str) -> Iterator[Mistake]:
    if not isinstance(value, list):
        yield Mistake(path, "must be a list")
        return
    for number, item in enumerate(value):
        yield from check_kind((*path, str(number)), item, kind)
    for keys in _UNIQUE.get(kind, ()):
        yield from _check_unique(path, value, keys)
    if kind.startswith("enum") and len(set(map(str, value))) < len(value):
        yield Mistake(path, "lists a value twice", "remove one of the two")
    if kind == "ServicePort" and len(value) > 1:
        yield from (
            Mistake((*path, str(number)), "needs a name: the Service has several ports")
            for number, item in enumerate(value)
            if isinstance(item, Mapping) and not item.get("name")
        )


def _check_unique(path: KeyPath, items: list[Any], keys: tuple[str, ...]) -> Iterator[Mistake]:
    seen: dict[tuple[Any, ...], int] = {}
    for number, item in enumerate(items):
        if not isinstance(item, Mapping) or not item.get(keys[0]):
            continue
        shared = tuple(str(item.get(key) or _DEFAULTS.get(key)) for key in keys)
        if shared in seen:
            text = f"has the same {' and '.join(keys)} as item {seen[shared]}"
            yield Mistake((*path, str(number), keys[0]), text, "each item needs its own")
        seen.setdefault(shared, number)


def _check_message(path: KeyPath, value: Mapping[str, Any], message: str) -> Iterator[Mistake]:
    known = field_kinds(message)
    for key, item in value.items():
        if key in known and not (item == "" and known[key] in _EMPTY_IS_ABSENT):
            yield from check_kind((*path, key), item, known[key])
    for key in _REQUIRED.get(message, ()):
        if value.get(key) in (None, ""):
            yield Mistake(path, f"needs {key}")
    for key, other, allowed in _ONLY_BESIDE.get(message, ()):
        if value.get(key) not in (None, "", []) and (value.get(other) or "") not in allowed:
            named = " or ".join(name for name in allowed if name)
            yield Mistake((*path, key), f"is allowed only beside {other} {named}")
    if message in _EXCLUSIVE and all(value.get(key) not in (None, "", {}) for key in _EXCLUSIVE[message]):
        first, second = _EXCLUSIVE[message]
        yield Mistake((*path, second), f"is not allowed beside {first}", "remove one of the two")
    if message == "Toleration" and not value.get("key") and value.get("operator") != "Exists":
        yield Mistake(path, "needs a key, or operator Exists for every key")
    if message == "ResourceRequirements":
        yield from _check_requests(path, value)


def _check_requests(path: KeyPath, value: Mapping[str, Any]) -> Iterator[Mistake]:
    """A request above its limit; the charts leave out what is empty."""
    requests, limits = value.get("requests"), value.get("limits")
    if not isinstance(requests, Mapping) or not isinstance(limits, Mapping):
        return
    for name, asked in requests.items():
        least, most = quantity(asked), quantity(limits.get(name))
        if asked and limits.get(name) and least is not None and most is not None and least > most:
            limit = (*path, "limits", name)
            yield Mistake((*path, "requests", name), f"({asked}) is larger than {'.'.join(limit)} ({limits[name]})", beside=limit)


@cache
def field_kinds(message: str) -> Mapping[str, str]:
    """The kind of each field of a message; raises KeyError for one that is not listed."""
    from meshinstall.config.kube_fields import FIELDS

    pairs = (field.partition(":") for field in FIELDS[message].split())
    return {name: _NARROWER.get(f"{message}.{name}", kind) for name, _, kind in pairs}
