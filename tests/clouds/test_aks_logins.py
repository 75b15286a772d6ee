"""How one signs in for AKS: each way, and each that fails."""

import time
from dataclasses import replace
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from meshinstall.errors import ClusterError, UsageError
from testbed.clouds.aks import FakeAzure
from testbed.clouds.aks_arm import USER_ROLE
from testbed.clouds.aks_entra import EXCHANGE, Principal
from testbed.clouds.aks_shop import (
    PIPELINE,
)
from tests.clouds.aks_cli import by_cli, claims
from tests.clouds.aks_world import provider


def test_workload_identity_signs_in_with_a_federated_token(azure: FakeAzure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key, issuer, subject = ec.generate_private_key(ec.SECP256R1()), "https://issuer.example.org/", "system:serviceaccount:ci:deployer"
    azure.entra.principals[0] = replace(PIPELINE, trusts={(issuer, subject): key.public_key()})
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    assertion = tmp_path / "federated-token"
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(assertion))

    assertion.write_text(jwt.encode({"iss": issuer, "sub": subject, "aud": EXCHANGE, "exp": int(time.time()) + 600}, private, "ES256"))
    assert claims(azure, provider().credential().token)["oid"] == PIPELINE.oid

    assertion.write_text(jwt.encode({"iss": issuer, "sub": "system:serviceaccount:ci:other", "aud": EXCHANGE}, private, "ES256"))
    with pytest.raises(ClusterError, match="AADSTS700213: No matching federated identity record"):
        provider().credential()


def test_a_managed_identity_signs_in_through_the_metadata_service(azure: FakeAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Principal(oid="99999999-0000-0000-0000-000000000002", client_id="99999999-0000-0000-0000-00000000cccc")
    azure.machine = machine
    azure.arm.allow(machine, *USER_ROLE)
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    monkeypatch.setenv("AZURE_CLIENT_ID", machine.client_id)
    found = provider().credential()
    assert claims(azure, found.token)["oid"] == machine.oid
    assert azure.count("/metadata/identity/oauth2/token") >= 2


def test_a_person_signs_in_with_the_azure_cli(azure: FakeAzure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    by_cli(azure, monkeypatch, tmp_path)
    assert claims(azure, provider().credential().token)["upn"] == "anna@example.org"


@pytest.mark.parametrize(
    ("login", "manager"),
    [("login.microsoftonline.us", "management.usgovcloudapi.net"), ("https://login.chinacloudapi.cn/", "management.chinacloudapi.cn")],
)
def test_a_sovereign_cloud_is_asked_at_its_own_hosts(azure: FakeAzure, monkeypatch: pytest.MonkeyPatch, login: str, manager: str) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", login)
    assert provider().describe().ready
    assert provider().credential().token
    assert {one.host for one in azure.asked} == {login.removeprefix("https://").rstrip("/"), manager}


@pytest.mark.usefixtures("azure")
def test_an_unknown_cloud_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "login.example.org")
    with pytest.raises(UsageError, match=r"AZURE_AUTHORITY_HOST is not the login host of an Azure cloud: login\.example\.org"):
        provider().describe()
