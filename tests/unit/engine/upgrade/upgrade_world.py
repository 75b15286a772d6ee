"""A mesh of Istio 1.30.4 in the fake cluster, of which a plan of an upgrade reads everything."""

from typing import Any

from meshinstall.model.release import ReleaseKey
from tests.fake_kube import vouch
from tests.fakes import World, record

BASE = ReleaseKey("istio-system", "istio-base")


def put(there: World, path: str, **item: Any) -> None:
    """An object at a path of the API, with name and namespace of it."""
    parts = path.split("/")
    space = {"namespace": parts[parts.index("namespaces") + 1]} if "namespaces" in parts[:-2] else {}
    there.kube.objects[path] = {**item, "metadata": {"name": parts[-1], **space, **item.get("metadata", {})}}


def istiod(there: World, name: str = "istiod", revision: str = "default", tag: str = "1.30.4", **env: str) -> None:
    """A control plane with its injector."""
    labels = {"app": "istiod", "istio.io/rev": revision}
    variables = [{"name": key, "value": value} for key, value in env.items()]
    container = {"name": "discovery", "image": f"docker.io/istio/pilot:{tag}", "env": variables}
    metadata = {
        "name": name,
        "namespace": "istio-system",
        "labels": labels,
        "annotations": {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": "istio-system"},
    }
    spec = {"template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    there.kube.put(made)
    vouch(there.kube, made)


def deployment(there: World, namespace: str, name: str, *, template: dict[str, Any] | None = None, **spec: Any) -> None:
    """A Deployment of somebody."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    put(there, path, spec={"replicas": 1, "template": {"metadata": template or {}, "spec": {}}, **spec})


def pod(there: World, namespace: str, name: str, *, owner: tuple[str, str] | None = None, tag: str = "1.30.4", **more: Any) -> None:
    """A pod with a sidecar; ``owner`` is the kind and name of what made it, a Deployment through its ReplicaSet."""
    kind, of = owner or ("", "")
    metadata: dict[str, Any] = {"labels": {}, **more}
    if kind == "Deployment":
        metadata["labels"] = {"pod-template-hash": "h1", **metadata["labels"]}
        kind, of = "ReplicaSet", f"{of}-h1"
    if kind:
        metadata["ownerReferences"] = [{"kind": kind, "name": of, "controller": True}]
    proxy = {"name": "istio-proxy", "image": f"docker.io/istio/proxyv2:{tag}", "args": ["proxy", "sidecar"]}
    put(there, f"/api/v1/namespaces/{namespace}/pods/{name}", metadata=metadata, spec={"containers": [proxy]}, status={"phase": "Running"})


def namespace(there: World, name: str, **labels: str) -> None:
    """A namespace; a dot in a label's name is written as two underscores, a slash as three."""
    named = {key.replace("___", "/").replace("__", ".").replace("_", "-"): value for key, value in labels.items()}
    put(there, f"/api/v1/namespaces/{name}", metadata={"labels": named})


def served(there: World, version: str, **kinds: str) -> None:
    """What a version of an API serves: kinds by their plurals."""
    resources = [{"name": plural, "kind": kind} for plural, kind in kinds.items()]
    there.kube.objects[f"/apis/{version}"] = {"metadata": {"name": version}, "resources": resources}


def world() -> World:
    """One istiod without a revision, its CRDs, and a namespace with one workload."""
    there = World()
    there.kube.objects["/version"] = {"metadata": {"name": "version"}, "gitVersion": "v1.36.3"}
    istiod(there)
    there.releases.records[BASE] = record(BASE, "base", "1.30.4")
    namespace(there, "shop", istio_injection="enabled")
    deployment(there, "shop", "web")
    pod(there, "shop", "web-1", owner=("Deployment", "web"))
    return there
