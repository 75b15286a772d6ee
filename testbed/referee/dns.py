"""A DNS server that knows every name: each has one address of its own (198.18.0.0/15, which RFC 2544 sets aside for tests)."""

import asyncio
import socket
import zlib
from ipaddress import IPv4Address

ADDRESS = ("127.0.0.1", 53)
_NETWORK = int(IPv4Address("198.18.0.0"))
_SIZE = 1 << 17
_HEADER = 12
_MUCH = 4096
_ADDRESS = 1
# Answer, recursion desired and available.
_FLAGS = b"\x81\x80"
# The question's name again, type A, class IN, a second to live, four bytes.
_RECORD = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04"


class Names:
    """The addresses that were given out."""

    def __init__(self) -> None:
        self._by_address: dict[str, str] = {}

    def address(self, name: str) -> IPv4Address:
        """The address of a name, always the same."""
        address = IPv4Address(_NETWORK + zlib.crc32(name.encode()) % _SIZE)
        self._by_address[str(address)] = name
        return address

    def of(self, address: str) -> str:
        """The name that the address was given out for, "" for any other."""
        return self._by_address.get(address, "")


async def serve(names: Names) -> None:
    """Answer questions until it is cancelled."""
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.setblocking(False)
        server.bind(ADDRESS)
        while True:
            query, sender = await loop.sock_recvfrom(server, _MUCH)
            await loop.sock_sendto(server, answer(query, names), sender)


def answer(query: bytes, names: Names) -> bytes:
    """The answer to a query with one question, for an IPv4 address or for what no name has (RFC 1035)."""
    labels, at = [], _HEADER
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode())
        at += 1 + length
    question = query[_HEADER : at + 5]
    records = _RECORD + names.address(".".join(labels)).packed if int.from_bytes(query[at + 1 : at + 3], "big") == _ADDRESS else b""
    counts = b"\x00\x01" + (b"\x00\x01" if records else b"\x00\x00") + bytes(4)
    return query[:2] + _FLAGS + counts + question + records
