"""What Azure refuses, in its own terms: by the codes of Resource Manager and the numbers of Entra ID."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from meshinstall.adapters.aks.refusals import TABLE
from meshinstall.adapters.aks.sign_in_errors import no_token
from meshinstall.adapters.cloud.refusals import find
from meshinstall.errors import ClusterError, ForbiddenError, MeshinstallError, UnauthorizedError, UnreachableError
from testbed.clouds.aks import Answer, FakeAzure, Fault
from testbed.clouds.aks_shop import GROUP, NAME, SUBSCRIPTION
from tests.clouds.aks_world import provider

_SIGN_IN = "listClusterUserCredential"
_ACTION = f"Microsoft.ContainerService/managedClusters/{_SIGN_IN}/action"


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer of Resource Manager, and what is made of it: the kind of error, and parts of its message and its hint."""

    status: int
    code: str
    text: str
    kind: type[MeshinstallError]
    said: str
    hint: str


CASES = {
    "a deny assignment": Refused(
        403,
        "DenyAssignmentAuthorizationFailed",
        f"The client 'x' has permission to perform action '{_ACTION}' on scope '/s'; however, the access is denied because of the deny "
        "assignment with name 'Managed by stack corp' and Id 'd'.",
        ForbiddenError,
        "a deny assignment forbids it, and no role changes that: Managed by stack corp",
        "ask the owner of the deny assignment",
    ),
    "a deny assignment under the old code": Refused(
        403,
        "AuthorizationFailed",
        f"The client 'x' has permission to perform action '{_ACTION}'; the access is denied because of the deny assignment with name 'n'.",
        ForbiddenError,
        "a deny assignment forbids it",
        "deny-assignments",
    ),
    "a policy": Refused(
        403,
        "RequestDisallowedByPolicy",
        "Resource 'shop' was disallowed by policy. Policy identifiers: "
        '\'[{"policyAssignment":{"name":"No static kubeconfigs","id":"/p"},"policyDefinition":{"name":"d","id":"/d"}}]\'.',
        ForbiddenError,
        "an Azure Policy of the organisation forbids it, and no role changes that: No static kubeconfigs",
        "exemption",
    ),
    "a read-only lock": Refused(
        409,
        "ScopeLocked",
        f"The scope '/s' cannot perform write operation because following scope(s) are locked: '/subscriptions/{SUBSCRIPTION}'. Remove it.",
        ClusterError,
        f"a ReadOnly lock also forbids asking for credentials, which is a POST: /subscriptions/{SUBSCRIPTION}",
        f"az lock list --resource-group {GROUP}",
    ),
    "an unregistered provider": Refused(
        409,
        "MissingSubscriptionRegistration",
        "The subscription is not registered to use namespace 'Microsoft.ContainerService'.",
        ClusterError,
        "the subscription has never used AKS",
        f"az provider register --namespace Microsoft.ContainerService --subscription {SUBSCRIPTION}",
    ),
    "a disabled subscription": Refused(
        409,
        "ReadOnlyDisabledSubscription",
        "The subscription 's' is disabled and therefore marked as read only.",
        ClusterError,
        "the subscription is disabled",
        "ask its owner to enable it again",
    ),
    "throttling": Refused(
        429,
        "SubscriptionRequestsThrottled",
        "Number of requests exceeded the limit.",
        UnreachableError,
        "Azure is busy or broken (429 SubscriptionRequestsThrottled)",
        "ask for fewer subscriptions",
    ),
    "an API version that a sovereign cloud lacks": Refused(
        400,
        "NoRegisteredProviderFound",
        "No registered resource provider found for location 'x' and API version '2026-08-01'.",
        ClusterError,
        "does not have the version of the AKS API",
        "azure-mgmt-containerservice",
    ),
    "a code that nobody knows": Refused(
        403, "Strange", "No.", ForbiddenError, f"missing permission {_ACTION}", "az role assignment create"
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_resource_manager_refuses(azure: FakeAzure, case: Refused) -> None:
    body = json.dumps({"error": {"code": case.code, "message": case.text}}).encode()
    headers = {"Retry-After": "0"} if case.status == 429 else {}
    azure.faults.append(Fault(_SIGN_IN, Answer(case.status, body, headers=headers), count=9))
    with pytest.raises(case.kind) as caught:
        provider().describe()
    assert case.said in caught.value.message
    assert case.hint in caught.value.hint
    assert ("missing permission" in caught.value.message) == ("missing permission" in case.said)


def test_a_lock_or_a_policy_on_the_settings_stops_nothing(azure: FakeAzure) -> None:
    body = json.dumps({"error": {"code": "RequestDisallowedByPolicy", "message": "Disallowed by policy."}}).encode()
    azure.faults.append(Fault(f"managedClusters/{NAME}?", Answer(403, body), count=9))
    found = provider().describe()
    assert found.ready
    assert "an Azure Policy of the organisation forbids it" in found.unread["the cluster's settings"].why


_TRACE = "Trace ID: 12 Correlation ID: 3f2504e0-4f89-11d3-9a0c-0305e82c3301 Timestamp: 2026-11-28 21:31:23Z"
NUMBERS = {
    50076: ("multi-factor authentication", "log in again at a browser"),
    50079: ("multi-factor authentication", "log in again at a browser"),
    53003: ("a Conditional Access policy", "Correlation ID 3f2504e0-4f89-11d3-9a0c-0305e82c3301"),
    53000: ("a Conditional Access policy", "managed device"),
    530003: ("a Conditional Access policy", "managed device"),
    50158: ("a Conditional Access policy", "managed device"),
    700016: ("the tenant does not have this application", "AZURE_CLIENT_ID"),
    7000215: ("the secret is wrong", "AZURE_CLIENT_SECRET"),
    7000222: ("the application's secret has expired", "az ad app credential reset"),
    70043: ("the stored login has expired or was revoked", "az logout, then az login (https"),
    700082: ("the stored login has expired or was revoked", "az logout, then az login (https"),
    50173: ("the stored login has expired or was revoked", "az logout, then az login (https"),
    65001: ("nobody has consented", "ask an administrator of the tenant"),
    90002: ("Entra ID does not know the tenant", "--tenant or AZURE_TENANT_ID"),
    50020: ("the account does not exist in this tenant", "invitation as a guest"),
    500011: ("another cloud of Azure", "AZURE_AUTHORITY_HOST"),
    999999: ("", "https://login.microsoftonline.com/error?code=999999"),
}


@pytest.mark.parametrize(("number", "means", "do"), [(number, *row) for number, row in NUMBERS.items()], ids=map(str, NUMBERS))
def test_entra_id_refuses(number: int, means: str, do: str) -> None:
    text = f"DefaultAzureCredential failed.\n\tAzureCliCredential: ERROR: AADSTS{number}: No, not at all. {_TRACE}\r\n"
    error = no_token(text, "listing the subscriptions")
    assert isinstance(error, UnauthorizedError)
    assert error.message.startswith(f"listing the subscriptions: Entra ID refused to issue a token: AADSTS{number}: No, not at all.")
    assert means in error.message
    assert do in error.hint
    assert "Trace ID" not in error.message


def test_az_is_heard_to_the_end_and_no_further() -> None:
    scope = "https://management.core.windows.net//.default"
    advice = f'az logout\naz login --tenant "t.example" --scope "{scope}"\naz login; rm -rf /\n'
    error = no_token(f"ERROR: AADSTS50076: {'x' * 550}\nInteractive authentication is needed. Please run:\n{advice}", "a")
    assert f'az logout && az login --tenant "t.example" --scope "{scope}" && az login;' in error.hint
    assert "rm -rf" not in error.hint


def test_commands_name_the_tenant_that_was_asked_for() -> None:
    text = "AzureCliCredential: Please run 'az login' to set up an account"
    assert no_token(text, "a", "t.example").hint.startswith("az login --tenant t.example; in CI set AZURE_TENANT_ID,")
    assert no_token(text, "a", "$(reboot)").hint.startswith("az login; in CI set")
    assert "az login --tenant t.example" in no_token("AADSTS700082: It expired.", "a", "t.example").hint


def test_each_code_is_of_one_kind() -> None:
    for kind in TABLE:
        for code in kind.codes:
            assert find(TABLE, code, kind.says) is kind


def test_certificates_that_are_not_there_are_named(azure: FakeAzure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = tmp_path / "gone.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(missing))
    with pytest.raises(UnreachableError, match=f"REQUESTS_CA_BUNDLE={missing} does not exist"):
        provider().describe()
    empty = tmp_path / "certificates"
    empty.mkdir()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(empty))
    with pytest.raises(UnreachableError, match=f"not trusted \\(by REQUESTS_CA_BUNDLE={empty}\\)") as caught:
        provider().describe()
    assert "openssl rehash" in caught.value.hint
    assert not azure.count(GROUP)


def test_certificates_that_are_not_there_are_named_past_a_login_of_its_own(
    azure: FakeAzure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tests.clouds.aks_cli import by_cli

    by_cli(azure, monkeypatch, tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    # The login is az's own and succeeds: Resource Manager is the first to be asked from here.
    with pytest.raises(UnreachableError, match="does not exist"):
        provider().describe()
