"""An account as large companies have them: a guest whose az is logged in to another tenant, Conditional Access, policies, privacy."""

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from meshinstall.adapters.aks.provider import AksProvider
from meshinstall.checks.clouds.judge import judge
from meshinstall.errors import ClusterError, UnauthorizedError, UsageError
from meshinstall.model.cluster import Cloud, ClusterRef, EndpointKind
from testbed.clouds import aks_az
from testbed.clouds.aks import FakeAzure
from testbed.clouds.aks_arm import USER_ROLE
from testbed.clouds.aks_awkward import ANNA, GUARDED, GUEST, HOME, PRIVATE, REFRESH, add_private_cluster, awkward
from testbed.clouds.aks_entra import Entra, Principal
from testbed.clouds.aks_shop import GROUP, NAME, PIPELINE, SUBSCRIPTION, TENANT, add_cluster, entra_kubeconfig, managed_cluster
from tests.clouds.aks_cli import claims
from tests.clouds.aks_world import AUTHORITY, LIMITS, SERVER, pipeline, provider
from tests.clouds.test_aks_checks import mesh


@pytest.fixture
def azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAzure]:
    """The awkward account; the caller is Anna, whose az is logged in to her own tenant."""
    for name in list(os.environ):
        if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "IMDS_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    fake = awkward(tmp_path)
    add_private_cluster(fake, SERVER, AUTHORITY.pair.certificate)
    az = aks_az.install(tmp_path, HOME, REFRESH)
    for name, value in {**fake.environment(), **az, "PATH": str(tmp_path), "AZURE_TOKEN_CREDENTIALS": "AzureCliCredential"}.items():
        monkeypatch.setenv(name, value)
    with fake.running():
        yield fake


def listing(**selectors: str) -> AksProvider:
    return AksProvider(ClusterRef(Cloud.AKS, selectors=selectors), limits=LIMITS)


def test_a_login_of_another_tenant_is_told_the_right_one(azure: FakeAzure) -> None:
    with pytest.raises(UnauthorizedError, match="InvalidAuthenticationTokenTenant") as caught:
        provider().describe()
    assert f"--tenant {TENANT}" in caught.value.hint
    assert azure.count("listClusterUserCredential") == 1


def test_the_tenant_reaches_az_and_the_cluster(azure: FakeAzure) -> None:
    aks = provider(tenant=TENANT, endpoint="public")
    found = aks.describe()
    assert found.selectors == {"login": "entra", "tenant": TENANT}
    assert aks.chosen().selectors == {"tenant": TENANT}
    said = claims(azure, aks.credential().token)
    assert said["oid"] == GUEST.oid
    assert said["tid"] == TENANT


