"""Policies, workloads and requests that hypothesis makes: few words, so that rules and requests often meet."""

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from meshinstall.checks.authz.axes import Deciding
from meshinstall.checks.authz.seen import UnknownError
from meshinstall.checks.authz.tokens import authenticate
from meshinstall.model.authz import Http, Normalization, Request, Token
from testbed.api import Json

TRUST_DOMAINS = ("mesh.example", "old.example")
ISSUERS = ("https://id.example/one", "two")
IDENTITIES = (
    "mesh.example/ns/shop/sa/web",
    "mesh.example/ns/shop/sa/web-admin",
    "old.example/ns/shop/sa/web",
    "mesh.example/ns/bank/sa/web",
    "other.example/ns/bank/sa/till",
)
SPACES = ("shop", "istio-system", "bank")
LABELS = {"app": "web", "tier": "front"}
PATHS = ("/", "/api", "/api/v1", "/api/v1/users/7", "/admin", "/admin/", "/static/a.js", "/API")
SENT = (
    *PATHS,
    *("/x/../admin", "/%61dmin", "//admin", "/api%2Fv1", "/api/./v1?x=1", "/api/v1/..", "/admin?x=/api", "/%2e%2e/admin", "/api/%7Ex"),
    *("/api//v1", "/api;v=1/v1", "/api%5cv1", "/api/v1/.", "/..", "/api/%2E%2E/admin", "/a%2525b", "/admin/..%2fapi", "/%41PI"),
)
HOSTS = ("shop.example", "SHOP.example", "shop.example:8080", "api.shop.example", "other.test")
METHODS = ("GET", "POST", "PUT", "OPTIONS", "DELETE")
NAMES = ("x-team", "x-user")
WORDS = ("red", "redder", "blue")
PORTS = (80, 8080, 9090)
SOURCES = ("127.0.0.1", "127.0.0.2", "127.1.0.1")
REMOTES = ("10.0.0.1", "10.1.2.3", "203.0.113.9")
TARGETS = ("10.9.0.1", "10.9.1.1")
SERVER_NAMES = ("shop.example", "outbound_.80_._.web.shop.svc.cluster.local", "")
BLOCKS = (
    "127.0.0.1",
    "127.0.0.0/30",
    "127.0.0.0/8",
    "10.0.0.0/16",
    "10.1.2.3",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "fd00::/8",
    "10.9.0.1",
    "10.9.0.0/16",
)
_SEVERAL = 3


@dataclass(frozen=True, slots=True)
class Case:
    """The objects for one workload in shop, and requests to it; what ``via`` says of TLS is beside each."""

    objects: tuple[Json, ...]
    labels: dict[str, str]
    requests: tuple[tuple[Request, bool], ...]


def _some(values: st.SearchStrategy[Any], most: int = _SEVERAL) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=most, unique=True)


@st.composite
def patterns(draw: st.DrawFn, words: tuple[str, ...]) -> str:
    """A word, its beginning or its end with *, or * alone."""
    word = draw(st.sampled_from(words))
    cut = draw(st.integers(1, max(1, len(word) - 1)))
    return draw(st.sampled_from((word, word, f"{word[:cut]}*", f"*{word[cut:]}", "*")))


