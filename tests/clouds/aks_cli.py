"""A person's Azure CLI, as a program on the PATH."""

import stat
import sys
import time
from pathlib import Path

import pytest

from testbed.clouds.aks import FakeAzure
from testbed.clouds.aks_arm import USER_ROLE
from testbed.clouds.aks_entra import SERVER_APP, Principal
from tests.clouds.aks_world import pipeline


def claims(azure: FakeAzure, token: str) -> dict[str, object]:
    return azure.entra.claims(token, (SERVER_APP,))


def by_cli(azure: FakeAzure, patch: pytest.MonkeyPatch, folder: Path) -> None:
    """The caller becomes Anna, who signed in with the Azure CLI."""
    anna = Principal(oid="99999999-0000-0000-0000-000000000003", upn="anna@example.org")
    azure.arm.allow(anna, *USER_ROLE)
    for name in pipeline():
        patch.delenv(name)
    patch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    fake_az(folder, {resource: azure.entra.sign(anna, resource) for resource in ("https://management.azure.com", SERVER_APP)})


def fake_az(folder: Path, tokens: dict[str, str]) -> None:
    """An ``az`` that knows ``account get-access-token`` and has a token for each resource."""
    program = folder / "az"
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\ntokens = {tokens!r}\n"
        "words = sys.argv[1:]\nassert words[:2] == ['account', 'get-access-token'], words\n"
        "resource = words[words.index('--resource') + 1]\n"
        f"print(json.dumps({{'accessToken': tokens[resource], 'expires_on': {int(time.time()) + 3000}, 'tokenType': 'Bearer'}}))\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
