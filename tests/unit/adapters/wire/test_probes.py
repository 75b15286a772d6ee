"""The four probes against servers of every manner, behind what an Envoy shows of them."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from meshinstall.adapters.net.tls import load_pair
from meshinstall.adapters.wire import foreign_tls, probes
from meshinstall.engine.probe import probe_objects
from meshinstall.model.mesh import Place
from meshinstall.model.wire import Answer, Probe, WireTarget
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


@pytest.fixture(scope="module")
def mesh() -> Authority:
    """The root of the mesh."""
    return Authority.new()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for what never comes are short."""
    for name in ("_PATIENCE", "_LINGER", "_HOLD"):
        monkeypatch.setattr(probes, name, 0.1)


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


@pytest.mark.parametrize(
    ("serve", "answer", "words"),
    [
        (resets, Answer.REFUSED, "reset the connection at the first plaintext bytes"),
        (answers, Answer.SERVED, "answered plaintext bytes: HTTP/1.1 400"),
        (ends, Answer.ENDED, "closed the connection after plaintext bytes; a sidecar would reset it"),
        (
            waits_for_our_end(Peer.finish),
            Answer.SERVED,
            "accepted plaintext bytes and kept the connection open until we closed it",
        ),
        (waits_for_our_end(Peer.reset), Answer.ENDED, "accepted plaintext bytes, then reset the connection"),
        (waits_for_our_end(lambda peer: peer.send(b"?")), Answer.SERVED, "answered plaintext bytes"),
        (alerts, Answer.REFUSED, "answered plaintext bytes with a TLS alert"),
        (waits_for_our_end(lambda peer: peer.send(ALERT)), Answer.REFUSED, "answered plaintext bytes with a TLS alert"),
        (says_nothing, Answer.SILENT, "connected, but neither an answer nor a close came"),
    ],
)
def test_plaintext_is_told_by_how_it_ends(mesh: Authority, serve: Callable[[Peer], None], answer: Answer, words: str) -> None:
    heard, envoy = dial(mesh, Probe.PLAINTEXT, serve)
    assert (heard.seen.answer, heard.seen.words, heard.connected) == (answer, words, True)
    assert envoy.seen == [("/plain", "10.0.0.7:8080")]


def test_plaintext_is_five_bytes_that_are_no_line_and_no_whole_message(mesh: Authority) -> None:
    sent: list[bytes] = []

    def serve(peer: Peer) -> None:
        peer.answer()
        sent.append(peer.receive())
        peer.reset()

    dial(mesh, Probe.PLAINTEXT, serve)
    assert sent == [b"\0\0\1\0\0"]


@pytest.mark.parametrize("probe", Probe)
@pytest.mark.parametrize(
    ("said", "answer", "words"),
    [
        (("x", "delayed_connect_error:_Connection_refused"), Answer.NOTHING, "connection refused"),
        (("upstream_reset_before_response_started{connection_timeout}", "-"), Answer.SILENT, "no connection within 2 s"),
        (("x", "delayed_connect_error:_No_route_to_host"), Answer.SILENT, "no route to the address"),
        (("cluster_not_found", ""), Answer.FAILED, "cluster not found"),
        (("", ""), Answer.FAILED, "HTTP 503"),
    ],
)
def test_without_a_connection_nothing_is_proven(mesh: Authority, probe: Probe, said: tuple[str, str], answer: Answer, words: str) -> None:
    heard, _ = dial(mesh, probe, unreachable(*said))
    assert (heard.seen.answer, heard.seen.words, heard.connected) == (answer, words, False)


@pytest.mark.parametrize("probe", Probe)
def test_a_broken_port_forward_is_no_refusal(mesh: Authority, probe: Probe) -> None:
    with pytest.raises(ConnectionAbortedError, match="the port-forward to the probe client closed"):
        dial(mesh, probe, hangs_up)


