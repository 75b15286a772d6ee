"""Closes the validating webhook of chart base where the istiod that it leads to is one of this mesh; pure."""

from collections.abc import Mapping
from dataclasses import replace

from meshinstall.config import bundled
from meshinstall.model.release import Component
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import Layer, LayerKind

_DEFAULT = "default"


def with_failure_policy(stacks: Mapping[str, ValuesStack]) -> dict[str, ValuesStack]:
    """Add ``base.validationFailurePolicy: Fail`` to base, under all that is written, where its default revision is that of istiod.

    istiod sets Fail at run time; so what helm renders is what runs. With an istiod of another revision nobody would answer that
    webhook, and the API server would refuse every Istio object (istio: base chart, defaultrevision-validatingwebhookconfiguration).
    """
    base, istiod = stacks.get(Component.BASE), stacks.get(Component.ISTIOD)
    if base is None or istiod is None:
        return dict(stacks)
    leads_to, runs = base.merged().get("defaultRevision", _DEFAULT), istiod.merged().get("revision") or _DEFAULT
    if leads_to != runs:
        return dict(stacks)
    closed = Layer(LayerKind.COMPONENT, f"{bundled.LABEL} base", {"base": {"validationFailurePolicy": "Fail"}})
    return {**stacks, Component.BASE: replace(base, layers=(closed, *base.layers))}