def _texts(words: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return _some(patterns(words))


PRINCIPALS = (*IDENTITIES, "cluster.local/ns/shop/sa/web", "cluster.local/ns/bank/sa/till")
_PRINCIPALS = _some(patterns(PRINCIPALS) | st.sampled_from(("*/ns/shop/sa/web", "*.example/ns/shop/sa/web", "*/sa/web", "mesh.example/*")))
_NAMESPACES = _some(st.sampled_from(("shop", "bank", "sh*", "*nk", "*", "s*p", "none")))
_ACCOUNTS = _some(st.sampled_from(("web", "shop/web", "bank/web", "bank/till", "shop/web-admin", "w.b")))
_DOMAINS = _some(st.sampled_from(("mesh.example", "old.example", "other.example", "*", "*.example", "m*")))
_SUBJECTS = ("ann", "bob")
_REQUEST_PRINCIPALS = _some(
    st.sampled_from(
        (
            "*",
            *(f"{issuer}/{subject}" for issuer in ISSUERS for subject in (*_SUBJECTS, "*", "a*")),
            *("*/ann", "*one/ann", "two", "two*", "*bob", "https*", "*/*"),
        )
    )
)
_TEMPLATES = ("/{*}/v1", "/api/{**}", "/{**}", "/api/{*}/users/{**}", "/{*}", "/{*}/")
_PATHS = _some(patterns(PATHS) | st.sampled_from((*_TEMPLATES, "/api/*", "*.js", "/api/v1*")))
_HOSTS = _texts(HOSTS)
_METHODS = _some(st.sampled_from((*METHODS, "P*", "*T", "*")))
_PORTS = _some(st.sampled_from([str(port) for port in PORTS]))
_BLOCKS = _some(st.sampled_from(BLOCKS))
_SOURCE_FIELDS = {
    "principals": _PRINCIPALS,
    "namespaces": _NAMESPACES,
    "serviceAccounts": _ACCOUNTS,
    "trustDomains": _DOMAINS,
    "requestPrincipals": _REQUEST_PRINCIPALS,
    "ipBlocks": _BLOCKS,
    "remoteIpBlocks": _BLOCKS,
}
_NOT_BESIDE_ACCOUNTS = ("principals", "namespaces")
_OPERATION_FIELDS = {"hosts": _HOSTS, "methods": _METHODS, "paths": _PATHS, "ports": _PORTS}
_CLAIMS = ("[group]", "[scope]", "[nested][role]", "[iss]", "[aud]")
_CONDITIONS: dict[str, st.SearchStrategy[list[str]]] = {
    "source.ip": _BLOCKS,
    "remote.ip": _BLOCKS,
    "source.namespace": _NAMESPACES,
    "source.serviceAccount": _ACCOUNTS,
    "source.trustDomain": _DOMAINS,
    "source.principal": _PRINCIPALS,
    "request.auth.principal": _REQUEST_PRINCIPALS,
    "request.auth.audiences": _texts(("web", "bank")),
    "request.auth.presenter": _texts(("app", "tool")),
    "destination.ip": _BLOCKS,
    "destination.port": _PORTS,
    "connection.sni": _texts(("shop.example", "outbound_.80_._.web.shop.svc.cluster.local")),
    **{f"request.auth.claims{name}": _texts((*WORDS, ISSUERS[1], "web")) for name in _CLAIMS},
    **{f"request.headers[{name}]": _texts(WORDS) for name in ("x-team", "X-User")},
    "request.headers[Host]": _HOSTS,
    "request.headers[:method]": _METHODS,
}


@st.composite
def _fields(draw: st.DrawFn, fields: dict[str, st.SearchStrategy[list[str]]]) -> Json:
    """One or two fields, plain or with not."""
    found: Json = {}
    for name in sorted(draw(_some(st.sampled_from(sorted(fields)), 2)), reverse=True):
        # istiod refuses both.
        if name in _NOT_BESIDE_ACCOUNTS and any(key.lower().endswith("serviceaccounts") for key in found):
            continue
        key = name if draw(st.integers(0, 2)) else f"not{name[0].upper()}{name[1:]}"
        found[key] = draw(fields[name])
    return found


@st.composite
def _condition(draw: st.DrawFn) -> Json:
    key = draw(st.sampled_from(sorted(_CONDITIONS)))
    names = draw(st.sampled_from((("values",), ("values",), ("notValues",), ("values", "notValues"))))
    return {"key": key, **{name: draw(_CONDITIONS[key]) for name in names}}


@st.composite
def _rule(draw: st.DrawFn) -> Json:
    """Any of from, to and when; sometimes none, which matches everything."""
    rule: Json = {}
    if draw(st.booleans()):
        rule["from"] = [{"source": one} for one in draw(st.lists(_fields(_SOURCE_FIELDS), min_size=1, max_size=2))]
    if draw(st.booleans()):
        rule["to"] = [{"operation": one} for one in draw(st.lists(_fields(_OPERATION_FIELDS), min_size=1, max_size=2))]
    if draw(st.integers(0, 2)) == 0:
        rule["when"] = draw(st.lists(_condition(), min_size=1, max_size=2))
    return rule


@st.composite
def _policy(draw: st.DrawFn, number: int) -> Json:
    action = draw(st.sampled_from(("ALLOW", "ALLOW", "ALLOW", "DENY", "DENY", "AUDIT")))
    rules = draw(st.lists(_rule(), min_size=action != "ALLOW", max_size=3))
    spec: Json = {"action": action, "rules": rules} if rules else {}
    labels = draw(st.sampled_from(({}, {}, {"app": "web"}, {"app": "web", "tier": "front"}, {"app": "other"})))
    found = _object("AuthorizationPolicy", f"policy-{number}", draw(st.sampled_from(("shop", "shop", *SPACES))), spec, labels)
    if action != "AUDIT" and draw(st.integers(0, 9)) == 0:
        found["metadata"]["annotations"] = {"istio.io/dry-run": draw(st.sampled_from(("true", "false", "T")))}
    return found


_PARTS = {"from": _SOURCE_FIELDS, "to": _OPERATION_FIELDS, "when": _CONDITIONS}


@st.composite
def _single(draw: st.DrawFn) -> Json:
    """A policy for the workload with one field, which alone decides."""
    part = draw(st.sampled_from(sorted(_PARTS)))
    # Paths have the most rules.
    name = draw(st.sampled_from((*sorted(_PARTS[part]), *(["paths"] * 3 if part == "to" else []))))
    is_not = draw(st.integers(0, 3)) == 0
    key = f"not{name[0].upper()}{name[1:]}" if is_not else name
    if part == "from":
        rule: Json = {"from": [{"source": {key: draw(_SOURCE_FIELDS[name])}}]}
    elif part == "to":
        rule = {"to": [{"operation": {key: draw(_OPERATION_FIELDS[name])}}]}
    else:
        rule = {"when": [{"key": name, "notValues" if is_not else "values": draw(_CONDITIONS[name])}]}
    return _object("AuthorizationPolicy", "policy", "shop", {"action": draw(st.sampled_from(("ALLOW", "DENY"))), "rules": [rule]}, {})


def _object(kind: str, name: str, namespace: str, spec: Json, labels: dict[str, str]) -> Json:
    selector = {"selector": {"matchLabels": labels}} if labels else {}
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**selector, **spec},
    }


