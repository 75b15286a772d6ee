"""Checks whether something in an EKS cluster makes the load balancers that the gateways ask for."""

from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.model.cluster import CloudCluster
from meshinstall.model.desired import Desired, Release
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.release import Component

# EKS Auto Mode's own controller; its class is the cluster's default (docs.aws.amazon.com: Use Service annotations to configure NLBs).
_AUTO_MODE_CLASS = "eks.amazonaws.com/nlb"
# What the AWS Load Balancer Controller takes: its class, and these types in the annotation.
_CONTROLLER_CLASS = "service.k8s.aws/nlb"
_TYPE = "service.beta.kubernetes.io/aws-load-balancer-type"
_CONTROLLER_TYPES = frozenset({"external", "nlb-ip"})
_INSTALL = "https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/deploy/installation/"


def load_balancers(cluster: CloudCluster, desired: Desired) -> Iterator[Finding]:
    """Findings on gateways whose Service would stay pending."""
    for release in desired.releases:
        service = release.values.merged().get("service") or {}
        if release.component is not Component.GATEWAY or not isinstance(service, Mapping):
            continue
        if service.get("type", "LoadBalancer") == "LoadBalancer":
            yield from _auto_mode(cluster, release, service) if _is_auto(cluster) else _controller(cluster, release, service)


def _is_auto(cluster: CloudCluster) -> bool:
    return bool((cluster.details.get("computeConfig") or {}).get("enabled"))


def _auto_mode(cluster: CloudCluster, release: Release, service: Mapping[str, Any]) -> Iterator[Finding]:
    asked = service.get("loadBalancerClass")
    balancing = (cluster.details.get("kubernetesNetworkConfig") or {}).get("elasticLoadBalancing") or {}
    is_off = balancing.get("enabled") is False
    # Auto Mode sets its class where there is none.
    if (asked in {None, "", _AUTO_MODE_CLASS} and not is_off) or (asked != _AUTO_MODE_CLASS and _is_there(cluster)):
        return
    if is_off:
        title = "the load balancing of EKS Auto Mode is switched off in this cluster"
        hint = f"install the AWS Load Balancer Controller ({_INSTALL}), or switch it on: aws eks update-cluster-config"
    else:
        title = f"nothing in the cluster makes load balancers of class {asked}, which {release.key} asks for"
        hint = f"--set {release.key.name}.service.loadBalancerClass={_AUTO_MODE_CLASS}, or leave the class out: it is Auto Mode's default"
    yield Finding("EKS011", Severity.WARNING, title, f"the Service of {release.key} stays pending and gets no address", hint=hint)


def _controller(cluster: CloudCluster, release: Release, service: Mapping[str, Any]) -> Iterator[Finding]:
    found = cluster.details.get("loadBalancerController")
    annotations = service.get("annotations")
    kind = annotations.get(_TYPE) if isinstance(annotations, Mapping) else None
    asks = service.get("loadBalancerClass") == _CONTROLLER_CLASS or (not service.get("loadBalancerClass") and kind in _CONTROLLER_TYPES)
    if found is None or not asks or _is_there(cluster):
        return
    detail = f"only it makes what {release.key} asks for: the Service stays pending and the gateway gets no address"
    if stopped := sorted(found["deployments"]):
        title = f"the AWS Load Balancer Controller ({', '.join(stopped)}) has no available pod"
        namespace, _, name = stopped[0].partition("/")
        hint = f"kubectl -n {namespace} describe deployment {name}, and its log: kubectl -n {namespace} logs deployment/{name}"
    else:
        title = "the AWS Load Balancer Controller is not in the cluster"
        detail += "; its CRD is left from an earlier installation" if found["crd"] else ""
        hint = f"install it first: {_INSTALL}"
    yield Finding("EKS018", Severity.WARNING, title, detail, hint=hint)


def _is_there(cluster: CloudCluster) -> bool:
    """Whether it runs; without a Deployment that carries its label, its webhook or IngressClass is a sign of it, its CRD is not."""
    found = cluster.details.get("loadBalancerController") or {}
    if found.get("deployments"):
        return any(found["deployments"].values())
    return bool(found.get("classes") or found.get("webhooks"))
