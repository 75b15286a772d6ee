"""A project as a large company has it: an engineer who acts as a service account by way of another, counted for a third project.

One more project is closed by VPC Service Controls, in one GKE is off, and the cluster has its DNS endpoint only.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from google.cloud.container_v1.types import Cluster, PrivateClusterConfig

from testbed.clouds.gke import FakeGoogle, Front
from testbed.clouds.gke_apis import USE, Apis, Project
from testbed.clouds.gke_identity import Account, Issuer
from testbed.clouds.gke_project import DNS, PROJECT, ROLES, cluster, endpoints
from testbed.pki import write_private
from testbed.spec import Spec

# What calls are counted for: Compute Engine and fleets are off there.
TOOLS = "shop-tools"
CLOSED = "shop-vault"
# Where GKE was never used.
EMPTY = "shop-archive"
PERIMETER = "d3MtcGVyaW1ldGVyLXNob3A"
ENGINEER = "ann@shop.example"
HOP = f"jump@{TOOLS}.iam.gserviceaccount.com"
TARGET = f"mesh@{PROJECT}.iam.gserviceaccount.com"
_SEEN = {"container.clusters.list", "resourcemanager.projects.get"}


def project(folder: Path, listen: tuple[str, int] = ("127.0.0.1", 0)) -> FakeGoogle:
    """Google with all of it."""
    counted = {TOOLS: {USE}}
    target = Account(TARGET, "108000000000000000012", {PROJECT: set(ROLES), CLOSED: set(_SEEN), EMPTY: set(_SEEN), **counted})
    hop = Account(HOP, "108000000000000000011", dict(counted), acts_as={TARGET})
    engineer = Account(ENGINEER, "108000000000000000010", dict(counted), acts_as={HOP})
    apis = Apis(
        {
            PROJECT: Project([_cluster(b"")]),
            TOOLS: Project(off={"compute.googleapis.com", "gkehub.googleapis.com"}),
            CLOSED: Project([_cluster(b"")], closed=PERIMETER),
            EMPTY: Project(off={"container.googleapis.com"}),
        }
    )
    return FakeGoogle(Issuer(engineer, hop, target), apis, folder, listen)


def login(google: FakeGoogle, folder: Path) -> None:
    """What gcloud auth application-default login leaves in gcloud's folder."""
    gclouds = folder / "gcloud"
    gclouds.mkdir(mode=0o700, exist_ok=True)
    text = json.dumps({**google.issuer.accounts[ENGINEER].login_file(), "quota_project_id": TOOLS})
    write_private(gclouds / "application_default_credentials.json", text)


def variables() -> Mapping[str, str]:
    """The chain of service accounts, as gcloud's own variable names it."""
    return {"CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT": f"{HOP},{TARGET}"}


def lead_to(google: FakeGoogle, of: Spec, authority: bytes) -> None:
    """Make the project's cluster the one of the testbed, by its DNS endpoint alone."""
    google.apis.projects[PROJECT].clusters[:] = [_cluster(authority)]
    google.fronts[DNS] = Front(of, authority, PROJECT)


def _cluster(authority: bytes) -> Cluster:
    private = PrivateClusterConfig(enable_private_nodes=True, master_ipv4_cidr_block="172.16.0.0/28")
    return cluster(authority, control_plane_endpoints_config=endpoints(ip=False), private_cluster_config=private)
