"""A request to a workload of the mesh, and what its policies decide."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

AUTHORIZATION = "authorization"
BEARER = "Bearer "


class Outcome(StrEnum):
    """What happens to a request; ``UNDECIDED`` where the files and the request do not tell."""

    ALLOW = "allow"
    DENY = "deny"
    UNAUTHENTICATED = "401"
    UNDECIDED = "undecided"


class Normalization(StrEnum):
    """What a proxy makes of a path before it is compared (istio/api: mesh/v1alpha1/config.proto, ProxyPathNormalization)."""

    NONE = "NONE"
    BASE = "BASE"
    MERGE_SLASHES = "MERGE_SLASHES"
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"


@dataclass(frozen=True, slots=True)
class Token:
    """A JSON Web Token and where the request carries it; ``valid``: its issuer signed it, and it is in time.

    It is in a header behind a prefix, else in the query parameter ``param`` or the cookie ``cookie``. ``variable`` is the environment
    variable that holds the real one, empty where there is none.
    """

    claims: Mapping[str, Any]
    valid: bool = True
    header: str = AUTHORIZATION
    prefix: str = BEARER
    param: str = ""
    cookie: str = ""
    variable: str = ""


@dataclass(frozen=True, slots=True)
class Http:
    """A request of HTTP; ``path`` is as it is sent, with its query; names of headers are in lower case."""

    method: str = "GET"
    path: str = "/"
    host: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload that is called; ``is_gateway``: its proxy's own servers, and no PeerAuthentication, say who must have a certificate."""

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    is_gateway: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A connection to ``port`` of a workload, not of a Service; without ``http`` it is TCP.

    ``principal`` is the client's identity in its certificate, such as cluster.local/ns/shop/sa/web; empty for plaintext and for TLS
    without a client certificate. Addresses and ``server_name`` (SNI) are None where they are not known.
    """

    port: int
    principal: str = ""
    http: Http | None = None
    source_ip: str | None = None
    remote_ip: str | None = None
    destination_ip: str | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to a request, why, and the rule that decides; ``policy`` and ``place`` (file:line) are empty where none does."""

    outcome: Outcome
    reason: str
    policy: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Expectation:
    """A request and what must become of it; ``place`` is the file and line that ask for it."""

    name: str
    place: str
    workload: Workload
    request: Request
    expected: Outcome


@dataclass(frozen=True, slots=True)
class ByProxy:
    """What one proxy does to a request; ``proxy`` is its pod."""

    proxy: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Tried:
    """An expectation and what the policies do; where proxies were asked, what each does, and in ``notes`` where they differ."""

    expectation: Expectation
    verdict: Verdict
    proxies: tuple[ByProxy, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_met(self) -> bool:
        """Whether both are the same."""
        return self.verdict.outcome is self.expectation.expected
