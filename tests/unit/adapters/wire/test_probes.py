"""The four probes against servers of every manner, behind what an Envoy shows of them."""

import ssl
from collections.abc import Callable

import pytest

from meshinstall.adapters.wire import foreign_tls, probes
from meshinstall.model.mesh import Place
from meshinstall.model.wire import Answer, Probe, WireTarget
from meshinstall.ports import Heard
from tests.unit.adapters.wire.peers import (
    ALERT,
    CLIENT,
    OPEN,
    SERVER,
    TLS_PROBES,
    Authority,
    Envoy,
    Peer,
    SocketStream,
    alerts,
    answers,
    dial,
    ends,
    hangs_up,
    is_busy,
    resets,
    says_nothing,
    server,
    slow,
    tls,
    unreachable,
    waits_for_our_end,
)


@pytest.fixture(scope="module")
def mesh() -> Authority:
    """The root of the mesh."""
    return Authority.new()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for what never comes are short."""
    for name, seconds in {"_PATIENCE": 0.1, "_MORE_PATIENCE": 0.3, "_LINGER": 0.1, "_HOLD": 0.1}.items():
        monkeypatch.setattr(probes, name, seconds)


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
        (waits_for_our_end(lambda peer: peer.send(b"?")), Answer.SERVED, "answered plaintext bytes"),
        (alerts, Answer.REFUSED, "answered plaintext bytes with a TLS alert"),
        (waits_for_our_end(lambda peer: peer.send(ALERT)), Answer.REFUSED, "answered plaintext bytes with a TLS alert"),
    ],
)
def test_plaintext_is_told_by_how_it_ends(mesh: Authority, serve: Callable[[Peer], None], answer: Answer, words: str) -> None:
    heard, envoy = dial(mesh, Probe.PLAINTEXT, serve)
    assert heard.seen.answer == answer
    assert heard.seen.words == words
    assert heard.connected is True
    assert envoy.seen == [("/plain", "10.0.0.7:8080")]


# What comes after our own end, or never: once more, for longer.
LATE = [
    (Probe.PLAINTEXT, waits_for_our_end(Peer.reset), Answer.ENDED, "accepted plaintext bytes, then reset the connection"),
    (Probe.PLAINTEXT, says_nothing, Answer.SILENT, "connected, but neither an answer nor a close came"),
    *((probe, says_nothing, Answer.SILENT, "connected, but no answer to the TLS ClientHello") for probe in TLS_PROBES),
]


@pytest.mark.parametrize(("probe", "serve", "answer", "words"), LATE)
def test_who_is_late_is_asked_once_more(mesh: Authority, probe: Probe, serve: Callable[[Peer], None], answer: Answer, words: str) -> None:
    heard, envoy = dial(mesh, probe, serve, serve)
    assert (heard.seen.answer, heard.seen.words, heard.again) == (answer, words, None)
    assert envoy.seen == [("/plain", "10.0.0.7:8080")] * 2


@pytest.mark.parametrize(("probe", "serve"), [late[:2] for late in LATE])
def test_a_busy_proxy_refuses_the_second_time(mesh: Authority, probe: Probe, serve: Callable[[Peer], None]) -> None:
    heard, _ = dial(mesh, probe, serve, is_busy(0.15))
    assert (heard.seen.answer, heard.again) == (Answer.REFUSED, None)


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
    assert heard.seen.answer == answer
    assert heard.seen.words == words
    assert heard.connected is False


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
    assert heard.seen.answer == Answer.SERVED
    assert heard.seen.words == "TLSv1.2"
    assert heard.seen.identity == SERVER
    assert heard.seen.client_identity == CLIENT
    assert envoy.seen == [("/mesh-tls12", "10.0.0.7:8080")]


def test_a_server_that_speaks_first_is_served(mesh: Authority) -> None:
    heard, _ = dial(mesh, Probe.MESHED, meshed(lambda peer: peer.send(b"220 mail\r\n")))
    assert heard.seen.answer == Answer.SERVED
    assert heard.held is True


@pytest.mark.parametrize("end", [Peer.finish, Peer.reset])
def test_an_end_right_after_the_handshake_is_not_held(mesh: Authority, end: Callable[[Peer], None]) -> None:
    heard, _ = dial(mesh, Probe.MESHED, meshed(end))
    assert heard.seen.answer == Answer.SERVED
    assert heard.seen.identity == SERVER
    assert heard.held is False
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
    assert heard.seen.answer == answer
    assert heard.seen.words == words


def test_a_server_that_goes_away_in_the_handshake_serves_nothing(mesh: Authority) -> None:
    why = "TLS_error:|33554464:system_library:OPENSSL_internal:Broken_pipe:TLS_error_end"
    heard, _ = dial(mesh, Probe.MESHED, unreachable("x", why))
    assert heard.seen.answer == Answer.ENDED
    assert heard.held is False


def test_a_mesh_of_tls_1_3_alone_is_tried_so(mesh: Authority) -> None:
    heard, envoy = dial(mesh, Probe.MESHED, _tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), meshed(x_probe_tls="TLSv1.3"))
    assert heard.seen.answer == Answer.SERVED
    assert heard.seen.words == "TLSv1.3"
    assert heard.seen.identity == SERVER
    assert [path for path, _ in envoy.seen] == ["/mesh-tls12", "/mesh-tls13"]


def test_in_tls_1_3_an_end_may_be_a_refusal(mesh: Authority) -> None:
    heard, _ = dial(mesh, Probe.MESHED, _tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), meshed(Peer.finish, x_probe_tls="TLSv1.3"))
    assert heard.seen.answer == Answer.ENDED
    assert heard.held is False


def test_of_what_names_say_only_spiffe_is_kept_and_nothing_for_terminals(mesh: Authority) -> None:
    heard, _ = dial(mesh, Probe.MESHED, meshed(x_probe_peer=f"https://a.example,{SERVER}\x1b[2J", x_probe_own="-"))
    assert heard.seen.identity == f"{SERVER}[2J"
    assert heard.seen.client_identity == ""


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
    assert heard.seen.answer == Answer.REFUSED
    assert heard.seen.identity == SERVER


@pytest.mark.parametrize("probe", TLS_PROBES)
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_asks_for_no_certificate_serves(mesh: Authority, probe: Probe, newest: ssl.TLSVersion) -> None:
    heard, _ = dial(mesh, probe, tls(server(mesh, demands=False, newest=newest)))
    assert heard.seen.answer == Answer.SERVED
    assert heard.seen.identity == SERVER
    assert "kept the connection open until we closed it" in heard.seen.words


def test_a_server_that_speaks_after_the_handshake_serves(mesh: Authority) -> None:
    heard, _ = dial(mesh, Probe.ANONYMOUS, tls(server(mesh, demands=False), then=b"hello"))
    assert heard.seen.answer == Answer.SERVED
    assert heard.seen.words == "the handshake succeeded, and the server sent 5 bytes"


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
    assert heard.seen.answer == answer
    assert heard.seen.identity == ""


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
    [(answers, Answer.ENDED), (ends, Answer.ENDED), (resets, Answer.REFUSED)],
)
def test_what_is_no_tls_is_told_apart(mesh: Authority, probe: Probe, serve: Callable[[Peer], None], answer: Answer) -> None:
    heard, _ = dial(mesh, probe, serve)
    assert heard.seen.answer == answer
    assert heard.seen.identity == ""


def test_an_address_of_version_6_stands_in_brackets(mesh: Authority) -> None:
    envoy = Envoy([resets])
    target = WireTarget(Place("shop", "web-1"), "fd00::7", 8080)
    with envoy.stream() as stream:
        probes.dial(mesh.root, CLIENT)(target, Probe.PLAINTEXT)(stream)
    assert envoy.seen == [("/plain", "[fd00::7]:8080")]
