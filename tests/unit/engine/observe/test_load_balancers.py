"""What is found of the AWS Load Balancer Controller in an EKS cluster, and what is not looked for elsewhere."""

from dataclasses import replace

import anyio
import pytest

from meshinstall.engine.observe.load_balancers import with_controller
from meshinstall.errors import ForbiddenError, UnreachableError
from meshinstall.model.cluster import Cloud, CloudCluster, Unread
from tests.fake_kube import FakeKube

SHOP = CloudCluster(Cloud.EKS, "shop", "eu-west-1", "1.36", "ACTIVE", ready=True, endpoint=None)
NAME = "aws-load-balancer-controller"
DEPLOYMENT = {
    "metadata": {"name": NAME, "namespace": "kube-system", "labels": {"app.kubernetes.io/name": NAME}},
    "status": {"availableReplicas": 2},
}
CLASS = {"metadata": {"name": "alb"}, "spec": {"controller": "ingress.k8s.aws/alb"}}
OTHER_CLASS = {"metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}}
WEBHOOK = {"metadata": {"name": "aws-load-balancer-webhook"}, "webhooks": [{"name": "mservice.elbv2.k8s.aws"}]}
ISTIO = {"metadata": {"name": "istio-sidecar-injector"}, "webhooks": [{"name": "rev.namespace.sidecar-injector.istio.io"}]}
DEPLOYMENTS = "/apis/apps/v1/deployments"
CLASSES = "/apis/networking.k8s.io/v1/ingressclasses"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def looked(kube: FakeKube, cluster: CloudCluster = SHOP) -> CloudCluster:
    return anyio.run(with_controller, cluster, kube)


def test_everything_of_the_controller_is_found() -> None:
    kube = FakeKube()
    kube.objects = {
        f"/apis/apps/v1/namespaces/kube-system/deployments/{NAME}": DEPLOYMENT,
        f"{CLASSES}/alb": CLASS,
        f"{CLASSES}/nginx": OTHER_CLASS,
        f"{WEBHOOKS}/aws-load-balancer-webhook": WEBHOOK,
        f"{WEBHOOKS}/istio-sidecar-injector": ISTIO,
        f"{CRDS}/targetgroupbindings.elbv2.k8s.aws": {"metadata": {"name": "targetgroupbindings.elbv2.k8s.aws"}},
    }
    assert looked(kube).details["loadBalancerController"] == {
        "deployments": {f"kube-system/{NAME}": 2},
        "classes": ["alb"],
        "webhooks": ["aws-load-balancer-webhook"],
        "crd": True,
    }


def test_an_empty_cluster_has_none_of_it() -> None:
    nothing = {"deployments": {}, "classes": [], "webhooks": [], "crd": False}
    assert looked(FakeKube()).details["loadBalancerController"] == nothing


def test_what_may_not_be_read_is_noted() -> None:
    kube = FakeKube()
    kube.refusals[f"LIST {DEPLOYMENTS}"] = ForbiddenError("deployments may not be listed")
    found = looked(kube)
    assert found.unread["loadBalancerController"] == Unread(why="deployments may not be listed")
    assert "loadBalancerController" not in found.details


def test_a_silent_api_server_is_an_error_as_everywhere() -> None:
    kube = FakeKube()
    kube.refusals[f"LIST {DEPLOYMENTS}"] = UnreachableError("silent")
    with pytest.raises(UnreachableError):
        looked(kube)


@pytest.mark.parametrize("cloud", [Cloud.AKS, Cloud.GKE])
def test_other_clouds_are_not_asked(cloud: Cloud) -> None:
    cluster = replace(SHOP, cloud=cloud)
    assert looked(FakeKube(), cluster) is cluster
