"""Reads what a client says first on a connection: a TLS ClientHello or plaintext."""

from dataclasses import dataclass

_HANDSHAKE = 0x16
_SERVER_NAME = 0
_ALPN = 16
# Of a ClientHello: record and handshake headers, version, random.
_BEFORE_SESSION = 5 + 4 + 2 + 32


@dataclass(frozen=True, slots=True)
class Hello:
    """What a ClientHello asks for; both are empty when it does not say."""

    server_name: str = ""
    protocols: tuple[str, ...] = ()


def read(data: bytes) -> Hello | None:
    """The ClientHello at the start of ``data``, None when it is plaintext; raises ValueError when it is cut off (RFC 8446)."""
    if data[:1] != bytes((_HANDSHAKE,)):
        return None
    hello = Hello()
    try:
        for kind, body in _extensions(data):
            if kind == _SERVER_NAME:
                # A list of one name: its length, type 0, the name's length.
                hello = Hello(_sized(body, 3, 2).decode(), hello.protocols)
            elif kind == _ALPN:
                hello = Hello(hello.server_name, tuple(_protocols(_sized(body, 0, 2))))
    except IndexError as cut:
        message = f"a ClientHello of {len(data)} bytes is cut off"
        raise ValueError(message) from cut
    return hello


def is_whole(data: bytes) -> bool:
    """Whether ``data`` tells what it is: its first byte is not TLS's, or its first record is complete."""
    if not data:
        return False
    return data[0] != _HANDSHAKE or (len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[3:5], "big"))  # noqa: PLR2004 - a record's header


def _extensions(data: bytes) -> list[tuple[int, bytes]]:
    at = _BEFORE_SESSION
    at += 1 + len(_sized(data, at, 1))
    at += 2 + len(_sized(data, at, 2))
    at += 1 + len(_sized(data, at, 1))
    rest = _sized(data, at, 2)
    found = []
    while rest:
        body = _sized(rest, 2, 2)
        found.append((int.from_bytes(rest[:2], "big"), body))
        rest = rest[4 + len(body) :]
    return found


def _protocols(rest: bytes) -> list[str]:
    found = []
    while rest:
        name = _sized(rest, 0, 1)
        found.append(name.decode())
        rest = rest[1 + len(name) :]
    return found


def _sized(data: bytes, at: int, width: int) -> bytes:
    """The bytes behind a length of ``width`` bytes at ``at``; raises IndexError when they are not all there."""
    begin = at + width
    end = begin + int.from_bytes(data[at:begin], "big")
    if len(data) < end:
        raise IndexError(at)
    return data[begin:end]
