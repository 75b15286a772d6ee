"""Makes of a row of a table the bytes that are sent, or says why it cannot be tried on a cluster."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from meshinstall.checks.words import some
from meshinstall.model import json_text
from meshinstall.model.authz import Http, Request, Token
from meshinstall.model.place import Place

# What a client without a protocol says: it begins no message of a known one, and ends none (engine/probe).
UNFINISHED = b"\x00\x00\x01\x00\x00"
_ACCOUNT = re.compile(r"[^/\s]+/ns/([a-z0-9-]+)/sa/([a-z0-9.-]+)")
_PATH = re.compile(r"/[\x21-\x7e]*")
_VALUE = re.compile(r"[\x20-\x7e]*")
# Signed or not: three parts of base64url (RFC 7515, section 7.1).
_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
_MOST_TOKEN = 16 * 1024
# They say where a request ends: a row that wrote them could send two.
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer"})


def account_of(principal: str) -> Place | None:
    """The service account that a principal names; None for any other."""
    found = _ACCOUNT.fullmatch(principal)
    return Place(*found.groups()) if found else None


def is_token(text: str) -> bool:
    """Whether a text has the form of a JSON Web Token, and can be sent."""
    return len(text) <= _MOST_TOKEN and bool(_TOKEN.fullmatch(text))


def why_not(request: Request, *, is_gateway: bool, tokens: Mapping[str, str]) -> str:
    """Why a row cannot be tried on a cluster; empty where it can. ``tokens`` are those that there are, by variable."""
    http = request.http
    if request.principal and is_gateway:
        return "a client shows a gateway no certificate of the mesh: write from: {plaintext: true}"
    if request.principal and account_of(request.principal) is None:
        return f"no pod can have the identity {request.principal}"
    if request.source_ip or request.remote_ip or request.server_name:
        return "the row names an address or a server name, and the caller has its own"
    if http and http.token and (problem := _why_not_carried(http.token, tokens)):
        return problem
    return _why_not_sent(http) if http else ""


def _why_not_carried(token: Token, tokens: Mapping[str, str]) -> str:
    if not token.variable:
        return "a token of claims alone cannot be signed: add env: VARIABLE, which holds one that its issuer signed"
    if token.variable not in tokens:
        return f"the variable {token.variable} is not set"
    said = claims_of(tokens[token.variable])
    differs = sorted(name for name, value in token.claims.items() if name not in said or not _is_same(said[name], value))
    return f"the token in {token.variable} says something else than the row: {some(differs)}" if differs else ""


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values of JSON are the same; Python takes true for 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def claims_of(token: str) -> Mapping[str, Any]:
    """What a token says, whoever signed it; nothing where it cannot be read."""
    part = token.split(".")[1] if is_token(token) else ""
    try:
        found = json_text.load(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _why_not_sent(http: Http) -> str:
    if not _PATH.fullmatch(http.path):
        return "the path cannot be sent: it does not begin with /, or has a space or a character beyond ASCII"
    token = http.token
    texts = [http.host, *http.headers.values(), *((token.prefix, token.header, token.cookie, token.param) if token else ())]
    if not all(map(_VALUE.fullmatch, texts)):
        return "a header or the host has a character that cannot be sent"
    named = sorted({*http.headers, token.header.lower() if token else ""} & _FRAMING)
    return f"the header {named[0]} says how a request is sent, and is not a row's to write" if named else ""


def text_of(request: Request, host: str, tokens: Mapping[str, str]) -> bytes:
    """What is sent for a row for which ``why_not`` has nothing to say; ``host`` where the row names none."""
    if (http := request.http) is None:
        return UNFINISHED
    path, headers = _carrying(http, http.token, tokens)
    lines = [f"{http.method} {path} HTTP/1.1", f"host: {http.host or host}", *(f"{name}: {value}" for name, value in headers.items())]
    body = ["content-length: 0"] if http.method not in {"GET", "HEAD", "OPTIONS"} else []
    return "\r\n".join((*lines, *body, "connection: close", "", "")).encode("ascii")


def _carrying(http: Http, token: Token | None, tokens: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    headers = dict(http.headers)
    if token is None:
        return http.path, headers
    signed = tokens[token.variable]
    if token.param:
        return f"{http.path}{'&' if '?' in http.path else '?'}{quote(token.param)}={signed}", headers
    if token.cookie:
        cookies = [headers["cookie"]] if "cookie" in headers else []
        return http.path, {**headers, "cookie": "; ".join((*cookies, f"{token.cookie}={signed}"))}
    return http.path, {**headers, token.header.lower(): token.prefix + signed}
