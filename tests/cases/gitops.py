"""Sites as they are rendered, made of plain objects, for tests of files for GitOps."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from meshinstall.gitops.terms import Item, RenderedRelease, RenderedSite, Step
from meshinstall.model.cluster_ref import Cloud, ClusterRef
from meshinstall.model.desired import Desired, DesiredNamespace
from meshinstall.model.facts import ObjectKey, key_of
from meshinstall.model.release import ChartRef, ReleaseKey

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
MANIFEST = f"sha256:{'fedcba9876543210' * 4}"


def config_map(name: str, data: Any, namespace: str = "istio-system") -> dict[str, Any]:
    """An object with anything in it."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def item(manifest: dict[str, Any], step: Step = Step.CONTROL_PLANE) -> Item:
    """An object of a step."""
    return Item(step, key_of(manifest), manifest)


def crd(name: str, text: str) -> Item:
    """A CRD as a chart has it."""
    return Item(Step.CRDS, ObjectKey("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name), text=text)


def site(environment: str, items: Iterable[Item], cloud: Cloud = Cloud.EKS, releases: Iterable[RenderedRelease] = ()) -> RenderedSite:
    """A site with these objects."""
    desired = Desired(
        environment=environment,
        cloud=cloud,
        cluster=ClusterRef(cloud),
        profile="default",
        istio_version="1.31.0",
        mesh_namespace="istio-system",
        namespaces=(DesiredNamespace("istio-system"), DesiredNamespace("istio-ingress")),
        releases=(),
        policies=(),
    )
    return RenderedSite(desired, tuple(releases), tuple(items))


def release(name: str, namespace: str = "istio-system", needs: Iterable[ReleaseKey] = (), **values: Any) -> RenderedRelease:
    """A release of the control plane, of a pinned chart of its own name."""
    chart = ChartRef(name, "1.31.0", "oci://ghcr.io/istio/release/charts", DIGEST)
    return RenderedRelease(ReleaseKey(namespace, name), Step.CONTROL_PLANE, chart, values, tuple(needs), MANIFEST)


def of_chart(one: RenderedRelease, name: str = "", source: str = "") -> RenderedRelease:
    """The same of another chart, or from elsewhere."""
    return replace(one, chart=replace(one.chart, name=name or one.chart.name, source=source or one.chart.source))


def mesh(environment: str) -> RenderedSite:
    """A site with something in each step."""
    base = of_chart(release("istio-base"), "base")
    istiod = release("istiod", needs=[base.key], autoscaleMax=8)
    ingress = of_chart(replace(release("istio-ingress", "istio-ingress", [istiod.key]), step=Step.GATEWAYS), "gateway")
    items = [
        *(item(_object("v1", "Namespace", name), Step.NAMESPACES) for name in ("istio-system", "istio-ingress")),
        crd("gateways.networking.istio.io", "kind: CustomResourceDefinition\n"),
        item(config_map("istio", {"mesh": "x"})),
        item(_object("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "istio-revision-tag-default"), Step.TAGS),
        item(_object("apps/v1", "Deployment", "istio-ingress", "istio-ingress"), Step.GATEWAYS),
        item(_object("security.istio.io/v1", "AuthorizationPolicy", "web", "shop"), Step.POLICIES),
    ]
    return site(environment, items, releases=[base, istiod, ingress])


def _object(api_version: str, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **({"namespace": namespace} if namespace else {})}}
