"""Tells which namespaces an istiod watches: it sees the objects of these alone.

The rule is that of meshConfig.discoverySelectors (istio: pkg/kube/namespace/filter.go): one selector suffices, and the root namespace is
no exception.
"""

from collections.abc import Sequence

from meshinstall.checks.words import word
from meshinstall.model.mesh import ControlPlane, MeshFacts
from meshinstall.model.selectors import selects

_WITH_A_LABEL = frozenset({"In", "Exists"})


def watches(plane: ControlPlane | None, namespace: str, facts: MeshFacts) -> bool | None:
    """Whether an istiod watches a namespace; None where that is unknown."""
    if plane is None or plane.discovery == ():
        return True
    space = facts.namespaces.get(namespace)
    if plane.discovery is None or space is None:
        return None
    return any(selects(selector, space.labels) for selector in plane.discovery)


def watch_fix(planes: Sequence[ControlPlane], namespace: str) -> str:
    """A command that lets one of some istiods, which do not, watch a namespace."""
    for selector in (selector for plane in planes for selector in plane.discovery or ()):
        if all(rule.operator in _WITH_A_LABEL for rule in selector):
            pairs = " ".join(word(f"{rule.key}={rule.values[0] if rule.values else ''}") for rule in selector)
            return f"kubectl label namespace {word(namespace)} --overwrite {pairs}  # istiod then sees all objects in it; read them first"
    # istio: pilot/pkg/bootstrap/configcontroller.go.
    name = "istio" if planes[0].revision == "default" else f"istio-{planes[0].revision}"
    return f"kubectl edit configmap {word(name)} -n {word(planes[0].place.namespace)}  # discoverySelectors: select {word(namespace)}"
