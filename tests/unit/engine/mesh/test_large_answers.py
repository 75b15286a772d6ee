"""What a tenant's proxy says costs little, however much it is."""

import json
import threading
import tracemalloc

import pytest

from meshinstall.engine.mesh.envoy import read_dump
from meshinstall.engine.mesh.large_answers import Beside
from meshinstall.errors import ClusterError

LISTENERS = "type.googleapis.com/envoy.admin.v3.ListenersConfigDump"
MIB = 1024**2


def dump_of(chains: int) -> bytes:
    """A config_dump with so many inbound filter chains."""
    tls = {"name": "envoy.transport_sockets.tls", "typed_config": {"common_tls_context": {}, "require_client_certificate": True}}
    made = [{"name": str(port), "filter_chain_match": {"destination_port": port}, "transport_socket": tls} for port in range(chains)]
    listener = {"name": "virtualInbound", "active_state": {"listener": {"traffic_direction": "INBOUND", "filter_chains": made}}}
    return json.dumps({"configs": [{"@type": LISTENERS, "dynamic_listeners": [listener]}]}).encode()


@pytest.fixture
def anyio_backend() -> str:
    """Threads are in it."""
    return "asyncio"


@pytest.mark.anyio
async def test_the_event_loop_reads_small_answers_itself_and_large_ones_not() -> None:
    here, beside = threading.get_ident(), Beside()
    assert await beside.read(b"{}", threading.get_ident) == here
    assert await beside.read(b" " * 2 * MIB, threading.get_ident) != here


def test_sixteen_mebibytes_take_no_memory() -> None:
    data = dump_of(85_000)
    assert len(data) > 16 * MIB
    tracemalloc.start()
    try:
        with pytest.raises(ClusterError, match="larger than 4 MiB"):
            read_dump(data)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_as_many_chains_as_a_proxy_is_asked_for_are_read() -> None:
    assert len(read_dump(dump_of(1_000)).chains) == 1_000


@pytest.mark.parametrize("value", [b"1", b"[]", b"{}", b'{"":1}', b'""'])
def test_many_small_values_in_few_bytes_are_refused_before_they_are_parsed(value: bytes) -> None:
    data = b'{"configs":[' + b",".join([value] * (3 * MIB // (len(value) + 1))) + b"]}"
    assert len(data) < 4 * MIB
    tracemalloc.start()
    try:
        with pytest.raises(ClusterError, match="has more than 250000 values"):
            read_dump(data)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()
