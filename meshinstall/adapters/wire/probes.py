"""The four probes of a port, as bytes on a connection from inside the cluster.

On a port that is not ours nothing is said that an application could act on:
five bytes that begin a message in no known protocol and end none, or a TLS
handshake and nothing after it.
"""

import re
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from meshinstall.adapters.wire import foreign_tls
from meshinstall.adapters.wire.heads import clean, failure, spiffe, told, why
from meshinstall.adapters.wire.tunnel import Head, Tunnel, connected
from meshinstall.engine.probe import probe_objects
from meshinstall.model.foreign_text import printable
from meshinstall.model.wire import Answer, Probe, Seen, WireTarget
from meshinstall.ports import Dial, Heard, Stream, Talk

# No TLS record, and the five bytes that Envoy needs to know that. Where a protocol begins with a length they promise more
# than there is, and where it has lines this is none.
_UNFINISHED = b"\x00\x00\x01\x00\x00"
# Seconds: for a first answer, and for that of a busy proxy; after our own end; and how long a connection must last to be called held.
_PATIENCE = 0.5
_MORE_PATIENCE = 4.0
_LINGER = 1.0
_HOLD = 0.15
_READ = 4096
# What a server that speaks nothing but TLS says to other bytes (RFC 8446 section 5.1), and how HTTP answers begin.
_ALERT = re.compile(rb"\x15\x03[\x00-\x04]")
_STATUS = re.compile(rb"HTTP/1\.[01] \d{3}")
# What is not asked again: more time could not change it.
_TELLING = frozenset({Answer.SERVED, Answer.REFUSED})
# How BoringSSL names the alerts by which a server refuses a certificate, and our own refusal of the server's.
_REFUSED = re.compile(r"ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR|HANDSHAKE_FAILURE)|CERTIFICATE_VERIFY_FAILED")
_TOO_OLD = re.compile(r"ALERT_PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL")
_NO_TLS = re.compile(r"WRONG_VERSION_NUMBER|HTTP_REQUEST|UNEXPECTED_RECORD|WRONG_SSL_VERSION")
# The other side went away in the middle of a handshake.
_GONE = re.compile(r"system_library|Connection_reset|Broken_pipe|connection_termination|SSL_ERROR_SYSCALL", re.IGNORECASE)


def dial(roots: str, identity: str) -> Dial:
    """Probes for a mesh with these roots (PEM) and a client of this SPIFFE name; FOREIGN claims the same name with a root of its own."""
    foreign = foreign_tls.foreign_pair(identity)

    def dial(target: WireTarget, probe: Probe) -> Talk:
        address = f"[{target.ip}]:{target.port}" if ":" in target.ip else f"{target.ip}:{target.port}"
        match probe:
            case Probe.PLAINTEXT:
                return partial(_plaintext, address=address)
            case Probe.MESHED:
                return partial(_meshed, address=address, path=probe_objects.MESH_TLS12)
            case Probe.ANONYMOUS:
                return partial(_without_trust, address=address, who=foreign_tls.Client(roots), probe=probe)
            case Probe.FOREIGN:
                return partial(_without_trust, address=address, who=foreign_tls.Client(roots, foreign), probe=probe)

    return dial


def _plaintext(stream: Stream, address: str, *, is_last: bool = False) -> Heard:
    """A proxy that requires TLS resets at once; anything else answers, or keeps the connection until we close it.

    A busy proxy is late, and after our own end its reset tells nothing: such a port is tried once more, for longer.
    """
    tunnel = connected(stream, probe_objects.PLAIN, address)
    if tunnel.head.status != HTTPStatus.OK:
        return _unconnected(Probe.PLAINTEXT, tunnel.head)
    tunnel.send(_UNFINISHED)
    try:
        said = tunnel.receive(_READ, _MORE_PATIENCE if is_last else _PATIENCE)
    except ConnectionResetError:
        return _heard(Probe.PLAINTEXT, Answer.REFUSED, "reset the connection at the first plaintext bytes")
    except TimeoutError:
        tunnel.end()
        heard = _heard(Probe.PLAINTEXT, *_after_our_end(tunnel))
        is_telling = heard.seen.answer in _TELLING
        return heard if is_last or is_telling else replace(heard, again=partial(_plaintext, address=address, is_last=True))
    if said:
        return _heard(Probe.PLAINTEXT, *_reply(said))
    return _heard(Probe.PLAINTEXT, Answer.ENDED, "closed the connection after plaintext bytes; a sidecar would reset it")


