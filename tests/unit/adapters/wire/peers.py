"""Servers and proxies at the other end of a probe, each with its own way to answer."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from meshinstall.adapters.net.tls import load_pair
from meshinstall.adapters.wire import probes
from meshinstall.engine.probe import probe_objects
from meshinstall.model.mesh import Place
from meshinstall.model.wire import Probe, WireTarget
from meshinstall.ports import Heard

TARGET = WireTarget(Place("shop", "web-1"), "10.0.0.7", 8080)
SERVER = "spiffe://cluster.local/ns/shop/sa/web"
CLIENT = "spiffe://cluster.local/ns/meshinstall-probe-1/sa/probe"
OPEN = {probe_objects.PEER: SERVER, probe_objects.OWN: CLIENT, probe_objects.TLS: "TLSv1.2"}
# Fatal, protocol version.
ALERT = b"\x15\x03\x03\x00\x02\x02\x46"
TLS_PROBES = (Probe.ANONYMOUS, Probe.FOREIGN)


class Peer:
    """What the client's Envoy shows of a server: its bytes in the inner tunnel, its end and its reset in the outer one."""

    def __init__(self, stream: socket.socket) -> None:
        self._socket = stream
        self._file = stream.makefile("rwb")
        self._head(self._file.readline)
        self._write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._outer = b""
        first, headers = self._head(lambda: self._until(b"\r\n"))
        self.path = first.split()[1]
        self.address = headers[probe_objects.ADDRESS]

    def answer(self, status: int = 200, **headers: str) -> None:
        """Open the tunnel, or say why not."""
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self._send(f"HTTP/1.1 {status} Whatever\r\n{lines}Transfer-Encoding: chunked\r\n\r\n".encode())

    def receive(self) -> bytes:
        """The next bytes of the probe; empty when it ended."""
        size = int(self._until(b"\r\n"), 16)
        while len(self._outer) < size + 2:
            self._outer += self._chunk()
        data, self._outer = self._outer[:size], self._outer[size + 2 :]
        return data

    def send(self, data: bytes) -> None:
        """Bytes of the server."""
        # In two pieces, as networks do.
        frame = b"%x\r\n%s\r\n" % (len(data), data)
        self._send(frame[:3])
        self._send(frame[3:])

    def finish(self) -> None:
        """End in order."""
        self._send(b"0\r\n\r\n")
        self._write(b"0\r\n\r\n")

    def reset(self) -> None:
        """End without the end of the inner answer."""
        self._write(b"0\r\n\r\n")

    def hang_up(self) -> None:
        """End the port-forward itself."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def _head(self, line: Callable[[], bytes]) -> tuple[str, dict[str, str]]:
        lines = []
        while text := line().strip().decode():
            lines.append(text)
        return lines[0], dict(text.lower().split(": ", 1) for text in lines[1:])

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._outer:
            self._outer += self._chunk()
        found, _, self._outer = self._outer.partition(mark)
        return found

    def _chunk(self) -> bytes:
        size = int(self._file.readline() or b"0", 16)
        data = self._file.read(size + 2)[:size]
        if not size:
            raise EOFError
        return data

    def _send(self, data: bytes) -> None:
        self._write(b"%x\r\n%s\r\n" % (len(data), data))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()


class SocketStream:
    """Implements ports.Stream over a socket."""

    def __init__(self, stream: socket.socket) -> None:
        self._socket = stream

    def send(self, data: bytes) -> None:
        """Send all."""
        self._socket.sendall(data)

    def receive(self, size: int, seconds: float | None = None) -> bytes:
        """Wait at most so long."""
        self._socket.settimeout(seconds or 10)
        return self._socket.recv(size)


@dataclass
class Envoy:
    """Serves each stream that is opened by one of ``servers``, in their order; ``seen`` are the paths and addresses asked for."""

    servers: list[Callable[[Peer], None]]
    seen: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def stream(self) -> Iterator[SocketStream]:
        """A port-forward to the client."""
        ours, theirs = socket.socketpair()
        server = self.servers.pop(0)

        def serve() -> None:
            with suppress(EOFError, OSError, ValueError):
                peer = Peer(theirs)
                self.seen.append((peer.path, peer.address))
                server(peer)
                # Nothing more is said, but the stream stays open.
                while True:
                    peer.receive()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield SocketStream(ours)
        finally:
            ours.close()
            thread.join(5)
            theirs.close()
            assert not thread.is_alive()


@dataclass(frozen=True)
class Authority:
    """Signs certificates for SPIFFE names."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls) -> "Authority":
        """Another one."""
        key = ec.generate_private_key(ec.SECP256R1())
        basic = (x509.BasicConstraints(ca=True, path_length=None), True)
        return cls(key, _certificate("root", key, key, basic))

    @property
    def root(self) -> str:
        """Its certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def pair(self, identity: str) -> bytes:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), True)
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return _certificate("", key, self.key, name).public_bytes(serialization.Encoding.PEM) + private


def _certificate(
    subject: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, extension: tuple[x509.ExtensionType, bool]
) -> x509.Certificate:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)] if text else [])

    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name("root"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(extension[0], critical=extension[1])
        .sign(signer, hashes.SHA256())
    )


def dial(mesh: Authority, probe: Probe, *servers: Callable[[Peer], None]) -> tuple[Heard, Envoy]:
    """Probe, again when asked to, and what was heard last."""
    envoy = Envoy(list(servers))
    talk = probes.dial(mesh.root, CLIENT)(TARGET, probe)
    with envoy.stream() as stream:
        heard = talk(stream)
    if heard.again:
        with envoy.stream() as stream:
            heard = heard.again(stream)
    assert not envoy.servers
    assert heard.seen.probe is probe
    return heard, envoy


def resets(peer: Peer) -> None:
    peer.answer()
    peer.receive()
    peer.reset()


def ends(peer: Peer) -> None:
    peer.answer()
    peer.receive()
    peer.finish()


def answers(peer: Peer) -> None:
    peer.answer()
    peer.receive()
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\nsecret")


def alerts(peer: Peer) -> None:
    peer.answer()
    peer.receive()
    peer.send(ALERT)


def is_busy(seconds: float) -> Callable[[Peer], None]:
    """A proxy that refuses, but comes to it only after some time."""

    def serve(peer: Peer) -> None:
        peer.answer()
        peer.receive()
        threading.Event().wait(seconds)
        peer.reset()

    return serve


def waits_for_our_end(then: Callable[[Peer], None]) -> Callable[[Peer], None]:
    def serve(peer: Peer) -> None:
        peer.answer()
        while peer.receive():
            pass
        then(peer)

    return serve


def says_nothing(peer: Peer) -> None:
    peer.answer()


def hangs_up(peer: Peer) -> None:
    peer.answer()
    peer.hang_up()


def unreachable(details: str, why: str = "") -> Callable[[Peer], None]:
    return lambda peer: peer.answer(503, x_probe_details=details, x_probe_why=why)


def tls(context: ssl.SSLContext, then: bytes = b"") -> Callable[[Peer], None]:
    """A TLS server that, when it took the handshake, sends ``then`` and ends when the client does."""

    def serve(peer: Peer) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_side=True)
        peer.answer()

        def drive(step: Callable[[], object]) -> None:
            while True:
                try:
                    step()
                except ssl.SSLWantReadError:
                    flush()
                    incoming.write(peer.receive())
                else:
                    flush()
                    return

        def flush() -> None:
            if data := outgoing.read():
                peer.send(data)

        try:
            drive(session.do_handshake)
            if then:
                session.write(then)
                flush()
            with suppress(ssl.SSLZeroReturnError):
                drive(lambda: session.read(100))
            drive(session.unwrap)
        except ssl.SSLError:
            flush()
        peer.finish()

    return serve


def slow(context: ssl.SSLContext) -> Callable[[Peer], None]:
    """A TLS server that looks at the client's part of the handshake only when the client has ended."""

    def serve(peer: Peer) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_side=True)
        peer.answer()
        incoming.write(peer.receive())
        with suppress(ssl.SSLWantReadError):
            session.do_handshake()
        peer.send(outgoing.read())
        while data := peer.receive():
            incoming.write(data)
        with suppress(ssl.SSLError):
            session.do_handshake()
        peer.send(outgoing.read())
        peer.finish()

    return serve


def server(mesh: Authority, *, demands: bool, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_pair(context, mesh.pair(SERVER))
    context.load_verify_locations(cadata=mesh.root)
    context.maximum_version = newest
    context.verify_mode = ssl.CERT_REQUIRED if demands else ssl.CERT_NONE
    return context
