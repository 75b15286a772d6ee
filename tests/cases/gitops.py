"""Sites as they are rendered, made of plain objects, for tests of files for GitOps."""

from collections.abc import Iterable
from typing import Any

from meshinstall.gitops.terms import Item, RenderedRelease, RenderedSite, Step
from meshinstall.model.cluster_ref import Cloud, ClusterRef
from meshinstall.model.desired import Desired, DesiredNamespace
from meshinstall.model.facts import ObjectKey, key_of
from meshinstall.model.release import ChartRef, ReleaseKey

DIGEST = f"sha256:{'0123456789abcdef' * 4}"


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


def release(name: str, namespace: str = "istio-system", *, step: Step = Step.CONTROL_PLANE, **values: Any) -> RenderedRelease:
    """A release of a chart of its name."""
    chart = ChartRef(name, "1.31.0", "oci://ghcr.io/istio/release/charts", DIGEST)
    return RenderedRelease(ReleaseKey(namespace, name), step, chart, values)
