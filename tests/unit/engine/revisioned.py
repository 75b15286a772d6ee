"""A mesh with revisions in a cluster in memory: what its charts bring, and what the chart of istiod makes of tags."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from meshinstall.model.desired import Desired, Release
from meshinstall.model.release import Component, ReleaseKey
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import Layer, LayerKind
from tests.cases import plans
from tests.fakes import World
from tests.unit.engine import installed

REVISION = "1-31"
ISTIOD = ReleaseKey("istio-system", "istiod-1-31")
BUNDLE = "cm9vdA=="
_ADMISSION = "admissionregistration.k8s.io/v1"


def desired(*tags: str, revision: str = REVISION, version: str = "1.31.0") -> Desired:
    """The mesh of mesh.yaml with a revision, and these tags beside ``default``."""
    found = plans.load("fresh").desired
    releases = tuple(_release(release, revision, version) for release in found.releases)
    return replace(
        found, releases=releases, istio_version=version, revision=revision, tags=("default", *tags), revision_origin="meshinstall.yaml:3"
    )


def world(revision: str = REVISION) -> World:
    """An empty cluster for it."""
    there = installed.world()
    key = ReleaseKey("istio-system", f"istiod-{revision}")
    there.helm.brings[key] = (deployment(revision), injector(revision))
    there.helm.renders[key] = lambda values: (*there.helm.brings[key], *tags(values))
    return there


def deployment(revision: str, image: str = "istio/pilot:1.31.0", name: str = "") -> dict[str, Any]:
    """An istiod of a revision."""
    name = name or f"istiod-{revision}"
    labels = {"app": "istiod", "istio.io/rev": revision}
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "discovery", "image": image}]}},
    }
    metadata = {"name": name, "namespace": "istio-system", "labels": labels}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def injector(revision: str) -> dict[str, Any]:
    """Its webhook configuration, into which istiod has written its CA."""
    hook = webhook("rev.namespace.", revision, {"key": "istio.io/rev", "operator": "In", "values": [revision]})
    hook["clientConfig"]["caBundle"] = BUNDLE
    metadata = {"name": f"istio-sidecar-injector-{revision}", "labels": {"istio.io/rev": revision}}
    return {"apiVersion": _ADMISSION, "kind": "MutatingWebhookConfiguration", "metadata": metadata, "webhooks": [hook]}


def webhook(prefix: str, revision: str, *asked: Mapping[str, Any]) -> dict[str, Any]:
    """One webhook that calls the istiod of a revision."""
    service = {"name": f"istiod-{revision}" if revision else "istiod", "namespace": "istio-system", "path": "/inject", "port": 443}
    return {
        "name": f"{prefix}sidecar-injector.istio.io",
        "clientConfig": {"service": service},
        "namespaceSelector": {"matchExpressions": [dict(one) for one in asked]},
        "failurePolicy": "Fail",
    }


def tags(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What the chart makes of ``revisionTags``."""
    for tag in values.get("revisionTags") or ():
        yield from tag_objects(tag, values["revision"])


def tag_objects(tag: str, revision: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The webhooks and the Service of a tag."""
    labels = {"istio.io/rev": revision, "istio.io/tag": tag, "app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/part-of": "istio"}
    hooks = [webhook("rev.namespace.", revision, {"key": "istio.io/rev", "operator": "In", "values": [tag]})]
    if tag == "default":
        hooks.append(webhook("namespace.", revision, {"key": "istio-injection", "operator": "In", "values": ["enabled"]}))
    spec = {"ports": [{"name": "https-webhook", "port": 443, "targetPort": 15017}], "selector": {"app": "istiod", "istio.io/rev": revision}}
    return (
        {
            "apiVersion": _ADMISSION,
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": f"istio-revision-tag-{tag}", "labels": labels},
            "webhooks": hooks,
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"istiod-revision-tag-{tag}", "namespace": "istio-system", "labels": labels},
            "spec": spec,
        },
    )


def _release(release: Release, revision: str, version: str) -> Release:
    chart = replace(release.chart, version=version, digest="")
    if release.component is Component.BASE:
        return replace(release, chart=chart, values=_with(release.values, "defaultRevision", revision))
    values = _with(release.values, "revision", revision)
    if release.component is Component.ISTIOD:
        return replace(release, key=ReleaseKey("istio-system", f"istiod-{revision}"), chart=chart, values=values)
    return replace(release, chart=chart, values=values, needs=(ReleaseKey("istio-system", f"istiod-{revision}"),))


def _with(stack: ValuesStack, key: str, revision: str) -> ValuesStack:
    layer = Layer(LayerKind.PROJECT, "meshinstall.yaml", {key: revision}, {(key,): (3, 9)})
    return replace(stack, layers=(*stack.layers, layer))