def _reply(said: bytes) -> tuple[Answer, str]:
    if _ALERT.match(said):
        return Answer.REFUSED, "answered plaintext bytes with a TLS alert"
    # A status line is no secret; of anything else nothing is told.
    status = _STATUS.match(said)
    return Answer.SERVED, f"answered plaintext bytes{f': {status[0].decode()}' if status else ''}"


def _after_our_end(tunnel: Tunnel) -> tuple[Answer, str]:
    try:
        said = tunnel.receive(_READ, _LINGER)
    except ConnectionResetError:
        return Answer.ENDED, "accepted plaintext bytes, then reset the connection"
    except TimeoutError:
        return Answer.SILENT, "connected, but neither an answer nor a close came"
    if said:
        return _reply(said)
    return Answer.SERVED, "accepted plaintext bytes and kept the connection open until we closed it"


def _meshed(stream: Stream, address: str, path: str) -> Heard:
    """The mesh's own TLS, by the client's own Envoy."""
    tunnel = connected(stream, path, address)
    head = tunnel.head
    if head.status != HTTPStatus.OK:
        return _unmeshed(head, address, path)
    identities = {"identity": spiffe(head, probe_objects.PEER), "client_identity": spiffe(head, probe_objects.OWN)}
    words = clean(head.headers.get(probe_objects.TLS, "TLS"))
    try:
        held = bool(tunnel.receive(_READ, _HOLD))
    except TimeoutError:
        held = True
    except ConnectionResetError:
        held = False
    if held:
        return Heard(Seen(Probe.MESHED, Answer.SERVED, words, **identities))
    if path == probe_objects.MESH_TLS13:
        # Here an end may also be the answer to our certificate.
        return replace(_heard(Probe.MESHED, Answer.ENDED, f"{words}: closed right after the handshake"), held=False)
    words = f"{words}; closed right after the handshake, so nothing listens behind the proxy"
    return Heard(Seen(Probe.MESHED, Answer.SERVED, words, **identities), held=False)


def _unmeshed(head: Head, address: str, path: str) -> Heard:
    """The result when the client's Envoy could not connect."""
    said = why(head)
    if _TOO_OLD.search(said) and path == probe_objects.MESH_TLS12:
        newer = partial(_meshed, address=address, path=probe_objects.MESH_TLS13)
        return replace(_heard(Probe.MESHED, Answer.FAILED, told(said)), again=newer)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return _heard(Probe.MESHED, Answer.REFUSED, "the mesh's client refuses the server's certificate")
    if _REFUSED.search(said):
        return _heard(Probe.MESHED, Answer.REFUSED, f"the server refuses the mesh's client: {told(said)}")
    if _NO_TLS.search(said):
        return _heard(Probe.MESHED, Answer.ENDED, "the server does not speak TLS")
    if "TLS_error" in said and _GONE.search(said):
        return replace(_heard(Probe.MESHED, Answer.ENDED, "closed during the handshake"), held=False)
    return _unconnected(Probe.MESHED, head)


def _without_trust(stream: Stream, address: str, who: foreign_tls.Client, probe: Probe, *, is_last: bool = False) -> Heard:
    """A TLS handshake of our own, without a certificate or with a foreign one; of a server that is late a second one, for longer."""
    tunnel = connected(stream, probe_objects.PLAIN, address)
    if tunnel.head.status != HTTPStatus.OK:
        return _unconnected(probe, tunnel.head)
    found = foreign_tls.handshake(tunnel, who, _MORE_PATIENCE if is_last else _PATIENCE, _LINGER)
    again = partial(_without_trust, address=address, probe=probe)
    if found.unverified:
        stranger = _heard(probe, Answer.FAILED, f"the server's certificate is not from the mesh: {found.words}")
        return replace(stranger, again=partial(again, who=who.believing_anyone(), is_last=is_last))
    heard = Heard(Seen(probe, found.answer, clean(found.words), identity=printable(found.identity)))
    is_telling = found.answer in _TELLING or not found.is_late
    return heard if is_last or is_telling else replace(heard, again=partial(again, who=who, is_last=True))


def _unconnected(probe: Probe, head: Head) -> Heard:
    answer, words = failure(why(head))
    return replace(_heard(probe, answer, words), connected=False)


def _heard(probe: Probe, answer: Answer, words: str) -> Heard:
    return Heard(Seen(probe, answer, clean(words)))
