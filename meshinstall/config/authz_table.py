"""Tables of requests and what must become of each: the unit tests of policies."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from meshinstall.config import documents
from meshinstall.config.secrets import find_secrets
from meshinstall.config.source import Document, read
from meshinstall.errors import Problem
from meshinstall.model.authz import AUTHORIZATION, BEARER, Expectation, Http, Outcome, Request, Token, Workload
from meshinstall.model.foreign_text import plain
from meshinstall.model.labels import GATEWAY_LABEL
from meshinstall.model.values import KeyPath

_ACCOUNT = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?/[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
# No certificate has a longer one (SPIFFE-ID, section 2.3), and to compare it takes time with the square of its length.
_PRINCIPAL = re.compile(r"\S{1,2048}")
_METHOD = re.compile(r"[A-Z]+")
_HEADER = re.compile(r"[a-zA-Z0-9_-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Client:
    """Who calls: exactly one of a service account (NAMESPACE/NAME), a principal as in a certificate, and plaintext."""

    service_account: str = ""
    principal: str = ""
    plaintext: bool = False
    ip: str | None = None
    remote_ip: str | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Which workload is called, and at which port of its containers; ``gateway`` is null where its namespace or a label tells."""

    namespace: str
    port: int
    labels: Mapping[str, str] = field(default_factory=dict)
    gateway: bool | None = None


@dataclass(frozen=True, slots=True)
class WrittenToken:
    """A token and where it is; ``valid`` is false for one that its issuer did not sign or that has expired.

    ``env`` names the environment variable that holds the real one, for --live.
    """

    claims: Mapping[str, Any]
    valid: bool = True
    header: str = AUTHORIZATION
    prefix: str = BEARER
    param: str = ""
    cookie: str = ""
    env: str = ""


@dataclass(frozen=True, slots=True)
class WrittenRequest:
    """A request of HTTP; with ``tcp`` a connection that the proxy does not read."""

    tcp: bool = False
    method: str = "GET"
    path: str = "/"
    host: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table."""

    from_: Client
    to: Target
    expect: Literal["allow", "deny", "401", 401]
    name: str = ""
    token: WrittenToken | None = None
    request: WrittenRequest = WrittenRequest()


@dataclass(frozen=True, slots=True)
class Table:
    """The file."""

    cases: tuple[Case, ...] = ()


@dataclass(frozen=True, slots=True)
class Mesh:
    """What a table does not say of its mesh: the trust domain of service accounts, and the namespaces that are of gateways alone."""

    trust_domain: str
    gateways: frozenset[str] = frozenset()


def read_table(path: Path, mesh: Mesh, problems: list[Problem]) -> tuple[Expectation, ...]:
    """The rows of a table; what is wrong is added to ``problems``."""
    document = read(path, str(path), problems)
    problems += find_secrets(document)
    before = len(problems)
    table = documents.validate(document, Table, problems)
    if len(problems) == before and not table.cases:
        problems.append(document.problem((), "the table has no cases", "write cases: with from, to and expect in each"))
    for index, case in enumerate(table.cases):
        problems += _wrong(document, index, case)
    return tuple(_expectation(document, index, case, mesh) for index, case in enumerate(table.cases))


def _wrong(document: Document, index: int, case: Case) -> Iterator[Problem]:
    at = ("cases", str(index))
    source, to, request = case.from_, case.to, case.request
    if sum((bool(source.service_account), bool(source.principal), source.plaintext)) != 1:
        hint = "plaintext: true is a client without a certificate, from outside of the mesh or of a namespace without sidecars"
        yield document.problem((*at, "from"), "from needs one of serviceAccount, principal and plaintext: true", hint)
    texts = (
        (("from", "serviceAccount"), source.service_account, _ACCOUNT, "must be NAMESPACE/NAME"),
        (("from", "principal"), source.principal, _PRINCIPAL, "must have at most 2048 characters, and no space"),
        (("request", "method"), request.method, _METHOD, "must be a method in capital letters"),
    )
    for path, value, form, text in texts:
        if value and not form.fullmatch(value):
            yield document.problem((*at, *path), f"{path[-1]} {text}")
    for name, address in (("ip", source.ip), ("remoteIp", source.remote_ip)):
        if address is not None and not _is_address(address):
            yield document.problem((*at, "from", name), f"{name} must be an IP address")
    if not 0 < to.port <= _HIGHEST_PORT:
        yield document.problem((*at, "to", "port"), "port must be the number of a container's port")
    yield from _wrong_token(document, (*at, "token"), case)
    yield from _wrong_headers(document, (*at, "request", "headers"), request.headers)


def _wrong_token(document: Document, at: KeyPath, case: Case) -> Iterator[Problem]:
    if case.token and case.request.tcp:
        yield document.problem(at, "a connection of TCP has no token")
    if case.token and case.token.param and case.token.cookie:
        yield document.problem(at, "a token is in a param or in a cookie", "write a case for each")
    if case.token and case.token.env and not _VARIABLE.fullmatch(case.token.env):
        hint = "write the name of the variable alone, such as env: CART_TOKEN"
        yield document.problem((*at, "env"), "env is not the name of an environment variable", hint)


def _wrong_headers(document: Document, at: KeyPath, headers: Mapping[str, str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for name in headers:
        if not _HEADER.fullmatch(name):
            yield document.problem(at, "a header's name is letters, digits, - and _", "host: and method: say the rest")
        elif name.lower() == "host":
            yield document.problem((*at, name), "the host has a key of its own", "write request: {host: NAME}")
        elif name.lower() in seen:
            yield document.problem((*at, name), f"the header {name} is duplicate: names of headers have no case")
        seen.add(name.lower())


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _expectation(document: Document, index: int, case: Case, mesh: Mesh) -> Expectation:
    source, to, place = case.from_, case.to, document.place(("cases", str(index)))
    space, _, account = source.service_account.partition("/")
    principal = f"{mesh.trust_domain}/ns/{space}/sa/{account}" if account else source.principal.removeprefix("spiffe://")
    known = source.server_name if principal or source.server_name else ""
    request = Request(to.port, principal, _http(case), source.ip, source.remote_ip or source.ip, server_name=known)
    is_gateway = GATEWAY_LABEL in to.labels or to.namespace in mesh.gateways if to.gateway is None else to.gateway
    workload = Workload(to.namespace, to.labels, is_gateway)
    name = plain(case.name or _described(case, principal))
    return Expectation(name, f"{document.source}:{place[0]}", workload, request, Outcome(str(case.expect)))


def _http(case: Case) -> Http | None:
    request, token = case.request, case.token
    if request.tcp:
        return None
    headers = {name.lower(): value for name, value in request.headers.items()}
    carried = Token(token.claims, token.valid, token.header, token.prefix, token.param, token.cookie, token.env) if token else None
    return Http(request.method, request.path, request.host, headers, carried)


def _described(case: Case, principal: str) -> str:
    labels = ",".join(f"{name}={value}" for name, value in sorted(case.to.labels.items()))
    what = "TCP" if case.request.tcp else f"{case.request.method} {case.request.path}"
    who = case.from_.service_account or principal or "plaintext"
    return f"{who} to {case.to.namespace}{f' {labels}' if labels else ''} port {case.to.port} {what}"
