"""Writes meshinstall/config/kube_fields.py: names and types of the fields that people write into a chart's values for Kubernetes itself.

Source: the models of the Kubernetes client for Python. Run it after the client's pin moved: python scripts/kube_fields.py.
"""

import re
from importlib import metadata
from pathlib import Path

from kubernetes.client import models

FILE = Path(__file__).resolve().parents[1] / "meshinstall/config/kube_fields.py"
HEAD = '''"""Fields of the Kubernetes objects that charts copy from values, as NAME:TYPE; scripts/kube_fields.py writes this file.

Types: text, bool, int, float and any; quantity; number-or-text; list(T) and map(T); a message by its name. config/kube_kinds.py says more
about some of them. From kubernetes {version} for Python.
"""

# ruff: noqa: E501

from collections.abc import Mapping

FIELDS: Mapping[str, str] = {{
'''
# What values hold: parts of pods and of what runs them.
STARTS = (
    "V1Affinity",
    "V1Container",
    "V1DaemonSetUpdateStrategy",
    "V1DeploymentStrategy",
    "V1EnvVar",
    "V1LabelSelector",
    "V1Lifecycle",
    "V1LocalObjectReference",
    "V1PodDNSConfig",
    "V1PodDisruptionBudgetSpec",
    "V1PodSecurityContext",
    "V1Probe",
    "V1ResourceRequirements",
    "V1SELinuxOptions",
    "V1SeccompProfile",
    "V1SecurityContext",
    "V1ServicePort",
    "V1Toleration",
    "V1TopologySpreadConstraint",
    "V1Volume",
    "V1VolumeMount",
    "V2HorizontalPodAutoscalerBehavior",
)
SCALARS = {"str": "text", "bool": "bool", "int": "int", "float": "float", "object": "number-or-text", "datetime": "text", "bytes": "text"}
# The client has them as text.
QUANTITIES = {
    ("V1EmptyDirVolumeSource", "sizeLimit"): "quantity",
    ("V1ResourceFieldSelector", "divisor"): "quantity",
    ("V1ResourceRequirements", "limits"): "map(quantity)",
    ("V1ResourceRequirements", "requests"): "map(quantity)",
    ("V1VolumeResourceRequirements", "limits"): "map(quantity)",
    ("V1VolumeResourceRequirements", "requests"): "map(quantity)",
}
# Objects inside of objects that nobody writes into values; their fields are not followed.
ANY = {"V1ManagedFieldsEntry", "V1OwnerReference"}
# Objects of IntOrString are the client's "object"; these are not.
LOOSE = {("V2HPAScalingRules", "tolerance"): "quantity"}


def plain(kind: str, waiting: list[str]) -> str:
    """The type in our words; messages that it names are added to ``waiting``."""
    if nested := re.fullmatch(r"[Ll]ist\[(.+)\]", kind):
        return f"list({plain(nested[1], waiting)})"
    if nested := re.fullmatch(r"[Dd]ict[\[(]str, (.+)[\])]", kind):
        return f"map({plain(nested[1], waiting)})"
    if kind in SCALARS:
        return SCALARS[kind]
    if kind in ANY:
        return "any"
    waiting.append(kind)
    return short(kind)


def short(model: str) -> str:
    """The name without its version."""
    return re.sub(r"^(Core)?V\d", "", model)


def main() -> None:
    """Write the file."""
    waiting, found = list(STARTS), {}
    while waiting:
        model = waiting.pop()
        if short(model) in found:
            continue
        kinds, names = getattr(models, model).openapi_types, getattr(models, model).attribute_map
        overrides = {**QUANTITIES, **LOOSE}
        rows = {names[key]: overrides.get((model, names[key])) or plain(kind, waiting) for key, kind in kinds.items()}
        found[short(model)] = " ".join(f"{name}:{kind}" for name, kind in sorted(rows.items()))
    lines = "".join(f'    "{name}": "{fields}",\n' for name, fields in sorted(found.items()))
    FILE.write_text(HEAD.format(version=metadata.version("kubernetes")) + lines + "}\n")


if __name__ == "__main__":
    main()
