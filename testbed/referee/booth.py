"""The first process of one Envoy's network (``python -m testbed.referee.booth ENVOY DEBIAN``, in the folder with its bootstrap).

Every address of the world is local here. What the test sends is redirected to Envoy as istio-iptables does it; whatever Envoy
connects to comes to one recorder, which looks at the first bytes. It reads connections to make from stdin and writes what was seen
to stdout, a JSON object a line; at the end of stdin it ends, and with it everything in its namespaces.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pyroute2 import IPRoute

from testbed.referee import dns, hello

OUTBOUND, INBOUND = 15001, 15006
_RECORDER = 15999
# Of sockets that the test opens; Envoy's have none.
_MARKS = {OUTBOUND: 1, INBOUND: 2}
_SO_ORIGINAL_DST = 80
# Seconds in which a client or a proxy says its first word, and in which a connection comes to its end.
_FIRST_WORD = 2.0
_WHOLE = 5.0
_MUCH = 65536


@dataclass(frozen=True, slots=True)
class Errand:
    """A connection to make to ``address``, through Envoy's listener at ``through``; ``data`` is what to say."""

    address: str
    port: int
    data: str
    through: int = OUTBOUND


@dataclass(frozen=True, slots=True)
class Seen:
    """A connection that Envoy made: where to, and its first bytes; ``host`` is what it had asked DNS for, if anything."""

    address: str
    port: int
    tls: bool
    server_name: str = ""
    protocols: tuple[str, ...] = ()
    host: str = ""
    text: str = ""


class Recorder:
    """Accepts what Envoy connects to and keeps what it says first."""

    def __init__(self, names: dns.Names) -> None:
        self._names = names
        self._seen: list[Seen] = []
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def take(self) -> list[Seen]:
        """What was seen since the last time."""
        taken, self._seen = self._seen, []
        return taken

    async def idle(self) -> None:
        """Wait until no connection is being read."""
        await self._idle.wait()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read the first bytes, answer what looks like HTTP, and end the connection."""
        self._open += 1
        self._idle.clear()
        with suppress(OSError):
            address, port = _original(writer.get_extra_info("socket"))
            data = await _first_words(reader)
            if data:
                self._seen.append(self._looked_at(address, port, data))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            writer.close()
            await writer.wait_closed()
        self._open -= 1
        if not self._open:
            self._idle.set()

    def _looked_at(self, address: str, port: int, data: bytes) -> Seen:
        host = self._names.of(address)
        if (found := hello.read(data)) is None:
            return Seen(address, port, tls=False, host=host, text=data.decode(errors="replace"))
        return Seen(address, port, tls=True, server_name=found.server_name, protocols=found.protocols, host=host)


def _original(connection: socket.socket) -> tuple[str, int]:
    """Where the connection was going before it was redirected."""
    address = connection.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16)
    return socket.inet_ntoa(address[4:8]), int.from_bytes(address[2:4], "big")


async def _first_words(reader: asyncio.StreamReader) -> bytes:
    data = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(_FIRST_WORD):
            while not hello.is_whole(data) and (more := await reader.read(_MUCH)):
                data += more
    return data


async def _run(errand: Errand) -> str:
    """Make one connection; return what came back."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, _MARKS[errand.through])
    client.setblocking(False)
    data = b""
    try:
        async with asyncio.timeout(_WHOLE):
            await asyncio.get_running_loop().sock_connect(client, (errand.address, errand.port))
            reader, writer = await asyncio.open_connection(sock=client)
            writer.write(errand.data.encode())
            data = await reader.read(_MUCH)
            writer.close()
    except (OSError, TimeoutError) as error:
        return data.decode(errors="replace") or repr(error)
    finally:
        client.close()
    return data.decode(errors="replace")


async def _serve() -> None:
    names = dns.Names()
    recorder = Recorder(names)
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(recorder.accept, "0.0.0.0", _RECORDER)  # noqa: S104 - of a network without a way out
    async with server, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(dns.serve(names))
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            recorder.take()
            answer = await _run(Errand(**json.loads(line)))
            await recorder.idle()
            sys.stdout.write(json.dumps({"answer": answer, "seen": [asdict(seen) for seen in recorder.take()]}) + "\n")
            sys.stdout.flush()
        serving.cancel()


def _make_network(debian: Path) -> None:
    with IPRoute() as route:
        loopback = route.link_lookup(ifname="lo")[0]
        route.link("set", index=loopback, state="up")
        # Type local: this machine answers for every address there is.
        route.route("add", dst="0.0.0.0/0", oif=loopback, type="local", scope="host", table=255)
    rules = [
        *(f"-p tcp -m mark --mark {mark} -j REDIRECT --to-ports {port}" for port, mark in _MARKS.items()),
        f"-p tcp -j REDIRECT --to-ports {_RECORDER}",
    ]
    for rule in rules:
        _iptables(debian, ["-t", "nat", "-A", "OUTPUT", *rule.split()])
    resolver = Path("resolv.conf")
    resolver.write_text(f"nameserver {dns.ADDRESS[0]}\n")
    subprocess.run(["mount", "--bind", resolver.absolute(), "/etc/resolv.conf"], check=True)


def _iptables(debian: Path, rule: Sequence[str]) -> None:
    env = {
        "LD_LIBRARY_PATH": str(debian / "lib"),
        "XTABLES_LIBDIR": str(debian / "root/usr/lib/x86_64-linux-gnu/xtables"),
        "PATH": os.environ["PATH"],
    }
    subprocess.run([debian / "root/usr/sbin/iptables", "-w", *rule], env=env, check=True)


def main() -> None:
    """Make the network, start Envoy in it, serve until the end of stdin."""
    envoy, debian = Path(sys.argv[1]), Path(sys.argv[2])
    _make_network(debian)
    with Path("envoy.log").open("w") as log:
        subprocess.Popen(
            [envoy, "--config-path", "envoy.json", "--concurrency", "1", "--disable-hot-restart"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    asyncio.run(_serve())


if __name__ == "__main__":
    main()
