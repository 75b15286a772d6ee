"""Results of live probes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from meshinstall.model.mesh import Place

# How the names of the namespaces of live probes begin, and what labels them and, with the pod's name, their pods.
PROBE_PREFIX = "meshinstall-probe-"
PROBE_LABEL = "meshinstall.dev/probe"


class Probe(StrEnum):
    """What was tried against a port.

    PLAINTEXT: bytes without TLS. ANONYMOUS: TLS with the mesh's own ALPN and no client certificate. FOREIGN: TLS with a certificate
    of an authority that the mesh does not know. MESHED: TLS as the proxies do it, with the identity of a probe of ours.
    """

    PLAINTEXT = "plaintext"
    ANONYMOUS = "anonymous TLS"
    FOREIGN = "foreign certificate"
    MESHED = "meshed client"


class Answer(StrEnum):
    """What the other side did: SERVED took it, REFUSED ended it as a proxy does, the rest prove nothing.

    ENDED is an end that a proxy would not choose, such as an orderly one without a word: an application's, perhaps.
    """

    SERVED = "served"
    REFUSED = "refused"
    NOTHING = "nothing listens"
    SILENT = "no answer in time"
    ENDED = "ended without a reason"
    FAILED = "could not be tried"


@dataclass(frozen=True, slots=True)
class Seen:
    """One probe of one port; ``identity`` is the SPIFFE name that the server proved to hold, ``words`` what the wire said."""

    probe: Probe
    answer: Answer
    words: str = ""
    identity: str = ""
    client_identity: str = ""


@dataclass(frozen=True, slots=True)
class WireTarget:
    """A port of a pod to be probed."""

    pod: Place
    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Probing:
    """Results of a round of probes by target, or why there are none (``skipped``: not wanted; ``problem``: not possible)."""

    seen: Mapping[WireTarget, tuple[Seen, ...]] = field(default_factory=dict)
    skipped: str = ""
    problem: str = ""


class Way(StrEnum):
    """How a request goes to a port: as it is, or inside the mesh's TLS as a port gets it that the proxy reads as HTTP, or as TCP."""

    PLAIN = "plaintext"
    MESH_HTTP = "mutual TLS"
    MESH_TCP = "mutual TLS for TCP"


class End(StrEnum):
    """How a conversation ended: HEAD is an answer of HTTP, BYTES any other, HELD a connection that was kept open without a word."""

    HEAD = "an answer of HTTP"
    BYTES = "other bytes"
    HELD = "kept open"
    RESET = "reset"
    CLOSED = "closed"
    FAILED = "could not be tried"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one request: of HTTP its status, headers by lower-case name and the first bytes of its body.

    ``words`` say why there is no answer, ``identity`` is the SPIFFE name that the client showed.
    """

    end: End
    words: str = ""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """Bytes for a port of a pod; ``speaks_http``: the answer is one of HTTP."""

    target: WireTarget
    way: Way
    data: bytes = field(repr=False)
    speaks_http: bool = True
