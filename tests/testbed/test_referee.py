"""What the referees' recorder makes of bytes: first words of connections, and questions for names."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.referee import dns, hello
from testbed.referee.hello import Hello


def client_hello(server_name: str | None, protocols: list[str]) -> bytes:
    """What Python's own TLS says first."""
    context = ssl.create_default_context()
    context.check_hostname = server_name is not None
    if protocols:
        context.set_alpn_protocols(protocols)
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=server_name).do_handshake()
    return out.read()


@pytest.mark.parametrize("server_name", [None, "outbound_.80_._.web.shop.svc.cluster.local"])
@pytest.mark.parametrize("protocols", [[], ["istio"], ["istio-http/1.0", "http/1.1", "h2"]])
def test_a_client_hello_is_read(server_name: str | None, protocols: list[str]) -> None:
    data = client_hello(server_name, protocols)
    assert hello.is_whole(data)
    assert hello.read(data) == Hello(server_name or "", tuple(protocols))


@pytest.mark.parametrize("size", [1, 5, 43, 44, 60, 100])
def test_a_part_of_a_client_hello_is_not_whole_and_not_read(size: int) -> None:
    data = client_hello("web.shop", ["istio"])[:size]
    assert not hello.is_whole(data)
    with pytest.raises(ValueError, match="cut off"):
        hello.read(data)


@given(st.binary(min_size=1).filter(lambda data: data[0] != 0x16))
def test_everything_else_is_plaintext(data: bytes) -> None:
    assert hello.is_whole(data)
    assert hello.read(data) is None


def test_nothing_is_not_whole() -> None:
    assert not hello.is_whole(b"")


def question(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00" + kind.to_bytes(2, "big") + b"\x00\x01"


def test_a_name_has_one_address_that_leads_back_to_it() -> None:
    names = dns.Names()
    answer = dns.answer(question("api.example.com", 1), names)
    address = names.address("api.example.com")
    assert answer[:8] == b"\x12\x34\x81\x80\x00\x01\x00\x01"
    assert answer.endswith(address.packed)
    assert names.of(str(address)) == "api.example.com"
    assert names.of("192.0.2.1") == ""


def test_a_name_has_no_other_records() -> None:
    asked = question("api.example.com", 28)
    answer = dns.answer(asked, dns.Names())
    assert answer == b"\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00" + asked[12:]
