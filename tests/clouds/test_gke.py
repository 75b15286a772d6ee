"""The GKE provider over the wire: the unmodified SDK and google-auth against a Google on the loopback that checks."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.cloud.container_v1.types import Cluster, Fleet, PrivateClusterConfig, ServerConfig

from meshinstall.adapters.gke.provider import GkeProvider
from meshinstall.adapters.kube.token import Token
from meshinstall.adapters.kube.tokens import TokenSource
from meshinstall.errors import ForbiddenError, UnauthorizedError, UsageError
from meshinstall.model.cluster import Cloud, ClusterRef, EndpointKind
from testbed.clouds.gke_apis import Project
from testbed.clouds.gke_identity import EMAIL, PLATFORM
from testbed.clouds.gke_project import DNS, LOCATION, NAME, PROJECT, cluster, endpoints
from testbed.clouds.gke_server import Answer
from tests.clouds.gke_world import MEMBERSHIP, PLENTY, World, caught, inhabit, world

CREDENTIAL = ("credential", "--cloud", "gke", "--cluster", NAME, "--project", PROJECT, "--location", LOCATION)


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A Google, and this process as the caller with a service account's key."""
    with world(tmp_path) as found:
        inhabit(found, monkeypatch, found.be("key"))
        yield found


def program(google: World, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A meshinstall of its own: google-auth reads the metadata server's address once for a process."""
    plain = {"PATH": os.environ["PATH"], "HOME": str(google.folder), **google.env, **env}
    return subprocess.run(
        [sys.executable, "-P", "-m", "meshinstall", *argv], env=plain, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_cluster_is_described_by_the_sdk(google: World) -> None:
    found = google.provider().describe()
    assert (found.cloud, found.name, found.location) == (Cloud.GKE, NAME, LOCATION)
    assert found.version == "1.36.3-gke.1000"
    assert found.status == "RUNNING"
    assert found.ready is True
    assert found.selectors == {"project": PROJECT, "location": LOCATION}
    assert google.google.count("container.googleapis.com") == 1


@pytest.mark.parametrize(
    ("status", "ready"),
    [("PROVISIONING", False), ("RECONCILING", True), ("STOPPING", False), ("ERROR", False), ("DEGRADED", True)],
)
def test_a_clusters_status_says_whether_it_answers(google: World, status: str, *, ready: bool) -> None:
    google.project.clusters[:] = [cluster(status=getattr(Cluster.Status, status))]
    found = google.provider().describe()
    assert found.status == status
    assert found.ready == ready


def test_a_cluster_that_is_being_made_has_no_endpoint(google: World) -> None:
    google.project.clusters[:] = [Cluster(name=NAME, location=LOCATION, status=Cluster.Status.PROVISIONING)]
    found = google.provider().describe()
    assert found.ready is False
    assert found.endpoint is None


# What is open, the flag, and where that leads.
WAYS = [
    ({}, "", EndpointKind.DNS, f"https://{DNS}"),
    ({"dns": False}, "", EndpointKind.PUBLIC, "https://203.0.113.7"),
    ({"dns": False, "public": False}, "", EndpointKind.PRIVATE, "https://10.0.0.2"),
    ({"dns": False, "ip": False}, "", EndpointKind.CONNECT_GATEWAY, "https://connectgateway.googleapis.com/v1/projects/1"),
    ({}, "public", EndpointKind.PUBLIC, "https://203.0.113.7"),
    ({}, "private", EndpointKind.PRIVATE, "https://10.0.0.2"),
    ({}, "connect-gateway", EndpointKind.CONNECT_GATEWAY, "https://connectgateway.googleapis.com/v1/projects/1"),
]


@pytest.mark.parametrize(("open_ways", "flag", "kind", "server"), WAYS)
def test_the_way_to_the_api_server(google: World, open_ways: dict[str, bool], flag: str, kind: EndpointKind, server: str) -> None:
    google.project.clusters[:] = [cluster(control_plane_endpoints_config=endpoints(**open_ways), fleet=Fleet(membership=MEMBERSHIP))]
    found = google.provider(endpoint=flag).describe().endpoint
    assert found
    assert found.kind is kind
    assert found.server.startswith(server)
    # The other ways show certificates that the public authorities vouch for.
    assert (found.authority is not None) is (kind in {EndpointKind.PUBLIC, EndpointKind.PRIVATE})


def test_a_regional_membership_is_asked_of_its_regions_connect_gateway(google: World) -> None:
    google.project.clusters[:] = [cluster(fleet=Fleet(membership=MEMBERSHIP.replace("/global/", f"/{LOCATION}/")))]
    assert google.provider(endpoint="connect-gateway").describe().endpoint
    assert google.google.count(f"{LOCATION}-connectgateway.googleapis.com") == 1
    (listed,) = GkeProvider(ClusterRef(Cloud.GKE, selectors={"project": PROJECT}), patience=PLENTY).discover().clusters
    assert listed.endpoint


def test_an_old_cluster_says_its_addresses_in_other_fields(google: World) -> None:
    google.project.clusters[:] = [cluster(control_plane_endpoints_config=None)]
    found = google.provider().describe().endpoint
    assert found
    assert found.kind == EndpointKind.PUBLIC
    assert found.server == "https://203.0.113.7"

    private = PrivateClusterConfig(enable_private_endpoint=True, private_endpoint="10.9.0.2")
    google.project.clusters[:] = [cluster(control_plane_endpoints_config=None, private_cluster_config=private, endpoint="10.9.0.2")]
    found = google.provider().describe().endpoint
    assert found
    assert found.kind == EndpointKind.PRIVATE
    assert found.server == "https://10.9.0.2"


@pytest.mark.parametrize(
    ("flag", "mends"),
    [("dns", "--enable-dns-access"), ("public", "--enable-ip-access"), ("connect-gateway", "--enable-fleet"), ("vpn", "use one of public")],
)
def test_a_way_that_is_not_there_is_said_with_what_opens_it(google: World, flag: str, mends: str) -> None:
    google.project.clusters[:] = [cluster(control_plane_endpoints_config=endpoints(dns=False, public=False))]
    error = caught(google.provider(endpoint=flag))
    assert isinstance(error, UsageError)
    assert mends in error.hint


@pytest.mark.parametrize("kind", ["key", "login"])
def test_tokens_have_both_scopes(google: World, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    for name, value in google.be(kind).items():
        monkeypatch.setenv(name, value)
    credential = google.provider().credential()
    issued = google.google.issuer.tokens[credential.token]
    assert {PLATFORM, EMAIL} <= issued.scopes
    assert google.google.issuer.review(credential.token)["user"]["username"] == google.caller.email
    assert credential.expires
    assert abs(credential.expires.timestamp() - issued.expires) < 5


def test_gclouds_login_is_found_without_starting_gcloud(google: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    shim = tmp_path / "bin" / "gcloud"
    shim.parent.mkdir()
    shim.write_text(f"#!/bin/sh\necho called >> {tmp_path}/calls\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    (tmp_path / "gcloud").mkdir()
    (tmp_path / "gcloud" / "application_default_credentials.json").write_text(json.dumps(google.caller.login_file()))
    assert google.google.issuer.review(google.provider().credential().token)["authenticated"]
    assert not (tmp_path / "calls").exists()


def test_a_machine_is_the_caller_on_google_cloud(google: World) -> None:
    google.be("machine")
    done = program(google, *CREDENTIAL)
    status = json.loads(done.stdout)["status"]
    assert google.google.issuer.review(status["token"])["user"]["username"] == google.caller.email
    assert google.google.count("service-accounts/default/token") == 1


def test_a_machine_without_the_email_scope_is_only_a_number(google: World) -> None:
    google.be("machine")
    google.google.issuer.machine_scopes = frozenset({PLATFORM})
    token = json.loads(program(google, *CREDENTIAL).stdout)["status"]["token"]
    assert google.google.issuer.review(token)["user"]["username"] == google.caller.number


def test_another_service_account_is_impersonated(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", google.deputy.email)
    error = caught(google.provider())
    assert isinstance(error, ForbiddenError)
    assert "iam.serviceAccounts.getAccessToken" in error.message
    assert google.deputy.email in error.hint

    google.caller.acts_as.add(google.deputy.email)
    provider = google.provider()
    assert provider.describe().name == NAME
    assert google.google.issuer.review(provider.credential().token)["user"]["username"] == google.deputy.email


def test_one_token_serves_google_and_the_cluster_and_is_never_given_twice(google: World) -> None:
    provider = google.provider()
    provider.describe()
    first = provider.credential().token
    assert google.google.count("oauth2.googleapis.com") == 1
    assert provider.credential().token != first


def test_sixteen_threads_at_the_end_of_a_token_cause_one_renewal(google: World) -> None:
    google.google.issuer.life = 100
    provider = google.provider()

    def fetch() -> Token:
        found = provider.credential()
        return Token(found.token, found.expires)

    source = TokenSource(fetch)
    source.get()
    google.google.issuer.life = 3600
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(source.get())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == 1
    assert google.google.count("oauth2.googleapis.com") == 2


def test_a_revoked_key_asks_for_a_login(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in google.be("login").items():
        monkeypatch.setenv(name, value)
    google.caller.refresh_token = ""
    error = caught(google.provider())
    assert isinstance(error, UnauthorizedError)
    assert "invalid_grant" in error.message
    assert "gcloud auth application-default login" in error.hint


def test_a_wrong_clock_is_among_the_reasons(google: World) -> None:
    google.google.fault("oauth2", Answer(400, b'{"error": "invalid_grant", "error_description": "Invalid JWT: iat"}'))
    assert "clock" in caught(google.provider()).hint


def test_no_credentials_at_all(google: World) -> None:
    done = program(google, *CREDENTIAL, NO_GCE_CHECK="true")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no Google credentials" in done.stderr
    assert "gcloud auth application-default login" in done.stderr


def test_a_credential_file_that_is_none_is_not_repeated(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    file = google.folder / "broken.json"
    file.write_text('{"type": "service_account", "private_key": "PLANTED-key", "client_email": 7}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    error = caught(google.provider())
    assert isinstance(error, UnauthorizedError)
    assert "PLANTED" not in f"{error.message} {error.hint}"


@pytest.mark.usefixtures("google")
def test_an_unknown_cluster() -> None:
    provider = GkeProvider(ClusterRef(Cloud.GKE, "shp", selectors={"project": PROJECT, "location": LOCATION}))
    error = caught(provider)
    assert isinstance(error, UsageError)
    assert "there is no GKE cluster 'shp'" in error.message
    assert f"meshinstall clusters --cloud gke --project {PROJECT}" in error.hint


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        (ClusterRef(Cloud.GKE), "no name given for the GKE cluster"),
        (ClusterRef(Cloud.GKE, NAME), "no location given for the GKE cluster"),
        (ClusterRef(Cloud.GKE, "../../v1", selectors={"location": "x"}), "'../../v1' is not a valid name of a GKE cluster"),
    ],
)
def test_what_does_not_name_a_cluster(google: World, ref: ClusterRef, said: str) -> None:
    error = caught(GkeProvider(ref))
    assert said == error.message
    assert google.google.asked == []


@pytest.mark.usefixtures("google")
def test_the_project_may_be_the_credentials_own() -> None:
    assert GkeProvider(ClusterRef(Cloud.GKE, NAME, selectors={"location": LOCATION})).describe().selectors["project"] == PROJECT


def test_a_missing_permission_is_named(google: World) -> None:
    google.caller.roles[PROJECT].remove("container.clusters.get")
    error = caught(google.provider())
    assert isinstance(error, ForbiddenError)
    assert "container.clusters.get" in error.message
    assert "docs/clouds/gke/role.yaml" in error.hint


def test_a_service_that_is_off_is_said_with_what_enables_it(google: World) -> None:
    google.project.off.add("container.googleapis.com")
    assert f"gcloud services enable container.googleapis.com --project={PROJECT}" in caught(google.provider()).hint


def test_a_service_that_is_off_is_enabled_by_its_own_name(google: World) -> None:
    off = Answer(403, json.dumps({"error": {"message": "off", "details": [{"reason": "SERVICE_DISABLED"}]}}).encode())
    google.project.clusters[:] = [cluster(fleet=Fleet(membership=MEMBERSHIP))]
    google.google.fault("connectgateway", off)
    hint = caught(google.provider(endpoint="connect-gateway")).hint
    assert hint == f"gcloud services enable connectgateway.googleapis.com --project={PROJECT}"
    google.google.fault("cloudresourcemanager", off)
    listing = GkeProvider(ClusterRef(Cloud.GKE), patience=PLENTY).discover()
    assert listing.failures["other projects"] == "cloudresourcemanager.googleapis.com is not enabled in the caller's project"


def test_every_request_is_counted_for_the_project_that_a_login_names(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    file = google.folder / "quota.json"
    file.write_text(json.dumps({**google.caller.login_file(), "quota_project_id": "pays"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    private = PrivateClusterConfig(enable_private_nodes=True, master_ipv4_cidr_block="172.16.0.0/28")
    google.project.clusters[:] = [cluster(private_cluster_config=private, fleet=Fleet(membership=MEMBERSHIP))]
    provider = google.provider(endpoint="connect-gateway")
    provider.inspect(provider.describe())
    GkeProvider(ClusterRef(Cloud.GKE), patience=PLENTY).discover()
    asked = {one.host.partition(".")[0]: one.quota for one in google.google.asked if not one.host.startswith("oauth2")}
    assert asked == dict.fromkeys(("container", "compute", "gkehub", "connectgateway", "cloudresourcemanager"), "pays")


def test_a_login_that_names_no_project_to_count_for_proves_nothing_of_a_mesh(google: World) -> None:
    said = "The gkehub.googleapis.com API requires a quota project, which is not set by default."
    body = {"error": {"message": said, "details": [{"reason": "SERVICE_DISABLED", "metadata": {"consumer": "projects/764086051850"}}]}}
    google.project.clusters[:] = [cluster(fleet=Fleet(membership=MEMBERSHIP))]
    google.google.fault("gkehub", Answer(403, json.dumps(body).encode()), 10_000)
    provider = google.provider()
    unread = provider.inspect(provider.describe()).unread
    assert unread["whether the fleet manages a mesh here"].why.startswith("Google needs a quota project for gkehub.features.get")


def test_what_preflight_judges_is_gathered(google: World) -> None:
    private = PrivateClusterConfig(enable_private_nodes=True, master_ipv4_cidr_block="172.16.0.0/28")
    google.project.clusters[:] = [cluster(private_cluster_config=private, fleet=Fleet(membership=MEMBERSHIP))]
    network = f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/global/networks/main"
    google.project.firewalls = [{"name": f"r{number}", "network": network if number % 2 else f"{network}-other"} for number in range(7)]
    google.project.features["servicemesh"] = {
        "membershipSpecs": {"projects/1/locations/global/memberships/shop": {"mesh": {"management": "MANAGEMENT_AUTOMATIC"}}},
        "membershipStates": {
            "projects/1/locations/global/memberships/shop": {"servicemesh": {"controlPlaneManagement": {"state": "ACTIVE"}}}
        },
    }
    provider = google.provider()
    found = provider.inspect(provider.describe())
    assert [rule["name"] for rule in found.details["firewall"]] == ["r1", "r3", "r5"]
    assert found.details["mesh"] == {"management": "MANAGEMENT_AUTOMATIC", "controlPlane": "ACTIVE"}
    assert found.details["versions"]["channels"] == {"REGULAR": ["1.36.3-gke.1000"]}
    assert found.unread == {}
    assert "PLANTED" not in str(found)


def test_what_may_not_be_read_is_told_with_its_permission(google: World) -> None:
    private = PrivateClusterConfig(enable_private_nodes=True, master_ipv4_cidr_block="172.16.0.0/28")
    google.project.clusters[:] = [cluster(private_cluster_config=private, fleet=Fleet(membership=MEMBERSHIP))]
    google.caller.roles[PROJECT] = {"container.clusters.get"}
    provider = google.provider()
    found = provider.inspect(provider.describe())
    assert sorted(one.permission for one in found.unread.values()) == [
        "compute.firewalls.list",
        "container.clusters.list",
        "gkehub.features.get",
    ]


def test_every_project_is_listed_at_the_same_time_page_by_page(google: World) -> None:
    for number in range(5):
        google.google.apis.projects[f"team-{number}"] = Project([cluster(name=f"c{number}")], config=ServerConfig())
        google.caller.roles[f"team-{number}"] = {"container.clusters.list", "resourcemanager.projects.get"}
    google.caller.roles["team-1"].remove("container.clusters.list")
    google.google.apis.projects["team-2"].off.add("container.googleapis.com")
    google.google.apis.projects["team-3"].missing_zones.append("europe-west1-d")
    listing = GkeProvider(ClusterRef(Cloud.GKE), patience=PLENTY).discover()
    assert sorted(each.name for each in listing.clusters) == ["c0", "c3", "c4", "shop"]
    assert sorted(listing.failures) == ["team-1", "team-3/europe-west1-d"]
    assert "container.clusters.list" in listing.failures["team-1"]


def test_without_the_right_to_list_projects_the_credentials_own_is_listed(google: World) -> None:
    google.caller.roles[PROJECT].remove("resourcemanager.projects.get")
    listing = GkeProvider(ClusterRef(Cloud.GKE), patience=PLENTY).discover()
    assert [each.name for each in listing.clusters] == ["shop"]
    assert list(listing.failures) == ["other projects"]


def test_no_secret_is_in_any_log_or_error(google: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    provider = google.provider()
    provider.inspect(provider.describe())
    tokens = [provider.credential().token]
    google.google.issuer.revoke_all()
    google.google.fault("oauth2", Answer(400, b'{"error": "invalid_grant"}'))
    error = caught(google.provider())
    private = google.caller.key_file(PROJECT)["private_key"].splitlines()[1]
    everything = caplog.text + str(error) + repr(provider.__dict__)
    assert not [secret for secret in (*tokens, private, "PLANTED") if secret in everything]


def test_the_plugin_loads_no_other_cloud_and_no_sdk(google: World) -> None:
    code = (
        "import sys; sys.argv = ['meshinstall', *sys.argv[1:]]\n"
        "from meshinstall.__main__ import main\n"
        "try:\n    main()\nfinally:\n    print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)\n"
        "    print('SDK' if 'google.cloud.container_v1' in sys.modules else '', file=sys.stderr)"
    )
    env = {"PATH": os.environ["PATH"], "HOME": str(google.folder), **google.env, **google.be("key")}
    argv = [sys.executable, "-c", code, *CREDENTIAL]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(done.stdout)["kind"] == "ExecCredential"
    assert not {"azure", "boto3", "botocore", "kubernetes", "grpc", "rich"} & set(done.stderr.split())
    assert "SDK" not in done.stderr.split()


def test_a_credential_names_its_end_in_utc(google: World) -> None:
    credential = google.provider().credential()
    assert credential.expires
    assert timedelta(minutes=55) < credential.expires - datetime.now(UTC) <= timedelta(hours=1)