def test_the_variable_reaches_az_too(azure: FakeAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    assert claims(azure, provider().credential().token)["tid"] == TENANT


def test_a_plugin_gives_no_token_of_another_tenant_than_it_was_told(azure: FakeAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    # A variable of this shell belongs to somebody else's work.
    monkeypatch.setenv("AZURE_TENANT_ID", HOME)
    plugin = provider(login="entra", tenant=TENANT)
    assert claims(azure, plugin.credential().token)["tid"] == TENANT
    assert azure.count("managedClusters") == 0
    monkeypatch.setenv("AZURE_IDENTITY_DISABLE_MULTITENANTAUTH", "true")
    monkeypatch.delenv("AZURE_TENANT_ID")
    azure.entra.principals.clear()
    with pytest.raises(UnauthorizedError, match=r"AADSTS50020|gave a token of tenant"):
        provider(login="entra", tenant=TENANT).credential()


def test_a_managed_identity_of_another_tenant_is_refused(azure: FakeAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    azure.machine = Principal(oid="99999999-0000-0000-0000-0000000000b1", client_id="99999999-0000-0000-0000-00000000cccc")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    with pytest.raises(UnauthorizedError, match=f"ManagedIdentityCredential gave a token of tenant {TENANT}, and tenant {HOME} is needed"):
        provider(login="entra", tenant=HOME).credential()


def test_a_plugin_that_was_not_told_the_tenant_asks_azure(azure: FakeAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    assert claims(azure, provider(login="entra").credential().token)["tid"] == TENANT
    assert azure.count("listClusterUserCredential") == 1


def test_a_cluster_whose_entra_id_is_another_tenants_gets_that_ones_tokens(azure: FakeAzure) -> None:
    kubeconfig = entra_kubeconfig(SERVER, AUTHORITY.pair.certificate).replace(TENANT.encode(), HOME.encode())
    azure.arm.clusters[0].kubeconfig = kubeconfig
    aks = provider(tenant=TENANT)
    assert aks.describe().selectors["tenant"] == HOME
    assert aks.chosen().selectors == {"tenant": HOME}
    home = azure.arm.others[0]
    assert home.claims(aks.credential().token, ("6dae42f8-4368-4678-94ff-3960e28e3630",))["oid"] == ANNA.oid


def test_an_application_of_another_tenant_gets_tokens_of_the_one_that_is_asked_for(
    azure: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**pipeline(), "AZURE_TENANT_ID": HOME, "AZURE_TOKEN_CREDENTIALS": ""}.items():
        monkeypatch.setenv(name, value)
    assert claims(azure, provider(tenant=TENANT).credential().token)["oid"] == PIPELINE.oid


WRONG_TENANTS = {"a word of Entra ID's": "organizations", "a path": "../x", "an address": "https://login.example.org"}


@pytest.mark.usefixtures("azure")
@pytest.mark.parametrize("tenant", WRONG_TENANTS.values(), ids=WRONG_TENANTS)
def test_a_tenant_that_cannot_be_is_refused(tenant: str) -> None:
    with pytest.raises(UsageError, match="is not a tenant") as caught:
        provider(tenant=tenant).describe()
    assert "az account show" in caught.value.hint


def test_who_asks_is_known_from_the_token(azure: FakeAzure) -> None:
    aks = provider(tenant=TENANT)
    before = len(azure.asked)
    described = aks.describe()
    asked = len(azure.asked) - before
    caller = aks.inspect(described).caller
    assert caller
    assert caller.name == GUEST.upn
    assert caller.chosen_by == f"az login, guest in tenant {TENANT}, object ID {GUEST.oid}"
    # Two tokens at most and the requests for the cluster: none to learn who asks.
    assert asked <= 4
    listed = listing(tenant=TENANT).discover()
    assert listed.caller == caller


def test_a_guest_is_bound_in_the_cluster_by_the_object_id(azure: FakeAzure, tmp_path: Path) -> None:
    aks = provider(tenant=TENANT)
    found = aks.inspect(aks.describe())
    found = replace(found, details={**found.details, "reachable": "yes"})
    hint = next(one.hint for one in judge(found, [], mesh(tmp_path)) if one.code == "AKS004")
    assert f"--user {GUEST.oid}," in hint
    assert azure.count("/me") == 0


def test_a_policy_on_something_optional_stops_nothing_and_is_named(azure: FakeAzure) -> None:
    aks = provider(tenant=TENANT)
    ((what, why),) = aks.inspect(aks.describe()).unread.items()
    assert what == "the Kubernetes versions that AKS supports"
    assert not why.permission
    for part in ("an Azure Policy of the organisation forbids it", "Only named regions", "az policy assignment list"):
        assert part in why.why
    assert azure.count("kubernetesVersions") == 1


def test_conditional_access_of_one_subscription_does_not_hide_the_other(azure: FakeAzure) -> None:
    found = listing(tenant=TENANT).discover()
    assert [one.name for one in found.clusters] == [NAME]
    assert set(found.failures) == {GUARDED}
    said = found.failures[GUARDED]
    challenge = base64.b64encode(b'{"access_token":{"acrs":{"essential":true,"value":"c1"}}}').decode()
    assert "Conditional Access" in said
    # az's own advice, to its last character.
    assert f"az login --claims-challenge {challenge} --tenant {TENANT} --scope https://management.azure.com/.default" in said
    assert azure.count(GUARDED) == 1


def test_a_tenant_without_subscriptions_is_not_an_empty_list(azure: FakeAzure) -> None:
    found = listing().discover()
    assert found.clusters == ()
    assert f"tenant {HOME}" in found.failures
    assert "--tenant" in found.failures[f"tenant {HOME}"]
    assert azure.count("/subscriptions?") == 1


def test_subscriptions_that_are_all_disabled_are_told(azure: FakeAzure) -> None:
    azure.arm.states = dict.fromkeys(azure.arm.subscriptions, "Disabled")
    found = listing(tenant=TENANT).discover()
    assert found.failures[SUBSCRIPTION].startswith("the subscription is Disabled")


def test_the_public_name_of_a_private_cluster_is_used_when_it_is_asked_for(azure: FakeAzure) -> None:
    private, public = provider(tenant=TENANT).describe(), provider(tenant=TENANT, endpoint="public").describe()
    assert private.endpoint
    assert private.endpoint.server == PRIVATE
    assert private.endpoint.kind is EndpointKind.PRIVATE
    assert public.endpoint
    assert public.endpoint.server == SERVER
    assert public.endpoint.kind is EndpointKind.PUBLIC
    assert azure.count("server-fqdn=public") == 1
    (listed,) = listing(tenant=TENANT, subscription=SUBSCRIPTION, endpoint="public").discover().clusters
    assert listed.endpoint
    assert listed.endpoint.server == SERVER


def test_a_private_name_that_does_not_resolve_leads_to_the_public_one(azure: FakeAzure, tmp_path: Path) -> None:
    aks = provider(tenant=TENANT)
    found = aks.describe()
    found = replace(found, details={**found.details, "reachable": "no address"})
    hint = next(one.hint for one in judge(found, [], mesh(tmp_path)) if one.code == "AKS003")
    assert "--endpoint public" in hint
    azure.arm.clusters[0].public = b""
    with pytest.raises(ClusterError, match="is private and has no public name") as caught:
        provider(tenant=TENANT, endpoint="public").describe()
    assert caught.value.hint == f"add one: az aks update --name {NAME} --resource-group {GROUP} --enable-public-fqdn"


def test_a_way_that_a_cluster_does_not_have_is_refused(azure: FakeAzure) -> None:
    with pytest.raises(UsageError, match="--endpoint dns is not a way to an AKS cluster"):
        provider(tenant=TENANT, endpoint="dns").describe()
    azure.arm.clusters.clear()
    add_cluster(azure, entra_kubeconfig(SERVER, AUTHORITY.pair.certificate), managed_cluster())
    with pytest.raises(ClusterError, match="has no private endpoint"):
        provider(tenant=TENANT, endpoint="private").describe()


def test_az_of_another_cloud_is_followed(azure: FakeAzure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "azure/config").write_text("[cloud]\nname = AzureUSGovernment\n")
    aks_az.install(tmp_path, HOME, REFRESH, "login.microsoftonline.us")
    aks = provider(tenant=TENANT)
    assert aks.describe().ready
    assert {one.host for one in azure.asked} == {"login.microsoftonline.us", "management.usgovcloudapi.net"}
    assert aks.chosen().variables["AZURE_AUTHORITY_HOST"] == "https://login.microsoftonline.us"
    # A variable says it more loudly than az.
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "login.microsoftonline.com")
    assert provider(tenant=TENANT).chosen().variables["AZURE_AUTHORITY_HOST"] == "https://login.microsoftonline.com"


def test_a_cloud_that_only_az_knows_is_asked(azure: FakeAzure, tmp_path: Path) -> None:
    told = "[Corp]\nendpoint_active_directory = https://login.chinacloudapi.cn\nendpoint_resource_manager = https://management.azure.com/\n"
    (tmp_path / "azure/clouds.config").write_text(told.replace("login.chinacloudapi.cn", "login.corp.example"))
    (tmp_path / "azure/config").write_text("[cloud]\nname = Corp\n")
    assert provider(tenant=TENANT).describe().ready
    assert provider().chosen().variables["AZURE_AUTHORITY_HOST"] == "https://login.corp.example"
    assert azure.count("listClusterUserCredential") == 1


MFA = "Due to a configuration change made by your administrator, you must use multi-factor authentication to access 'x'."


def test_advice_of_az_is_not_cut_off(azure: FakeAzure) -> None:
    azure.entra.refusals[GUEST.oid] = (50076, f"{MFA} {'y' * 380}")
    with pytest.raises(UnauthorizedError, match="AADSTS50076: Due to a configuration change") as caught:
        provider(tenant=TENANT).describe()
    assert "the tenant asks for multi-factor authentication" in caught.value.message
    assert f'az login --tenant "{TENANT}" --scope "https://management.azure.com/.default"' in caught.value.hint
    assert "secret" not in caught.value.hint


def test_the_kubeconfig_says_whose_it_is_and_holds_no_secret(azure: FakeAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    from meshinstall.wiring import exec_kubeconfig

    monkeypatch.delenv("AZURE_TOKEN_CREDENTIALS")
    said: list[str] = []
    wanted = {"subscription": SUBSCRIPTION, "resource_group": GROUP, "tenant": TENANT, "endpoint": "public"}
    text = exec_kubeconfig(ClusterRef(Cloud.AKS, NAME, selectors=wanted), said.append, lambda _: None)
    plugin = json.loads(text)["users"][0]["user"]["exec"]
    env = {one["name"]: one["value"] for one in plugin["env"]}
    assert f"--tenant={TENANT}" in plugin["args"]
    assert "--login=entra" in plugin["args"]
    assert env["AZURE_TOKEN_CREDENTIALS"] == "AzureCliCredential"  # noqa: S105 - the name of a way to sign in
    assert env["AZURE_CONFIG_DIR"] == os.environ["AZURE_CONFIG_DIR"]
    assert env["AZURE_AUTHORITY_HOST"] == "https://login.microsoftonline.com"
    assert env["REQUESTS_CA_BUNDLE"] == str(azure.bundle)
    assert REFRESH not in text
    assert said == []


def test_another_tenant_of_the_fake_has_keys_of_its_own(azure: FakeAzure) -> None:
    # The fake is to be trusted only if it checks this.
    forged = Entra(HOME, ANNA).sign(ANNA, "https://management.azure.com")
    for path in ("/subscriptions", f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ContainerService/managedClusters"):
        answer = azure.respond("management.azure.com", "GET", f"{path}?api-version=2022-12-01", {"Authorization": f"Bearer {forged}"}, b"")
        assert answer.status == 401
    assert azure.arm.grants[GUEST.oid] >= USER_ROLE