@pytest.mark.parametrize(
    ("way", "probe"), [*(("receive", probe) for probe in Probe), *(("send", probe) for probe in Probe if probe is not Probe.MESHED)]
)
def test_a_port_forward_that_is_reset_is_no_refusal(mesh: Authority, probe: Probe, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def reset(*_: object) -> bytes:
        raise ConnectionResetError

    def breaks(peer: Peer) -> None:
        monkeypatch.setattr(SocketStream, way, reset)
        peer.answer(200, **OPEN)

    with pytest.raises(ConnectionAbortedError):
        dial(mesh, probe, breaks)


def meshed(then: Callable[[Peer], None] | None = None, **headers: str) -> Callable[[Peer], None]:
    def serve(peer: Peer) -> None:
        peer.answer(200, **{**OPEN, **headers})
        if then:
            then(peer)

    return serve


def test_a_meshed_client_is_served_when_the_handshake_is_done_and_stays(mesh: Authority) -> None:
    heard, envoy = dial(mesh, Probe.MESHED, meshed())
    assert heard == Heard(heard.seen)
    assert (heard.seen.answer, heard.seen.words) == (Answer.SERVED, "TLSv1.2")
    assert (heard.seen.identity, heard.seen.client_identity) == (SERVER, CLIENT)
    assert envoy.seen == [("/mesh-tls12", "10.0.0.7:8080")]


def test_a_server_that_speaks_first_is_served(mesh: Authority) -> None:
    heard, _ = dial(mesh, Probe.MESHED, meshed(lambda peer: peer.send(b"220 mail\r\n")))
    assert (heard.seen.answer, heard.held) == (Answer.SERVED, True)


@pytest.mark.parametrize("end", [Peer.finish, Peer.reset])
def test_an_end_right_after_the_handshake_is_not_held(mesh: Authority, end: Callable[[Peer], None]) -> None:
    heard, _ = dial(mesh, Probe.MESHED, meshed(end))
    assert (heard.seen.answer, heard.seen.identity, heard.held) == (Answer.SERVED, SERVER, False)
    assert "nothing listens behind the proxy" in heard.seen.words


def _tls_error(name: str) -> Callable[[Peer], None]:
    return unreachable(
        "upstream_reset_before_response_started{x}", f"TLS_error:|268436576:SSL_routines:OPENSSL_internal:{name}:TLS_error_end"
    )


@pytest.mark.parametrize(
    ("error", "answer", "words"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", Answer.REFUSED, "the server refuses the mesh's client: tlsv1 alert unknown ca"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", Answer.REFUSED, "the server refuses the mesh's client: sslv3 alert certificate expired"),
        ("CERTIFICATE_VERIFY_FAILED", Answer.REFUSED, "the mesh's client refuses the server's certificate"),
        ("WRONG_VERSION_NUMBER", Answer.ENDED, "the server does not speak TLS"),
        ("TLSV1_ALERT_NO_APPLICATION_PROTOCOL", Answer.FAILED, "tlsv1 alert no application protocol"),
    ],
)
def test_a_handshake_that_fails_says_why(mesh: Authority, error: str, answer: Answer, words: str) -> None:
    heard, _ = dial(mesh, Probe.MESHED, _tls_error(error))
    assert (heard.seen.answer, heard.seen.words) == (answer, words)


def test_a_server_that_goes_away_in_the_handshake_serves_nothing(mesh: Authority) -> None:
    why = "TLS_error:|33554464:system_library:OPENSSL_internal:Broken_pipe:TLS_error_end"
    heard, _ = dial(mesh, Probe.MESHED, unreachable("x", why))
    assert (heard.seen.answer, heard.held) == (Answer.ENDED, False)


def test_a_mesh_of_tls_1_3_alone_is_tried_so(mesh: Authority) -> None:
    heard, envoy = dial(mesh, Probe.MESHED, _tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), meshed(x_probe_tls="TLSv1.3"))
    assert (heard.seen.answer, heard.seen.words, heard.seen.identity) == (Answer.SERVED, "TLSv1.3", SERVER)
    assert [path for path, _ in envoy.seen] == ["/mesh-tls12", "/mesh-tls13"]


def test_in_tls_1_3_an_end_may_be_a_refusal(mesh: Authority) -> None:
    heard, _ = dial(mesh, Probe.MESHED, _tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), meshed(Peer.finish, x_probe_tls="TLSv1.3"))
    assert (heard.seen.answer, heard.held) == (Answer.ENDED, False)


def test_of_what_names_say_only_spiffe_is_kept_and_nothing_for_terminals(mesh: Authority) -> None:
    heard, _ = dial(mesh, Probe.MESHED, meshed(x_probe_peer=f"https://a.example,{SERVER}\x1b[2J", x_probe_own="-"))
    assert (heard.seen.identity, heard.seen.client_identity) == (f"{SERVER}[2J", "")


