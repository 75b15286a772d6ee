"""A small Google for tests: three projects, a cluster, and who may do what."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.cloud.container_v1.types import (
    Cluster,
    ControlPlaneEndpointsConfig,
    MasterAuth,
    NetworkConfig,
    NodeConfig,
    NodePool,
    ServerConfig,
)

from meshinstall.adapters.gke.http import Patience
from meshinstall.adapters.gke.provider import GkeProvider
from meshinstall.errors import MeshinstallError
from meshinstall.model.cluster import Cloud, ClusterRef
from testbed.clouds.gke import CONNECT, FakeGoogle
from testbed.clouds.gke_apis import Apis, Project
from testbed.clouds.gke_identity import Account, Issuer
from testbed.pki import Authority

PROJECT = "shop-prod"
MEMBERSHIP = f"//gkehub.googleapis.com/projects/{PROJECT}/locations/global/memberships/shop"
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
# Short, for tests in which Google is broken on purpose.
HASTY = Patience(answer=1.0, call=3.0, pause=0.05)


def cluster(authority: bytes = b"", **fields: Any) -> Cluster:
    """A regional cluster with private nodes and every way in, as the SDK's model; ``fields`` change it."""
    import base64

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


@dataclass(slots=True)
class World:
    """The fake, who calls, and how."""

    google: FakeGoogle
    caller: Account
    deputy: Account
    env: dict[str, str]
    folder: Path

    @property
    def project(self) -> Project:
        """The project of the cluster."""
        return self.google.apis.projects[PROJECT]

    def ref(self, **selectors: str) -> ClusterRef:
        """The cluster as flags name it."""
        return ClusterRef(Cloud.GKE, NAME, selectors={"project": PROJECT, "location": LOCATION, **selectors})

    def provider(self, said: list[str] | None = None, **selectors: str) -> GkeProvider:
        """The provider of that cluster, not patient."""
        return GkeProvider(self.ref(**selectors), (said if said is not None else []).append, HASTY)

    def be(self, kind: str) -> dict[str, str]:
        """Variables that make a program the caller by a service account's key, a user's login, or the machine it runs on."""
        files: Mapping[str, dict[str, str]] = {"key": self.caller.key_file(PROJECT), "login": self.caller.login_file()}
        if kind == "machine":
            self.google.issuer.machine = self.caller
            return {}
        file = self.folder / f"{kind}.json"
        file.write_text(json.dumps(files[kind]))
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """A running Google; the environment stays as it is: ``env`` says what belongs there."""
    caller = Account("deployer@shop-prod.iam.gserviceaccount.com", "108000000000000000001", {PROJECT: set(ROLES)})
    deputy = Account("mesh@shop-prod.iam.gserviceaccount.com", "108000000000000000002", {PROJECT: set(ROLES)})
    config = ServerConfig(
        valid_master_versions=["1.36.3-gke.1000", "1.35.9-gke.1"], channels=[{"channel": "REGULAR", "valid_versions": ["1.36.3-gke.1000"]}]
    )
    apis = Apis({PROJECT: Project([cluster()], config=config)})
    with FakeGoogle(Issuer(caller, deputy), apis, folder).running() as google:
        yield World(google, caller, deputy, google.environment(), folder)


def inhabit(found: World, patch: pytest.MonkeyPatch, who: Mapping[str, str]) -> None:
    """Make this process a program whose way to Google leads to the fake, and who it says that it is."""
    for name in os.environ:
        if name.startswith(("GOOGLE_", "CLOUDSDK_", "GCE_", "REQUESTS_CA")):
            # It could answer in the fake's place.
            patch.setenv(name, "")
    for name, value in {**found.env, **who}.items():
        patch.setenv(name, value)
    patch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)


def caught(provider: GkeProvider) -> MeshinstallError:
    """What describing a cluster raised."""
    with pytest.raises(MeshinstallError) as found:
        provider.describe()
    return found.value
