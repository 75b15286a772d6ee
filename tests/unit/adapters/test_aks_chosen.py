"""Whose identity is used for AKS: one choice from flags, files and the environment, without a request."""

from collections.abc import Mapping

import pytest
from azure.core import AzureClouds
from azure.mgmt.core.tools import get_arm_endpoints

from meshinstall.adapters.aks.chosen import choose
from meshinstall.adapters.aks.clouds import AzClouds, find_cloud, read_az
from meshinstall.adapters.aks.identity import caller, cluster_user, object_id, read_claims
from meshinstall.errors import UsageError
from meshinstall.model.cluster import Caller
from testbed.clouds.aks_entra import Entra, Principal

TENANT, OTHER = "11111111-2222-3333-4444-555555555555", "22222222-3333-4444-5555-666666666666"
CLIENT = "99999999-0000-0000-0000-00000000aaaa"
APPLICATION = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT}
SECRET = {**APPLICATION, "AZURE_CLIENT_SECRET": "planted-secret"}

WAYS: dict[str, tuple[Mapping[str, str], str, str, tuple[str, ...]]] = {
    "a secret": (SECRET, "AZURE_CLIENT_SECRET", "EnvironmentCredential", ("AZURE_CLIENT_SECRET",)),
    "a certificate with a password": (
        {**APPLICATION, "AZURE_CLIENT_CERTIFICATE_PATH": "/c.pem", "AZURE_CLIENT_CERTIFICATE_PASSWORD": "planted"},
        "AZURE_CLIENT_CERTIFICATE_PATH",
        "EnvironmentCredential",
        ("AZURE_CLIENT_CERTIFICATE_PASSWORD",),
    ),
    "a certificate": ({**APPLICATION, "AZURE_CLIENT_CERTIFICATE_PATH": "/c"}, "AZURE_CLIENT_CERTIFICATE_PATH", "EnvironmentCredential", ()),
    "a password": (
        {"AZURE_CLIENT_ID": CLIENT, "AZURE_USERNAME": "a@b.example", "AZURE_PASSWORD": "planted"},
        "AZURE_USERNAME and AZURE_PASSWORD",
        "EnvironmentCredential",
        ("AZURE_PASSWORD",),
    ),
    "workload identity": (
        {**APPLICATION, "AZURE_FEDERATED_TOKEN_FILE": "/token"},
        f"workload identity {CLIENT}",
        "WorkloadIdentityCredential",
        (),
    ),
    "managed identity of App Service": (
        {"AZURE_CLIENT_ID": CLIENT, "IDENTITY_ENDPOINT": "http://127.0.0.1/msi", "IDENTITY_HEADER": "planted"},
        f"managed identity {CLIENT}",
        "ManagedIdentityCredential",
        ("IDENTITY_HEADER",),
    ),
    "the machine's, by name": (
        {"AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential"},
        "managed identity of this machine",
        "ManagedIdentityCredential",
        (),
    ),
    "az, although a secret is there": ({**SECRET, "AZURE_TOKEN_CREDENTIALS": "azureclicredential"}, "az login", "AzureCliCredential", ()),
    "people's logins, although a secret is there": (
        {**SECRET, "AZURE_TOKEN_CREDENTIALS": "dev"},
        "the first login that the Azure SDK finds",
        "dev",
        (),
    ),
}


@pytest.mark.parametrize(("environ", "by", "pinned", "secrets"), WAYS.values(), ids=WAYS)
def test_what_chose_the_identity_is_named_and_pinned_without_its_secrets(
    environ: Mapping[str, str], by: str, pinned: str, secrets: tuple[str, ...]
) -> None:
    found = choose({}, environ)
    assert found.by == by
    assert found.variables["AZURE_TOKEN_CREDENTIALS"] == pinned
    assert found.secrets == secrets
    assert not [value for value in found.variables.values() if "planted" in value]


def test_the_login_that_gave_a_token_is_pinned() -> None:
    found = choose({}, {}, way="AzureDeveloperCliCredential")
    assert found.by == "azd auth login"
    assert found.variables == {
        "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com",
        "AZURE_TOKEN_CREDENTIALS": "AzureDeveloperCliCredential",
    }


def test_files_are_named_so_that_they_are_found_from_any_folder() -> None:
    environ = {"AZURE_CONFIG_DIR": "az", "REQUESTS_CA_BUNDLE": "/ca.pem", "AZURE_FEDERATED_TOKEN_FILE": "jwt"}
    found = choose({}, environ, folder="/home/anna").variables
    assert found["AZURE_CONFIG_DIR"] == "/home/anna/az"
    assert found["AZURE_FEDERATED_TOKEN_FILE"] == "/home/anna/jwt"  # noqa: S105 - a file's name
    assert found["REQUESTS_CA_BUNDLE"] == "/ca.pem"


def test_the_option_is_stronger_than_the_variable() -> None:
    assert choose({"tenant": OTHER}, SECRET).selectors == {"tenant": OTHER}
    assert choose({}, SECRET).selectors == {"tenant": TENANT}
    assert choose({}, {"AZURE_TENANT_ID": "organizations"}).selectors == {}
    assert choose({"tenant": "corp.onmicrosoft.com"}, {}).selectors == {"tenant": "corp.onmicrosoft.com"}