@pytest.mark.parametrize("probe", TLS_PROBES)
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_proxy_that_demands_a_certificate_of_the_mesh_refuses(mesh: Authority, probe: Probe, newest: ssl.TLSVersion) -> None:
    heard, _ = dial(mesh, probe, tls(server(mesh, demands=True, newest=newest)))
    assert heard.seen.answer is Answer.REFUSED
    # In TLS 1.3 we are done, and know with whom, before it is.
    assert heard.seen.identity == (SERVER if newest is ssl.TLSVersion.TLSv1_3 else "")


@pytest.mark.parametrize("probe", TLS_PROBES)
def test_a_refusal_that_comes_late_is_a_refusal(mesh: Authority, probe: Probe) -> None:
    heard, _ = dial(mesh, probe, slow(server(mesh, demands=True)))
    assert (heard.seen.answer, heard.seen.identity) == (Answer.REFUSED, SERVER)


@pytest.mark.parametrize("probe", TLS_PROBES)
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_asks_for_no_certificate_serves(mesh: Authority, probe: Probe, newest: ssl.TLSVersion) -> None:
    heard, _ = dial(mesh, probe, tls(server(mesh, demands=False, newest=newest)))
    assert (heard.seen.answer, heard.seen.identity) == (Answer.SERVED, SERVER)
    assert "kept the connection open until we closed it" in heard.seen.words


def test_a_server_that_speaks_after_the_handshake_serves(mesh: Authority) -> None:
    heard, _ = dial(mesh, Probe.ANONYMOUS, tls(server(mesh, demands=False), then=b"hello"))
    assert (heard.seen.answer, heard.seen.words) == (Answer.SERVED, "the handshake succeeded, and the server sent 5 bytes")


def test_a_foreign_certificate_is_taken_by_who_trusts_anyone(mesh: Authority) -> None:
    stranger = server(mesh, demands=True)
    # Trusts what the probe itself brings: its leaf stands in for a root.
    foreign = foreign_tls.foreign_pair(CLIENT)
    stranger.load_verify_locations(cadata=foreign.decode().partition("-----BEGIN PRIVATE")[0])
    stranger.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    who = foreign_tls.Client(mesh.root, foreign)
    envoy = Envoy([tls(stranger)])
    with envoy.stream() as stream:
        heard = probes._without_trust(stream, "10.0.0.7:8080", who, Probe.FOREIGN)  # noqa: SLF001 - with a pair that the test knows
    assert heard.seen.answer is Answer.SERVED


@pytest.mark.parametrize(("demands", "answer"), [(True, Answer.REFUSED), (False, Answer.SERVED)])
def test_a_server_of_another_root_is_asked_again_and_has_no_name(mesh: Authority, answer: Answer, *, demands: bool) -> None:
    other = server(Authority.new(), demands=demands)
    heard, _ = dial(mesh, Probe.ANONYMOUS, tls(other), tls(other))
    assert (heard.seen.answer, heard.seen.identity) == (answer, "")


def test_what_fails_for_another_reason_than_the_certificate_is_no_refusal(mesh: Authority) -> None:
    picky = server(mesh, demands=True, newest=ssl.TLSVersion.TLSv1_2)
    # No server with an elliptic key can do this one.
    picky.set_ciphers("AES128-SHA")
    heard, _ = dial(mesh, Probe.ANONYMOUS, tls(picky))
    assert heard.seen.answer is Answer.FAILED
    assert "handshake failure" in heard.seen.words


@pytest.mark.parametrize("probe", TLS_PROBES)
@pytest.mark.parametrize(
    ("serve", "answer"),
    [(answers, Answer.ENDED), (ends, Answer.ENDED), (resets, Answer.REFUSED), (says_nothing, Answer.SILENT)],
)
def test_what_is_no_tls_is_told_apart(mesh: Authority, probe: Probe, serve: Callable[[Peer], None], answer: Answer) -> None:
    heard, _ = dial(mesh, probe, serve)
    assert (heard.seen.answer, heard.seen.identity) == (answer, "")


def test_an_address_of_version_6_stands_in_brackets(mesh: Authority) -> None:
    envoy = Envoy([resets])
    target = WireTarget(Place("shop", "web-1"), "fd00::7", 8080)
    with envoy.stream() as stream:
        probes.dial(mesh.root, CLIENT)(target, Probe.PLAINTEXT)(stream)
    assert envoy.seen == [("/plain", "[fd00::7]:8080")]
