"""A project with a GKE cluster in it, and who may do what: what the tests of GKE begin with."""

import base64
from pathlib import Path
from typing import Any

from google.cloud.container_v1.types import (
    Cluster,
    ControlPlaneEndpointsConfig,
    MasterAuth,
    NetworkConfig,
    NodeConfig,
    NodePool,
    ServerConfig,
)

from testbed.clouds.gke import CONNECT, FakeGoogle, Front
from testbed.clouds.gke_apis import Apis, Project
from testbed.clouds.gke_identity import Account, Issuer
from testbed.pki import Authority
from testbed.spec import Spec

PROJECT = "shop-prod"
LOCATION = "europe-west1"
NAME = "shop"
DNS = "gke-0123456789abcdef-1234567890.europe-west1.gke.goog"
ROLES = {
    "compute.firewalls.list",
    "container.clusters.get",
    "container.clusters.list",
    "gkehub.features.get",
    "gkehub.gateway.generateCredentials",
    "resourcemanager.projects.get",
    CONNECT,
}


def deployer() -> Account:
    """A service account with every permission that meshinstall asks for."""
    return Account(f"deployer@{PROJECT}.iam.gserviceaccount.com", "108000000000000000001", {PROJECT: set(ROLES)})


def project(folder: Path, *accounts: Account, listen: tuple[str, int] = ("127.0.0.1", 0)) -> FakeGoogle:
    """Google with one project and the cluster in it, known to ``accounts``."""
    config = ServerConfig(
        valid_master_versions=["1.36.3-gke.1000", "1.35.9-gke.1"], channels=[{"channel": "REGULAR", "valid_versions": ["1.36.3-gke.1000"]}]
    )
    apis = Apis({PROJECT: Project([cluster()], config=config)})
    return FakeGoogle(Issuer(*accounts), apis, folder, listen)


def lead_to(google: FakeGoogle, of: Spec, authority: bytes) -> None:
    """Make the project's cluster the one of the testbed, by its DNS endpoint and by its address; ``authority`` is its own."""
    ways: Any = endpoints()
    ways.ip_endpoints_config.public_endpoint = of.address
    google.apis.projects[PROJECT].clusters[:] = [cluster(authority, endpoint=of.address, control_plane_endpoints_config=ways)]
    google.fronts[DNS] = Front(of, authority, PROJECT)
    google.clusters[of.address] = of


def cluster(authority: bytes = b"", **fields: Any) -> Cluster:
    """A regional cluster with private nodes and every way in, as the SDK's model; ``fields`` change it."""
    pem = authority or Authority("shop").pair.certificate
    plain: dict[str, Any] = {
        "name": NAME,
        "location": LOCATION,
        "status": Cluster.Status.RUNNING,
        "current_master_version": "1.36.3-gke.1000",
        "current_node_version": "1.36.3-gke.1000",
        "endpoint": "203.0.113.7",
        "master_auth": MasterAuth(cluster_ca_certificate=base64.b64encode(pem).decode(), client_key="PLANTED-client-key"),
        "release_channel": {"channel": "REGULAR"},
        "network_config": NetworkConfig(network=f"projects/{PROJECT}/global/networks/main"),
        "control_plane_endpoints_config": endpoints(),
        "node_pools": [
            NodePool(
                name="default", version="1.36.3-gke.1000", status=NodePool.Status.RUNNING, config=NodeConfig(image_type="COS_CONTAINERD")
            )
        ],
    }
    return Cluster(**{**plain, **fields})


def endpoints(*, dns: bool = True, ip: bool = True, public: bool = True) -> ControlPlaneEndpointsConfig:
    """The control plane's endpoints; those that are off keep their names, as the real ones do."""
    return ControlPlaneEndpointsConfig(
        dns_endpoint_config=ControlPlaneEndpointsConfig.DNSEndpointConfig(endpoint=DNS, allow_external_traffic=dns),
        ip_endpoints_config=ControlPlaneEndpointsConfig.IPEndpointsConfig(
            enabled=ip, enable_public_endpoint=public, public_endpoint="203.0.113.7" if public else "", private_endpoint="10.0.0.2"
        ),
    )
