"""A cluster for the mesh of tests/cases/plan/mesh.yaml: what its charts bring, and an istiod whose webhooks answer."""

from typing import Any

from meshinstall.errors import ClusterError
from meshinstall.model.facts import key_of
from meshinstall.model.paths import path_of
from meshinstall.model.release import Manifest, ReleaseKey
from tests.cases import plans
from tests.fakes import World

BASE, ISTIOD = (ReleaseKey("istio-system", name) for name in ("istio-base", "istiod"))
PUBLIC, PARTNERS = (ReleaseKey("istio-ingress", name) for name in ("public", "partners"))
POLICY = plans.make({}).desired.policies[0].manifest
POLICY_KEY = key_of(POLICY)
POLICY_PATH = path_of(POLICY_KEY)
GATEWAYS = "/apis/networking.istio.io/v1/namespaces/istio-system/gateways"
REPLICAS = "/apis/apps/v1/namespaces/istio-ingress/replicasets"
REVISION = "deployment.kubernetes.io/revision"
# Labels of a pod of the newest template of the gateway public.
NEWEST = {"app": "public", "pod-template-hash": "t2"}
PODS = "/api/v1/namespaces/istio-system/pods"


def world(*, webhooks: bool = True) -> World:
    """An empty cluster, where charts bring ready objects."""
    there = World()
    there.kube.objects["/version"] = {"metadata": {}, "gitVersion": "v1.35.0"}
    status = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": "8", "memory": "32Gi"}}
    there.kube.objects["/api/v1/nodes/one"] = {"metadata": {"name": "one"}, "spec": {}, "status": status}
    there.kube.answers[GATEWAYS] = _rejected if webhooks else _taken
    there.kube.answers[PODS] = _injected
    there.helm.brings = {
        BASE: (crd("gateways.networking.istio.io"),),
        ISTIOD: plans.make({}).facts.owned[ISTIOD],
        PUBLIC: (gateway("public"),),
        PARTNERS: (gateway("partners"),),
    }
    return there


def gateway(name: str, *, broken: bool = False) -> dict[str, Any]:
    """A gateway's Deployment; a broken one never gets a ready pod."""
    spec = {"selector": {"matchLabels": {"app": name}}}
    # The fake makes as many pods available as `replicas` says, so a broken one carries a status of its own.
    status = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 0}
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "istio-ingress"}, "spec": spec}
    return made | ({"status": status} if broken else {})


def replicas(there: World, revision: int, **status: Any) -> None:
    """The ReplicaSet of one template of the gateway public; its pods carry the label ``t<revision>``."""
    metadata = {
        "name": f"public-t{revision}",
        "namespace": "istio-ingress",
        "labels": {"app": "public", "pod-template-hash": f"t{revision}"},
        "annotations": {REVISION: str(revision)},
    }
    there.kube.objects[f"{REPLICAS}/public-t{revision}"] = {"metadata": metadata, "status": status}


def broken_gateway(there: World) -> tuple[Manifest, ...]:
    """The gateway public, which never gets a ready pod: two templates, of which only the newest counts."""
    replicas(there, 1)
    replicas(there, 2)
    made = gateway("public", broken=True)
    made["metadata"]["annotations"] = {REVISION: "2"}
    return (made,)


def crd(name: str) -> dict[str, Any]:
    """A CRD of the base chart."""
    metadata = {"name": name, "annotations": {"meta.helm.sh/release-name": "istio-base"}}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata, "spec": {}}


def _rejected(_: Manifest) -> Manifest:
    raise ClusterError('admission webhook "rev.validation.istio.io" denied the request: gateway must have at least one server')


def _taken(asked: Manifest) -> Manifest:
    return asked


def _injected(pod: Manifest) -> Manifest:
    return {**pod, "spec": {"containers": [*pod["spec"]["containers"], {"name": "istio-proxy"}]}}
