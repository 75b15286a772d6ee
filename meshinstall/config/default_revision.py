"""Closes the validating webhook of chart base where the istiod that it leads to is one of this mesh; pure."""

from collections.abc import Mapping
from dataclasses import replace

from meshinstall.config import bundled
from meshinstall.model.release import Component
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import KeyPath, Layer, LayerKind, value_at

_DEFAULT = "default"
# With these values of istiod's there may be no istiod of its own (istio: charts/istio-control/istio-discovery/templates).
_WITHOUT_ISTIOD: tuple[KeyPath, ...] = (("profile",), ("istiodRemote", "enabled"), ("global", "resourceScope"), ("global", "profile"))


def with_failure_policy(stacks: Mapping[str, ValuesStack]) -> dict[str, ValuesStack]:
    """Add ``base.validationFailurePolicy: Fail`` to base, under all that is written, where its default revision is that of istiod.

    istiod sets Fail at run time; so what helm renders is what runs. With an istiod of another revision nobody would answer that
    webhook, and the API server would refuse every Istio object (istio: base chart, defaultrevision-validatingwebhookconfiguration).
    """
    base, istiod = stacks.get(Component.BASE), stacks.get(Component.ISTIOD)
    if base is None or istiod is None:
        return dict(stacks)
    values, wanted = istiod.merged(), base.merged()
    leads_to, runs = wanted.get("defaultRevision", _DEFAULT), values.get("revision") or ""
    # An istiod without a revision is that of the revision default; one that is called so has another Service.
    answers = runs == ("" if leads_to == _DEFAULT else leads_to) and not any(value_at(values, path) for path in _WITHOUT_ISTIOD)
    if not leads_to or not answers or value_at(wanted, ("base", "validationURL")):
        return dict(stacks)
    closed = Layer(LayerKind.COMPONENT, f"{bundled.LABEL} base", {"base": {"validationFailurePolicy": "Fail"}})
    return {**stacks, Component.BASE: replace(base, layers=(closed, *base.layers))}
