"""Azure logins that fail, or are half there: each is told with what helps for that way to sign in, and never by somebody else's numbers."""

import json
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from meshinstall.errors import ForbiddenError, MeshinstallError, UnauthorizedError, UnreachableError, UsageError
from testbed.clouds.aks import Answer, FakeAzure, Fault
from testbed.clouds.aks_shop import GROUP, PIPELINE, TENANT
from tests.clouds.aks_world import pipeline, provider

APPLICATION = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": PIPELINE.client_id}
MACHINE = {"AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential"}
IMDS, SIGN_IN = "/metadata/identity/oauth2/token", "listClusterUserCredential"
MANY = "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request"
EXPIRED = (
    "ERROR: AADSTS700082: The refresh token has expired. Trace ID: x Correlation ID: 3f2504e0-4f89-11d3-9a0c-0305e82c3301\n"
    "Interactive authentication is needed. Please run:\naz logout\naz login"
)
BROKEN = "Traceback (most recent call last):\n  File x\nPermissionError: [Errno 13] Permission denied: 'msal_token_cache.json'"


@dataclass(frozen=True, slots=True)
class Case:
    """Variables of somebody (HOME stands for a folder), what az prints or the machine's service says; what is said, and the hint."""

    kind: type[MeshinstallError]
    said: str
    hint: str
    variables: Mapping[str, str] = field(default_factory=dict)
    az: str = ""
    imds: str = ""


