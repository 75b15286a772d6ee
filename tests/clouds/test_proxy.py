"""Behind a company's proxy a request with a body does not wait for the acknowledgement of its headers: the fakes are reached by one."""

from pathlib import Path

import pytest

from tests.clouds.aks_world import azure_shop, provider
from tests.clouds.gke_world import inhabit, world
from tests.contracts.servers import delays_small_packets


def test_azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with azure_shop(tmp_path, monkeypatch) as azure:
        aks = provider()
        assert aks.credential().token
        assert delays_small_packets(azure.port) == [False, False]  # Entra ID and Resource Manager


def test_google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with world(tmp_path) as found:
        inhabit(found, monkeypatch, found.be("key"))
        google = found.provider()
        assert google.credential().token
        assert delays_small_packets(int(found.google.address.rpartition(":")[2])) == [False]
