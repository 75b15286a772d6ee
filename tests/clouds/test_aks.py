"""AKS by the unmodified Azure SDK, over TLS on the loopback: who one is, which cluster is meant, and what opens it."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meshinstall.errors import ClusterError, ForbiddenError, MeshinstallError, UnauthorizedError, UnreachableError, UsageError
from meshinstall.model.cluster import EndpointKind, Unread
from testbed.clouds.aks import Answer, FakeAzure, Fault
from testbed.clouds.aks_arm import READER, USER_ROLE
from testbed.clouds.aks_entra import SERVER_APP
from testbed.clouds.aks_shop import (
    GROUP,
    NAME,
    PIPELINE,
    SUBSCRIPTION,
    TENANT,
    certificate_kubeconfig,
    entra_kubeconfig,
    managed_cluster,
)
from tests.clouds.aks_cli import by_cli, claims
from tests.clouds.aks_world import AUTHORITY, SERVER, provider


@pytest.mark.usefixtures("azure")
def test_a_cluster_is_described() -> None:
    found = provider().describe()
    assert found.name == NAME
    assert found.location == "westeurope"
    assert found.version == "1.36.3"
    assert found.status == "Succeeded"
    assert found.ready is True
    assert found.endpoint
    assert found.endpoint.server == SERVER
    assert found.endpoint.authority == AUTHORITY.pair.certificate
    assert found.endpoint.kind == EndpointKind.PUBLIC
    assert found.details["entra"] is True
    assert not found.unread


def test_its_token_is_for_the_server_application_and_says_when_it_ends(azure: FakeAzure) -> None:
    azure.entra.life = 1800
    found = provider().credential()
    said = claims(azure, found.token)
    assert said["aud"] == SERVER_APP
    assert said["oid"] == PIPELINE.oid
    assert said["groups"] == list(PIPELINE.groups)
    assert found.expires
    assert timedelta(minutes=29) < found.expires - datetime.now(UTC) <= timedelta(minutes=30)
    assert found.certificate == ""
    assert found.key == ""


def test_each_credential_is_a_new_token(azure: FakeAzure) -> None:
    aks = provider()
    tokens = {aks.credential().token for _ in range(3)}
    assert len(tokens) == 3
    # How one signs in is asked for once.
    assert azure.count("listClusterUserCredential") == 1


def test_a_plugin_that_is_told_how_one_signs_in_asks_entra_id_alone(azure: FakeAzure) -> None:
    described = provider().describe()
    assert described.selectors == {"login": "entra", "tenant": TENANT}
    azure.asked.clear()
    assert claims(azure, provider(**described.selectors).credential().token)["aud"] == SERVER_APP
    assert azure.count("listClusterUserCredential") == 0


@pytest.mark.usefixtures("azure")
def test_another_way_to_sign_in_is_refused() -> None:
    with pytest.raises(UsageError, match="--login certificate is not a way to sign in to an AKS cluster"):
        provider(login="certificate").credential()


def test_a_cluster_without_entra_gives_its_certificate_each_time(azure: FakeAzure) -> None:
    pair = AUTHORITY.client("masterclient", "system:masters")
    azure.arm.clusters[0].kubeconfig = certificate_kubeconfig(SERVER, AUTHORITY.pair.certificate, pair)
    aks = provider()
    for times in (1, 2):
        found = aks.credential()
        assert found.token == ""
        assert found.certificate.encode() == pair.certificate
        assert found.key.encode() == pair.key
        assert azure.count("listClusterUserCredential") == times
    assert aks.describe().selectors == {}
    assert "PRIVATE" not in repr(found)


def test_a_private_cluster_is_known_as_one(azure: FakeAzure) -> None:
    host = "shop-1.privatelink.westeurope.azmk8s.io"
    azure.arm.clusters[0].kubeconfig = entra_kubeconfig(f"https://{host}:443", AUTHORITY.pair.certificate)
    found = provider().describe()
    assert found.endpoint
    assert found.endpoint.kind is EndpointKind.PRIVATE


def test_without_reader_the_cluster_is_reached_and_what_is_not_known_is_said(azure: FakeAzure) -> None:
    azure.arm.grants[PIPELINE.oid] = frozenset(action for action in USER_ROLE if action.endswith("/action"))
    found = provider().describe()
    assert found.ready
    assert found.endpoint
    assert found.unread == {"the cluster's settings": Unread("Microsoft.ContainerService/managedClusters/read")}


def test_a_missing_role_is_named_with_the_command_that_gives_it(azure: FakeAzure) -> None:
    azure.arm.grants[PIPELINE.oid] = READER
    with pytest.raises(ForbiddenError) as caught:
        provider().describe()
    assert "missing permission Microsoft.ContainerService/managedClusters/listClusterUserCredential/action" in caught.value.message
    scope = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.ContainerService/managedClusters/{NAME}"
    role = "Azure Kubernetes Service Cluster User Role"
    assert caught.value.hint == f'az role assignment create --assignee {PIPELINE.oid} --role "{role}" --scope {scope}'


def test_versions_that_may_not_be_read_are_said(azure: FakeAzure) -> None:
    azure.arm.grants[PIPELINE.oid] = USER_ROLE
    aks = provider()
    found = aks.inspect(aks.describe())
    assert found.unread == {
        "the Kubernetes versions that AKS supports": Unread("Microsoft.ContainerService/locations/kubernetesVersions/read")
    }


@pytest.mark.usefixtures("azure")
def test_the_versions_of_the_region_are_read() -> None:
    aks = provider()
    found = aks.inspect(aks.describe())
    assert found.details["supportedVersions"]["1.33"] == ["AKSLongTermSupport"]


WRONG = {
    "another cluster": ({"name": "shoppe"}, ClusterError, "there is no such cluster in the resource group (ResourceNotFound"),
    "another group": ({"resource_group": "nowhere"}, ClusterError, "the resource group does not exist (ResourceGroupNotFound"),
    "another subscription": ({"subscription": SUBSCRIPTION.replace("a", "b")}, ClusterError, "does not exist, or you cannot see it"),
    "no subscription": ({"subscription": ""}, UsageError, "--subscription is missing for --cloud aks"),
    "no group": ({"resource_group": ""}, UsageError, "--resource-group is missing"),
    "no name": ({"name": ""}, UsageError, "--cluster is missing"),
    "a name that leads elsewhere": ({"name": "../x"}, UsageError, "--cluster ../x is not a valid cluster name"),
    "a subscription's name": ({"subscription": "Production"}, UsageError, "--subscription Production is not a valid subscription ID"),
}


@pytest.mark.usefixtures("azure")
@pytest.mark.parametrize(("selectors", "kind", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_name_is_told_apart(selectors: dict[str, str], kind: type[MeshinstallError], said: str) -> None:
    with pytest.raises(kind) as caught:
        provider(**selectors).describe()
    assert said in caught.value.message
    assert caught.value.hint


REFUSED = "Entra ID refused to issue a token: AADSTS"

EMPTY = {"AZURE_CLIENT_SECRET": ""}

IDENTITIES = {
    "a wrong secret": (
        {"AZURE_CLIENT_SECRET": "planted-wrong-secret"},
        f"{REFUSED}7000215: Invalid client secret",
    ),
    "another application": (
        {"AZURE_CLIENT_ID": "99999999-0000-0000-0000-0000000000ff"},
        f"{REFUSED}700016: Application",
    ),
    "another tenant": ({"AZURE_TENANT_ID": "22222222-2222-2222-2222-222222222222"}, "Entra ID does not know the tenant"),
    "nobody": (dict.fromkeys(("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET")), "no credentials for Azure"),
    "an empty secret": (EMPTY, "the AZURE_ variables are not a complete identity"),
}


@pytest.mark.usefixtures("azure")
@pytest.mark.parametrize(("env", "said"), IDENTITIES.values(), ids=IDENTITIES)
def test_an_identity_that_is_none_is_told_in_one_line(env: dict[str, str | None], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in env.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(UsageError if env == EMPTY else UnauthorizedError) as caught:
        provider().describe()
    assert said in caught.value.message
    assert "\n" not in caught.value.message
    assert "AZURE_" in caught.value.hint
    assert "planted" not in f"{caught.value.message}{caught.value.hint}"


SKEWS = {"behind": -7200, "ahead": 7200}


@pytest.mark.parametrize("skew", SKEWS.values(), ids=SKEWS)
def test_a_token_outside_its_time_is_refused_by_arm(azure: FakeAzure, skew: int) -> None:
    azure.entra.skew = skew
    with pytest.raises(UnauthorizedError, match="ExpiredAuthenticationToken") as caught:
        provider().describe()
    assert "clock" in caught.value.hint


ANOTHER_SECRET = "planted-another-secret"  # noqa: S105 - planted


def test_a_secret_that_is_revoked_in_mid_run_is_an_error(azure: FakeAzure) -> None:
    asked, signed_in = provider(), provider()
    asked.describe()
    signed_in.credential()
    azure.entra.principals[0] = replace(PIPELINE, secret=ANOTHER_SECRET)
    # The SDK asks the credential that was good before alone, and one that is made anew with all others.
    for aks in (asked, signed_in):
        with pytest.raises(UnauthorizedError, match="AADSTS7000215: Invalid client secret") as caught:
            aks.credential()
        assert "AZURE_CLIENT_ID" in caught.value.hint


LOGINS_THAT_EXPIRED = {
    "the CLI itself": ("ERROR: Please run 'az login' to setup account.", "no credentials for Azure"),
    "Entra ID": ("ERROR: AADSTS700082: The refresh token has expired due to inactivity.", "AADSTS700082: The refresh token has expired"),
}


@pytest.mark.parametrize(("stderr", "said"), LOGINS_THAT_EXPIRED.values(), ids=LOGINS_THAT_EXPIRED)
def test_a_login_of_the_azure_cli_that_expires_in_mid_run_is_an_error(
    azure: FakeAzure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stderr: str, said: str
) -> None:
    by_cli(azure, monkeypatch, tmp_path)
    asked, signed_in = provider(), provider()
    asked.describe()
    signed_in.credential()
    (tmp_path / "az").write_text(f"#!{sys.executable}\nimport sys\nsys.exit({stderr!r})\n")
    for aks in (asked, signed_in):
        with pytest.raises(UnauthorizedError, match=said) as caught:
            aks.credential()
        assert "az login" in caught.value.hint


def test_entra_id_that_does_not_answer_in_mid_run_is_no_question_of_logins(azure: FakeAzure) -> None:
    aks = provider()
    aks.credential()
    azure.faults.append(Fault("/oauth2/v2.0/token", Answer(hang=True), count=99))
    with pytest.raises(UnreachableError, match="Entra ID") as caught:
        aks.credential()
    assert "proxy" in caught.value.hint


def test_arm_takes_no_token_of_another_audience(azure: FakeAzure) -> None:
    # The fake is to be trusted only if it checks this.
    token = azure.entra.sign(PIPELINE, SERVER_APP)
    answer = azure.respond(
        "management.azure.com", "GET", "/subscriptions?api-version=2022-12-01", {"Authorization": f"Bearer {token}"}, b""
    )
    assert answer.status == 401
    assert json.loads(answer.body)["error"]["code"] == "InvalidAuthenticationTokenAudience"


def test_the_legacy_integration_is_refused(azure: FakeAzure) -> None:
    other = "00000000-1111-2222-3333-444444444444"
    azure.arm.clusters[0].kubeconfig = entra_kubeconfig(SERVER, AUTHORITY.pair.certificate, other)
    with pytest.raises(ClusterError, match="legacy integration"):
        provider().describe()
    assert not any(one.method == "POST" and "token" in one.path and other in one.path for one in azure.asked)


KUBECONFIGS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no YAML": lambda: b"{[",
    "another shape": lambda: b'{"clusters": "x"}',
    "no cluster": lambda: b'{"clusters": [], "users": []}',
    "plain http": lambda: entra_kubeconfig("http://shop.example.org", AUTHORITY.pair.certificate),
    "no certificate": lambda: entra_kubeconfig(SERVER, b"hello"),
    "a secret that is none": lambda: entra_kubeconfig(SERVER, AUTHORITY.pair.certificate).replace(b'"exec"', b'"token"'),
    "large": lambda: entra_kubeconfig(SERVER, AUTHORITY.pair.certificate) + b" " * 1024**2,
}


@pytest.mark.parametrize("make", KUBECONFIGS.values(), ids=KUBECONFIGS)
def test_a_kubeconfig_of_another_shape_is_an_error_that_shows_nothing_of_it(azure: FakeAzure, make: Callable[[], bytes]) -> None:
    azure.arm.clusters[0].kubeconfig = make()
    with pytest.raises(ClusterError, match=r"no kubeconfig|missing or wrong fields") as caught:
        provider().describe()
    assert "hello" not in caught.value.message


def test_settings_of_other_types_are_taken_for_absent(azure: FakeAzure) -> None:
    model = managed_cluster()
    raw = {"properties": {"powerState": "on", "agentPoolProfiles": [7, {"name": ["x"]}], "aadProfile": 3, "addonProfiles": {"x": 1}}}
    azure.arm.clusters[0].model = type(model)({"id": model.id, "name": NAME, "location": 9, **raw})
    found = provider().describe()
    assert found.status == "unknown"
    assert found.version == ""
    assert [pool["name"] for pool in found.details["agentPoolProfiles"]] == ["", ""]


def test_no_secret_is_logged_at_any_level(azure: FakeAzure, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    pair = AUTHORITY.client("masterclient", "system:masters")
    aks = provider()
    cluster = aks.inspect(aks.describe())
    credential = aks.credential()
    azure.arm.clusters[0].kubeconfig = certificate_kubeconfig(SERVER, AUTHORITY.pair.certificate, pair)
    certificate = provider().credential()
    written = "".join((caplog.text, *capfd.readouterr(), repr(cluster), repr(credential), repr(certificate)))
    for secret in (PIPELINE.secret, *azure.entra.issued, pair.key.decode().splitlines()[1], "planted-static-token-51c2"):
        assert secret not in written
    # Something was logged.
    assert "management.azure.com" in caplog.text


def test_importing_it_loads_no_kubernetes_and_no_other_cloud() -> None:
    modules = "meshinstall.adapters.aks.provider, meshinstall.adapters.aks.transport, azure.identity, azure.mgmt.containerservice"
    code = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"kubernetes", "boto3", "botocore", "google", "grpc", "moto"}


def test_the_adapter_alone_loads_no_sdk() -> None:
    code = "import sys, meshinstall.adapters.aks.provider; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert not {name.split(".")[0] for name in done.stdout.split()} & {"azure", "requests", "urllib3", "msal", "cryptography", "yaml"}