CASES = {
    "several identities": Case(UnauthorizedError, MANY, "set AZURE_CLIENT_ID to the client ID of one", imds=MANY),
    "several identities, and no other way": Case(UnauthorizedError, MANY, "set AZURE_CLIENT_ID", MACHINE, imds=MANY),
    "an identity that the machine does not have": Case(
        UnauthorizedError, "Identity not found", "az vm identity assign --identities", {"AZURE_CLIENT_ID": PIPELINE.client_id}
    ),
    "a machine without an identity": Case(
        UnauthorizedError, "(AZURE_TOKEN_CREDENTIALS=ManagedIdentityCredential)", "this machine has no managed identity", MACHINE
    ),
    "a service of identities that is away": Case(
        UnreachableError,
        "the identity service of this machine does not answer",
        "check IDENTITY_ENDPOINT",
        {"IDENTITY_ENDPOINT": "http://127.0.0.1:9/x", "IDENTITY_HEADER": "planted"},
    ),
    "a federated token that is missing": Case(
        UnauthorizedError,
        "No such file",
        "azure.workload.identity/use=true",
        {**APPLICATION, "AZURE_FEDERATED_TOKEN_FILE": "HOME/gone"},
    ),
    "a secret of nobody": Case(
        UnauthorizedError,
        "AZURE_CLIENT_SECRET is set without AZURE_CLIENT_ID",
        "set AZURE_CLIENT_ID too",
        {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_SECRET": "planted"},
    ),
    "a federated token of no tenant": Case(
        UnauthorizedError,
        "AZURE_FEDERATED_TOKEN_FILE is set without AZURE_TENANT_ID",
        "set AZURE_TENANT_ID too",
        {"AZURE_CLIENT_ID": PIPELINE.client_id, "AZURE_FEDERATED_TOKEN_FILE": "HOME/gone"},
    ),
    "a certificate that is missing": Case(
        UsageError, "gone.pem", "AZURE_CLIENT_CERTIFICATE_PATH", {**APPLICATION, "AZURE_CLIENT_CERTIFICATE_PATH": "HOME/gone.pem"}
    ),
    "a way that does not exist": Case(
        UsageError, "Invalid value for AZURE_TOKEN_CREDENTIALS", "to one of them, or unset it", {"AZURE_TOKEN_CREDENTIALS": "foo"}
    ),
    "a browser": Case(UsageError, "which meshinstall never opens", "az login", {"AZURE_TOKEN_CREDENTIALS": "InteractiveBrowserCredential"}),
    "ways of programs, and none is there": Case(
        UnauthorizedError,
        "(AZURE_TOKEN_CREDENTIALS=prod)",
        "unset AZURE_TOKEN_CREDENTIALS to try every way",
        {"AZURE_TOKEN_CREDENTIALS": "prod"},
    ),
    "az alone, and it is not on the PATH": Case(
        UnauthorizedError,
        "AzureCliCredential: Azure CLI not found on path",
        "put az on the PATH of this shell",
        {"AZURE_TOKEN_CREDENTIALS": "AzureCliCredential"},
    ),
    # Another way of the chain has a Correlation ID too, which nobody finds in the sign-in logs of az.
    "az, expired": Case(
        UnauthorizedError,
        "AADSTS700082",
        "az logout && az login (https://learn.microsoft.com/cli/azure/authenticate-azure-cli-interactively, "
        "Correlation ID 3f2504e0-4f89-11d3-9a0c-0305e82c3301)",
        az=EXPIRED,
    ),
    "az, broken": Case(UnauthorizedError, "AzureCliCredential: PermissionError: [Errno 13]", "az login", az=BROKEN),
    "az, of another subscription": Case(
        UnauthorizedError, "Subscription 'x' not found", "az login", az="ERROR: Subscription 'x' not found. Check the spelling."
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_login_that_fails_is_told_with_what_helps_for_it(
    azure: FakeAzure, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in pipeline():
        monkeypatch.delenv(name)
    for name, value in case.variables.items():
        monkeypatch.setenv(name, value.replace("HOME", str(tmp_path)))
    if case.az:
        program = tmp_path / "az"
        said = "\n".join(f"echo {shlex.quote(line)}" for line in case.az.splitlines())
        program.write_text(f"#!/bin/sh\nexec >&2\n{said}\nexit 1\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    if case.imds:
        body = json.dumps({"error": "invalid_request", "error_description": case.imds}).encode()
        azure.faults.append(Fault(IMDS, Answer(400, body), count=99))
    for ask in ("credential", "describe"):
        with pytest.raises(case.kind) as caught:
            getattr(provider(), ask)()
        assert case.said in caught.value.message
        assert case.hint in caught.value.hint
        assert "Traceback" not in caught.value.message
        assert "Trace ID" not in caught.value.message
        assert "planted" not in caught.value.in_one_line()


# Numbers of public reports, and what tells their kinds apart.
NUMBERS = {
    500133: "machine's clock is wrong",
    50027: "not a whole token",
    53011: "Conditional Access",
    50097: "Conditional Access",
    50129: "Conditional Access",
    50131: "Conditional Access",
    700003: "Conditional Access",
    53004: "multi-factor",
    50199: "multi-factor",
    7000218: "wrong or missing",
    7000229: "does not have this application",
    50194: "does not have this application",
    700030: "certificate",
    50059: "does not know the tenant",
    50128: "does not know the tenant",
    16000: "does not exist in this tenant",
    90072: "does not exist in this tenant",
    500571: "disabled",
}


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_of_entra_id_says_what_it_means(azure: FakeAzure, number: int) -> None:
    azure.entra.refusals[PIPELINE.oid] = (number, "No.")
    with pytest.raises(UnauthorizedError, match=f"AADSTS{number}: No.: .*{NUMBERS[number]}") as caught:
        provider().credential()
    assert "https://learn.microsoft.com/" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "text", "means", "do"),
    [
        ("BadRequest", "Getting static credential is not allowed: disable local accounts.", "no Entra ID that guards it", "--enable-aad"),
        ("OperationNotAllowed", "managed cluster is in stopped state", "the cluster is stopped", f"az aks start --name NAME -g {GROUP}"),
    ],
)
def test_a_cluster_that_gives_no_access_says_what_to_do(azure: FakeAzure, code: str, text: str, means: str, do: str) -> None:
    azure.faults.append(Fault(SIGN_IN, Answer(400, json.dumps({"error": {"code": code, "message": text}}).encode()), count=9))
    with pytest.raises(MeshinstallError) as caught:
        provider().describe()
    assert means in caught.value.message
    assert do.replace("-g ", "--resource-group ") in caught.value.hint


def test_a_page_of_a_firewall_is_no_missing_permission(azure: FakeAzure) -> None:
    azure.faults.append(Fault(SIGN_IN, Answer(403, b"<html>denied by the firewall</html>", "text/html"), count=9))
    with pytest.raises(ForbiddenError, match="refused with 403 and without a code of Azure's") as caught:
        provider().describe()
    assert "firewall" in caught.value.hint
    assert "az role" not in caught.value.hint