@pytest.mark.parametrize("environ", [{"AZURE_TENANT_ID": "a b"}, {"AZURE_TENANT_ID": "../x"}])
def test_a_variable_that_is_no_tenant_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"AZURE_TENANT_ID .* is not a tenant"):
        choose({}, environ)


@pytest.mark.parametrize("cloud", list(AzureClouds))
def test_the_sdks_clouds_are_as_the_sdk_has_them(cloud: AzureClouds) -> None:
    login = {"AZURE_US_GOVERNMENT": "login.microsoftonline.us", "AZURE_CHINA_CLOUD": "https://login.partner.microsoftonline.cn/"}
    found, theirs = find_cloud(login.get(cloud, "login.microsoftonline.com"), AzClouds()), get_arm_endpoints(cloud)
    assert f"{found.manager}/" == theirs["resource_manager"]
    assert [found.scope] == theirs["credential_scopes"]


def test_sovereign_clouds_are_known_by_their_hosts() -> None:
    found = find_cloud("https://LOGIN.sovcloud-identity.fr/", AzClouds())
    assert found.manager == "https://management.sovcloud-api.fr"
    with pytest.raises(UsageError, match="is not the login host of an Azure cloud: evil"):
        find_cloud("https://user:planted@evil.example/x", AzClouds())


REGISTERED = """[Stack]
endpoint_active_directory = https://login.stack.example/
endpoint_resource_manager = https://management.stack.example
endpoint_active_directory_resource_id = https://management.core.stack.example/
"""


def test_the_cloud_of_az_counts_for_people_and_not_for_programs() -> None:
    az = read_az("[cloud]\nname = Stack\n", REGISTERED, {})
    assert az.current == "login.stack.example"
    assert choose({}, {}, az, "AzureCliCredential").variables["AZURE_AUTHORITY_HOST"] == "https://login.stack.example"
    assert choose({}, SECRET, az).variables["AZURE_AUTHORITY_HOST"] == "https://login.microsoftonline.com"
    assert choose({}, {}, az, "AzureCliCredential").by == "az login at login.stack.example"
    found = find_cloud(az.current, az)
    assert found.scope == "https://management.core.stack.example/.default"
    assert found.private is True
    assert read_az("[cloud]\nname = Stack\n", REGISTERED, {"AZURE_CLOUD_NAME": "AzureChinaCloud"}).current == "login.chinacloudapi.cn"


@pytest.mark.parametrize("text", ["[cloud", "\0", "name = x", "[cloud]\nname = ${X}%(y)s\n", "[a]\nendpoint_active_directory = http://[\n"])
def test_files_of_another_shape_say_nothing(text: str) -> None:
    assert read_az(text, text, {}).current == ""


def test_an_endpoint_without_tls_is_not_a_cloud() -> None:
    assert read_az("", REGISTERED.replace("https://management.stack", "http://management.stack"), {}).registered == {}


ENTRA = Entra(TENANT)
APP = Principal(oid="99999999-0000-0000-0000-000000000001", client_id=CLIENT)
ANNA = Principal(oid="99999999-0000-0000-0000-000000000003", upn="anna@example.org")
GUEST = Principal(oid="99999999-0000-0000-0000-000000000004", upn="anna@example.org", home=OTHER)
WHO = {
    "an application": (APP, Caller(f"application {CLIENT}", f"x, tenant {TENANT}, object ID {APP.oid}"), APP.oid),
    "a person": (ANNA, Caller("anna@example.org", f"x, tenant {TENANT}, object ID {ANNA.oid}"), "anna@example.org"),
    "a guest": (GUEST, Caller("anna@example.org", f"x, guest in tenant {TENANT}, object ID {GUEST.oid}"), GUEST.oid),
}


@pytest.mark.parametrize(("who", "expected", "in_cluster"), WHO.values(), ids=WHO)
def test_a_token_says_whose_it_is(who: Principal, expected: Caller, in_cluster: str) -> None:
    claims = read_claims(ENTRA.sign(who, "https://management.azure.com"))
    assert caller(claims, "x") == expected
    assert cluster_user(claims) == in_cluster
    assert object_id(claims) == who.oid


@pytest.mark.parametrize(
    "token", [None, 7, "", "a.b", "a.b.c", "a.!!.c", "a.bnVsbA.c", "a.W10.c", f"a.{'W' * 100_000}.c", "a.eyJ1cG4iOg.c"]
)
def test_what_is_not_a_token_says_nothing(token: object) -> None:
    assert read_claims(token) == {}
    assert caller(read_claims(token), "x") is None


def test_claims_are_foreign_text() -> None:
    claims = {"upn": "a\x1b[2J\r\n::error::" + "y" * 5000, "oid": "x' || true", "tid": ["t"], "appid": {"a": 1}, "idp": None}
    found = caller(claims, "x")
    assert found
    assert str(found).isprintable()
    assert len(str(found)) < 300
    assert object_id(claims) == ""
    assert caller({"oid": 7, "upn": 8}, "x") is None