@st.composite
def _tokens(draw: st.DrawFn, number: int, keys: str) -> Json:
    """A RequestAuthentication with a rule or two."""
    rules = []
    for issuer in draw(_some(st.sampled_from(ISSUERS), 2)):
        rule: Json = {"issuer": issuer, "jwks": keys}
        if draw(st.integers(0, 2)) == 0:
            rule["audiences"] = draw(_some(st.sampled_from(("web", "bank", "https://web/")), 2))
        place = draw(st.sampled_from(("", "", "header", "bare", "param", "cookie")))
        places: dict[str, Json] = {
            "": {},
            "header": {"fromHeaders": [{"name": "X-Jwt", "prefix": "Token "}]},
            "bare": {"fromHeaders": [{"name": "x-jwt"}]},
            "param": {"fromParams": ["token"]},
            "cookie": {"fromCookies": ["session"]},
        }
        rule |= places[place]
        if draw(st.integers(0, 3)) == 0:
            rule["forwardOriginalToken"] = True
        rules.append(rule)
    labels = draw(st.sampled_from(({}, {"app": "web"}, {"app": "other"})))
    return _object(
        "RequestAuthentication", f"tokens-{number}", draw(st.sampled_from(("shop", "shop", *SPACES))), {"jwtRules": rules}, labels
    )


