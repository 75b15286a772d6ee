"""What is found wrong with a GKE cluster before anything is installed; each finding says what mends it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from meshinstall.checks.clouds.gke import judge
from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.model.cluster import Cloud, CloudCluster, Endpoint, EndpointKind, Unread
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.request import Request

NODES = ({"metadata": {"name": "a", "labels": {"kubernetes.io/os": "linux"}}},)
WINDOWS = (*NODES, {"metadata": {"name": "b", "labels": {"kubernetes.io/os": "windows"}}})
PRIVATE = {"enablePrivateNodes": True, "masterIpv4CidrBlock": "172.16.0.0/28"}
NETWORK = {"network": "projects/host/global/networks/shared"}
POOL = {"name": "default", "status": "RUNNING", "version": "1.36.3-gke.1", "imageType": "COS_CONTAINERD", "tags": ["web"]}
OPEN = {
    "name": "webhook",
    "direction": "INGRESS",
    "sourceRanges": ["172.16.0.0/12"],
    "targetTags": ["web"],
    "allowed": [{"IPProtocol": "tcp", "ports": ["443", "15000-15100"]}],
}
OFF = {"httpLoadBalancing": {"disabled": True}}
CLASS = "istio-ingress.service.loadBalancerClass"
EXTERNAL, INTERNAL = "networking.gke.io/l4-regional-external", "networking.gke.io/l4-regional-internal"
INSIDE = r"istio-ingress.service.annotations.networking\.gke\.io/load-balancer-type=Internal"
NO_NOTE = r"istio-ingress.service.annotations.cloud\.google\.com/l4-rbs=null"
FLEET = {"membership": "//gkehub.googleapis.com/projects/1/locations/global/memberships/shop"}


def desired(profile: str = "default", sets: Sequence[str] = ()) -> Desired:
    folder = Path("/nonexistent")
    request = Request(environment="dev", cloud=Cloud.GKE, profile=profile, sets=tuple(sets), folder=folder)
    return resolve(request, load_project(None, {}, folder))


def found(
    *, status: str = "RUNNING", kind: EndpointKind = EndpointKind.DNS, nodes: Any = NODES, profile: str = "default", **details: Any
) -> tuple[Finding, ...]:
    unread, sets, version = details.pop("unread", {}), details.pop("sets", ()), details.pop("version", "1.36.3-gke.1")
    cluster = CloudCluster(
        cloud=Cloud.GKE,
        name="shop",
        location="europe-west1",
        version=version,
        status=status,
        ready=status in {"RUNNING", "RECONCILING", "DEGRADED"},
        endpoint=Endpoint("https://shop", None, kind),
        details={"project": "prod", "nodePools": [POOL], **details},
        unread=unread,
    )
    return judge(cluster, nodes, desired(profile, sets))


def said(**case: Any) -> list[str]:
    return [f"{finding.code} {finding.severity}" for finding in found(**case)]


CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"status": "ERROR", "statusMessage": "no quota"}, ["GKE001 error"]),
    ({"status": "STOPPING"}, ["GKE001 error"]),
    ({"status": "PROVISIONING"}, ["GKE001 error"]),
    ({"status": "RECONCILING"}, ["GKE002 warning"]),
    ({"status": "DEGRADED", "conditions": [{"canonicalCode": "UNAVAILABLE", "message": "nodes"}]}, ["GKE002 warning", "GKE003 warning"]),
    ({"conditions": [{"code": "CA_EXPIRING"}]}, ["GKE003 warning"]),
    ({"nodePools": [POOL, {**POOL, "status": "ERROR"}]}, ["GKE004 warning"]),
    # With nodes the API server has answered: how it is reached is no question any more.
    ({"kind": EndpointKind.PRIVATE}, []),
    ({"nodes": (), "kind": EndpointKind.DNS}, ["GKE005 warning"]),
    ({"nodes": (), "kind": EndpointKind.PRIVATE}, ["GKE005 warning"]),
    ({"nodes": (), "kind": EndpointKind.CONNECT_GATEWAY}, ["GKE005 warning"]),
    ({"nodes": (), "kind": EndpointKind.PUBLIC}, []),
    (
        {
            "nodes": (),
            "kind": EndpointKind.PUBLIC,
            "masterAuthorizedNetworksConfig": {"enabled": True, "cidrBlocks": [{"cidrBlock": "192.0.2.0/24"}]},
        },
        ["GKE005 warning"],
    ),
    # Private nodes without an address range of the control plane: nobody can tell from here.
    ({"privateClusterConfig": {"enablePrivateNodes": True}}, ["GKE006 warning"]),
    ({"nodePools": [{**POOL, "enablePrivateNodes": True}]}, ["GKE006 warning"]),
    ({"privateClusterConfig": PRIVATE, "firewall": []}, ["GKE007 error"]),
    ({"privateClusterConfig": PRIVATE, "firewall": [OPEN]}, []),
    ({"privateClusterConfig": PRIVATE, "firewall": [{**OPEN, "disabled": True}]}, ["GKE007 error"]),
    ({"privateClusterConfig": PRIVATE, "firewall": [{**OPEN, "direction": "EGRESS"}]}, ["GKE007 error"]),
    ({"privateClusterConfig": PRIVATE, "firewall": [{**OPEN, "sourceRanges": ["172.16.0.0/29"]}]}, ["GKE007 error"]),
    ({"privateClusterConfig": PRIVATE, "firewall": [{**OPEN, "targetTags": ["other"]}]}, ["GKE007 error"]),
    # GKE's own rule, extended as istio.io says: the tag that it names is on every node, and the API does not tell it.
    ({"privateClusterConfig": PRIVATE, "firewall": [{**OPEN, "targetTags": ["gke-shop-1a2b3c4d-node"]}]}, []),
    # A pool that the rule for another one leaves closed.
    ({"privateClusterConfig": PRIVATE, "nodePools": [POOL, {**POOL, "tags": ["jobs"]}], "firewall": [OPEN]}, ["GKE007 error"]),
    ({"privateClusterConfig": PRIVATE, "firewall": [{**OPEN, "allowed": [{"IPProtocol": "tcp", "ports": ["443"]}]}]}, ["GKE007 error"]),
    ({"privateClusterConfig": PRIVATE, "firewall": [{**OPEN, "allowed": [{"IPProtocol": "udp"}]}]}, ["GKE007 error"]),
    ({"privateClusterConfig": PRIVATE, "firewall": [{**OPEN, "allowed": [{"IPProtocol": "all"}], "targetTags": []}]}, []),
    ({"privateClusterConfig": PRIVATE, "unread": {"the firewall": Unread("compute.firewalls.list")}}, ["GKE014 warning"]),
    ({"privateClusterConfig": {**PRIVATE, "enablePrivateNodes": False}, "firewall": []}, []),
    ({"autopilot": {"enabled": True}}, ["GKE009 error"]),
    ({"autopilot": {"enabled": True, "workloadPolicyConfig": {"allowNetAdmin": True}}}, []),
    ({"autopilot": {"enabled": True, "workloadPolicyConfig": {"allowNetAdmin": True}}, "profile": "ambient"}, ["GKE008 error"]),
    ({"autopilot": {"enabled": False}, "profile": "ambient"}, []),
    ({"nodes": WINDOWS}, ["GKE010 warning"]),
    ({"nodePools": [{**POOL, "imageType": "WINDOWS_LTSC_CONTAINERD"}]}, ["GKE010 warning"]),
    ({"mesh": {"management": "MANAGEMENT_AUTOMATIC", "controlPlane": "ACTIVE"}, "fleet": FLEET}, ["GKE011 error"]),
    ({"mesh": {"management": "MANAGEMENT_MANUAL", "controlPlane": "ACTIVE"}, "fleet": FLEET}, ["GKE011 error"]),
    ({"mesh": {"management": "MANAGEMENT_MANUAL", "controlPlane": "DISABLED"}, "fleet": FLEET}, []),
    ({"mesh": {}, "fleet": FLEET}, []),
    ({"versions": {"validMasterVersions": ["1.36.1-gke.5", "1.35.2-gke.1"]}}, []),
    ({"versions": {"validMasterVersions": ["1.38.1-gke.5"]}, "releaseChannel": {"channel": "EXTENDED"}}, ["GKE012 warning"]),
    ({"nodePools": [{**POOL, "version": "1.33.9-gke.1"}]}, []),
    ({"nodePools": [{**POOL, "version": "1.32.9-gke.1"}]}, ["GKE013 warning"]),
    (
        {"unread": {"versions": Unread("container.clusters.list"), "mesh": Unread(why="it does not answer")}},
        ["GKE014 warning", "GKE014 warning"],
    ),
    ({"addonsConfig": {"httpLoadBalancing": {"disabled": True}}}, ["GKE015 error"]),
    ({"addonsConfig": {"httpLoadBalancing": {}}}, []),
    ({"addonsConfig": OFF, "sets": [f"{CLASS}=example.com/lb"]}, []),
    ({"addonsConfig": OFF, "sets": [INSIDE]}, []),
    ({"addonsConfig": OFF, "sets": ["istio-ingress.service.type=ClusterIP"]}, []),
    ({"sets": [f"{CLASS}={EXTERNAL}"]}, []),
    ({"sets": [f"{CLASS}={EXTERNAL}"], "version": "1.33.1-gke.1779000"}, []),
    ({"sets": [f"{CLASS}={EXTERNAL}"], "version": "1.33.1-gke.1778999"}, ["GKE016 error"]),
    ({"sets": [f"{CLASS}={EXTERNAL}"], "version": "1.32.9-gke.2000000"}, ["GKE016 error"]),
    ({"sets": [f"{CLASS}={INTERNAL}"], "version": "1.35.1-gke.1"}, ["GKE016 error"]),
    ({"sets": [f"{CLASS}={INTERNAL}"], "version": "1.35.1-gke.1", "networkConfig": {"enableL4ilbSubsetting": True}}, []),
    ({"sets": [f"{CLASS}={INTERNAL}"]}, []),
    ({"sets": [f"{CLASS}={EXTERNAL}", INSIDE]}, ["GKE017 warning"]),
    ({"sets": [NO_NOTE]}, ["GKE017 warning"]),
    ({"sets": [NO_NOTE], "version": "1.37.0-gke.1"}, []),
    ({"sets": [NO_NOTE, INSIDE]}, []),
    ({"sets": [NO_NOTE, f"{CLASS}={EXTERNAL}"]}, []),
    # Hostile shapes.
    ({"addonsConfig": "x", "networkConfig": 7, "sets": [f"{CLASS}={INTERNAL}"], "version": "?"}, []),
    ({"nodePools": ["x", 7], "conditions": "no", "autopilot": [], "mesh": 3, "versions": [], "privateClusterConfig": "x"}, []),
    ({"privateClusterConfig": PRIVATE, "firewall": [{**OPEN, "sourceRanges": ["not a range"]}]}, ["GKE007 error"]),
]  # fmt: skip


@pytest.mark.parametrize(("case", "codes"), CASES)
def test_what_is_found(case: dict[str, Any], codes: list[str]) -> None:
    assert said(**case) == codes


@pytest.mark.parametrize("case", [case for case, codes in CASES if codes and not codes[0].startswith("GKE006")])
def test_every_finding_says_what_to_do(case: dict[str, Any]) -> None:
    assert all(finding.hint for finding in found(**case))


def test_the_firewall_rule_that_is_missing_is_written_out() -> None:
    (finding,) = found(privateClusterConfig=PRIVATE, firewall=[], networkConfig=NETWORK)
    assert finding.severity is Severity.ERROR
    assert finding.hint == (
        "gcloud compute firewall-rules create shop-istiod-webhook --project=host --network=shared --direction=INGRESS"
        " --source-ranges=172.16.0.0/28 --allow=tcp:15017 --target-tags=web"
    )


def test_what_could_not_be_read_is_not_proven_and_named() -> None:
    (finding,) = found(unread={"the firewall rules of the network": Unread("compute.firewalls.list")})
    assert finding.title == "NOT PROVEN: the firewall rules of the network"
    assert "compute.firewalls.list" in finding.hint


def test_every_code_has_an_anchor_in_the_docs() -> None:
    source = Path(judge.__code__.co_filename).read_text()
    docs = (Path(__file__).parents[2] / "docs/checks.md").read_text()
    anchors = {line.removeprefix("### ") for line in docs.splitlines() if line.startswith("### GKE")}
    assert anchors == set(re.findall(r"GKE\d{3}", source))
