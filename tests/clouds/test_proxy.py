"""Behind a company's proxy a request with a body does not wait for the acknowledgement of its headers: the fakes are reached by one."""

import os
import socket
from pathlib import Path

import pytest

from tests.clouds.aks_world import azure_shop, provider
from tests.clouds.gke_world import inhabit, world


def delays_small_packets(port: int) -> list[bool]:
    """Nagle's algorithm, of each connection that this process holds open to a port of the loopback."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            with socket.socket(fileno=os.dup(int(entry.name))) as one:
                if one.getpeername()[1:2] == (port,):
                    found.append(not one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        except OSError:
            # No socket, one that listens, or closed since.
            continue
    return found


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
