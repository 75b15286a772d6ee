"""The four probes of a port, as bytes on a connection from inside the cluster.

On a port that is not ours nothing is said that an application could act on:
five bytes that begin a message in no known protocol and end none, or a TLS
handshake and nothing after it.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from meshinstall.adapters.wire import foreign_tls
from meshinstall.adapters.wire.tunnel import Head, Tunnel, connected
from meshinstall.engine.probe import probe_objects
from meshinstall.model.foreign_text import plain, printable
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
# Characters of what others say.
_LONGEST = 200
# What is not asked again: more time could not change it.
_TELLING = frozenset({Answer.SERVED, Answer.REFUSED})
# What Envoy says of a connection that it could not make: a part of its words, and what that means.
_FAILURES: Mapping[str, tuple[Answer, str]] = {
    "Connection_refused": (Answer.NOTHING, "connection refused"),
    "connection_timeout": (Answer.SILENT, "no connection within 2 s"),
    "No_route_to_host": (Answer.SILENT, "no route to the address"),
    "Network_is_unreachable": (Answer.SILENT, "no route to the address"),
}
# The one telling part of what BoringSSL says through Envoy.
_OPENSSL = re.compile(r"OPENSSL_internal:(\w+)")
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
    identities = {"identity": _spiffe(head, probe_objects.PEER), "client_identity": _spiffe(head, probe_objects.OWN)}
    words = _clean(head.headers.get(probe_objects.TLS, "TLS"))
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
    why = _why(head)
    if _TOO_OLD.search(why) and path == probe_objects.MESH_TLS12:
        newer = partial(_meshed, address=address, path=probe_objects.MESH_TLS13)
        return replace(_heard(Probe.MESHED, Answer.FAILED, _told(why)), again=newer)
    if "CERTIFICATE_VERIFY_FAILED" in why:
        return _heard(Probe.MESHED, Answer.REFUSED, "the mesh's client refuses the server's certificate")
    if _REFUSED.search(why):
        return _heard(Probe.MESHED, Answer.REFUSED, f"the server refuses the mesh's client: {_told(why)}")
    if _NO_TLS.search(why):
        return _heard(Probe.MESHED, Answer.ENDED, "the server does not speak TLS")
    if "TLS_error" in why and _GONE.search(why):
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
    heard = Heard(Seen(probe, found.answer, _clean(found.words), identity=printable(found.identity)))
    is_telling = found.answer in _TELLING or not found.is_late
    return heard if is_last or is_telling else replace(heard, again=partial(again, who=who, is_last=True))


def _unconnected(probe: Probe, head: Head) -> Heard:
    why = _why(head)
    answer, words = next((meaning for said, meaning in _FAILURES.items() if said in why), (Answer.FAILED, _told(why)))
    return replace(_heard(probe, answer, words), connected=False)


def _heard(probe: Probe, answer: Answer, words: str) -> Heard:
    return Heard(Seen(probe, answer, _clean(words)))


def _why(head: Head) -> str:
    """Envoy's reason for a failed connection."""
    said = (head.headers.get(name, "") for name in (probe_objects.WHY, probe_objects.DETAILS))
    return next((text for text in said if text not in {"", "-"}), f"HTTP {head.status}")


def _told(why: str) -> str:
    """The reason in words for people."""
    return ", ".join(name.lower() for name in _OPENSSL.findall(why)) or why


def _spiffe(head: Head, name: str) -> str:
    """The SPIFFE name in a header that lists a certificate's URIs."""
    return printable(next((uri for uri in head.headers.get(name, "").split(",") if uri.startswith("spiffe://")), ""))


def _clean(text: str) -> str:
    return plain(text.replace("_", " "), _LONGEST)