@st.composite
def _token(draw: st.DrawFn) -> Token:
    claims: Json = {"iss": draw(st.sampled_from((*ISSUERS, *ISSUERS, "https://foreign.example")))}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "sub": st.sampled_from(_SUBJECTS),
        "aud": st.sampled_from(("web", ["web", "bank"], "other", "http://web", ["bank"])),
        "azp": st.sampled_from(("app", "tool")),
        "group": st.sampled_from((*WORDS, list(WORDS), "red blue", 7, True)),
        "scope": st.sampled_from(("red", "red blue", ["blue"])),
        "nested": st.sampled_from(({"role": "red"}, {"role": ["blue", "red"]}, "red")),
    }
    for name, values in optional.items():
        if draw(st.integers(0, 2)):
            claims[name] = draw(values)
    places: tuple[dict[str, str], ...] = (
        {},
        {},
        {"header": "x-jwt", "prefix": "Token "},
        {"header": "x-jwt", "prefix": ""},
        {"param": "token"},
        {"param": "access_token"},
        {"cookie": "session"},
    )
    return Token(claims, valid=draw(st.integers(0, 5)) > 0, **draw(st.sampled_from(places)))


@st.composite
def _http(draw: st.DrawFn, *, tokens: bool) -> Http:
    headers = {name: draw(st.sampled_from((*WORDS, "", "dark red"))) for name in NAMES if draw(st.booleans())}
    method = draw(st.sampled_from(METHODS))
    if method == "OPTIONS" and draw(st.booleans()):
        headers |= {"origin": "https://shop.example", "access-control-request-method": "GET"}
    token = draw(_token()) if tokens and draw(st.integers(0, 3)) else None
    return Http(method, draw(st.sampled_from(SENT)), draw(st.sampled_from(HOSTS)), headers, token)


@st.composite
def _request(draw: st.DrawFn, *, tokens: bool) -> tuple[Request, bool]:
    """A request, and whether it is sent by TLS."""
    principal = draw(st.sampled_from((*IDENTITIES, *IDENTITIES[:2], "", "")))
    by_tls = bool(principal) or draw(st.booleans())
    http = draw(_http(tokens=tokens)) if draw(st.integers(0, 3)) else None
    sni = draw(st.sampled_from(SERVER_NAMES)) if by_tls else ""
    addresses = {"source_ip": SOURCES, "remote_ip": REMOTES, "destination_ip": TARGETS}
    drawn = {name: draw(st.sampled_from(values)) for name, values in addresses.items()}
    return Request(draw(st.sampled_from(PORTS)), principal, http, **drawn, server_name=sni), by_tls


@st.composite
def cases(draw: st.DrawFn, keys: str, requests: int) -> Case:
    """A workload with its policies, and requests to it; ``keys`` is the JWKS of each issuer."""
    is_single = draw(st.integers(0, 2)) > 0
    objects = [draw(_single())] if is_single else [draw(_policy(number)) for number in range(draw(st.integers(1, 4)))]
    tokens = draw(st.booleans()) or "request.auth" in str(objects) or "requestPrincipals" in str(objects)
    if tokens:
        objects += [draw(_tokens(number, keys)) for number in range(draw(st.integers(1, 2)))]
    asked = tuple(draw(_request(tokens=tokens)) for _ in range(requests))
    return Case(tuple(objects), draw(st.sampled_from((LABELS, LABELS, {"app": "web"}, {}))), asked)


MANAGERS: dict[Normalization, Json] = {
    Normalization.NONE: {"normalize_path": False},
    Normalization.BASE: {"normalize_path": True},
    Normalization.MERGE_SLASHES: {"normalize_path": True, "merge_slashes": True},
    Normalization.DECODE_AND_MERGE_SLASHES: {
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD",
    },
}


def bare(request: Request, *by: Deciding) -> Request:
    """Without a token that nobody accepts: whoever has one may leave it out."""
    http = request.http
    return request if http is None or any(_is_accepted(one, http) for one in by) else replace(request, http=replace(http, token=None))


def _is_accepted(by: Deciding, http: Http) -> bool:
    """Whether a token is, or may be."""
    try:
        return authenticate(by.tokens, http).claims is not None
    except UnknownError as doubt:
        # Of a token that is refused it may be unknown with which status.
        return "refuses the token" not in str(doubt)
