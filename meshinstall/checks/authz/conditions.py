"""Each field of a rule, and each key of its conditions, as a test of a request.

Source: istio, pilot/pkg/security/authz/model (1.31). What is of HTTP alone is left out where a connection is TCP: of a DENY the rest
of the rule stays and matches more, of an ALLOW the whole rule goes.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from meshinstall.checks.authz import sources
from meshinstall.checks.authz.paths import path_matching, path_of
from meshinstall.checks.authz.seen import Seen, UnknownError, some
from meshinstall.checks.authz.texts import Match, header, matching
from meshinstall.checks.policies.reading import port_number

# One value of a field; None for a value that Istio leaves out.
Made = Callable[[Seen], bool] | None

PRINCIPAL, SERVICE_ACCOUNT, NAMESPACE, TRUST_DOMAIN = "source.principal", "source.serviceAccount", "source.namespace", "source.trustDomain"
SOURCE_IP, REMOTE_IP, DESTINATION_IP, PORT, SERVER_NAME = "source.ip", "remote.ip", "destination.ip", "destination.port", "connection.sni"
REQUEST_PRINCIPAL, AUDIENCES, PRESENTER = "request.auth.principal", "request.auth.audiences", "request.auth.presenter"
HEADER, CLAIM, FILTER = "request.headers", "request.auth.claims", "experimental.envoy.filters."
ISSUER, SUBJECT = f"{CLAIM}[iss]", f"{CLAIM}[sub]"
HOST, METHOD, PATH = "host", "method", "path"
# What a proxy may have and no policy says: what any request meets, what is not known (its value says what), and what is like no key.
ANYTHING, UNKNOWN, OTHER = "anything", "unknown", "other"


class LeftOutError(Exception):
    """Istio makes nothing of this rule."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a rule is read by: the namespace of its policy, the mesh's trust domains, and whether it is for TCP and allows."""

    namespace: str
    trust_domains: tuple[str, ...]
    is_tcp: bool
    is_allow: bool


@dataclass(frozen=True, slots=True)
class Test:
    """A test of one key of a request; ``values`` are what it is compared with, as istiod has them."""

    key: str
    values: tuple[str, ...]
    holds: Callable[[Seen], bool]


def tests(key: str, values: list[str], others: list[str], scope: Scope) -> Iterator[Test]:
    """That a field has one of ``values``, and that it has none of ``others``; raises LeftOutError for the rule."""
    if found := list(_made(key, values, scope)):
        yield Test(key, _migrated(key, values, scope), lambda seen: some(found, lambda test: test(seen)))
    if not_wanted := list(_made(key, others, scope)):
        yield Test(key, _migrated(key, others, scope), lambda seen: not some(not_wanted, lambda test: test(seen)))


def _made(key: str, values: list[str], scope: Scope) -> Iterator[Callable[[Seen], bool]]:
    make = _maker(key, scope)
    for value in _migrated(key, values, scope):
        if (made := make(value)) is not None:
            yield made
        elif scope.is_allow:
            raise LeftOutError


def _migrated(key: str, values: list[str], scope: Scope) -> tuple[str, ...]:
    if key == PRINCIPAL:
        return tuple(sources.with_aliases(values, scope.trust_domains))
    if key == SERVICE_ACCOUNT:
        return tuple(value if "/" in value else f"{scope.namespace}/{value}" for value in values)
    return tuple(sources.expanded(values, scope.trust_domains)) if key == TRUST_DOMAIN else tuple(values)


def _maker(key: str, scope: Scope) -> Callable[[str], Made]:
    """What makes a test of one value; raises LeftOutError for a key that there is not."""
    if key in _CONNECTION:
        return _CONNECTION[key]
    if key.startswith(FILTER):
        return _unknown(key)
    if key in _HTTP:
        return _nothing if scope.is_tcp else _HTTP[key]
    for prefix, make in ((HEADER, _header), (CLAIM, _claim)):
        if key.startswith(prefix):
            return _nothing if scope.is_tcp else make(key.removeprefix(prefix))
    raise LeftOutError


def _nothing(_: str) -> Made:
    return None


def _unknown(key: str) -> Callable[[str], Made]:
    def test(_: Seen) -> bool:
        raise UnknownError(key)

    return lambda _: test


def _identity(match: Match) -> Made:
    """Only a client with a certificate has an identity."""

    def test(seen: Seen) -> bool:
        name = seen.request.principal
        return bool(name) and match(sources.SCHEME + name)

    return test


def known(key: str, value: str | None) -> str:
    """A value that a request says; raises UnknownError where it says none."""
    if value is None:
        raise UnknownError(key)
    return value


def _address(key: str, field: str) -> Callable[[str], Made]:
    def make(value: str) -> Made:
        match = sources.address(value)
        return None if match is None else lambda seen: match(known(key, getattr(seen.request, field)))

    return make


def _port(value: str) -> Made:
    number = port_number(value)
    return None if number is None else lambda seen: seen.request.port == number


def _server_name(value: str) -> Made:
    match = matching(value)
    return lambda seen: match(known(SERVER_NAME, seen.request.server_name).lower())


def _request_principal(value: str) -> Made:
    """The issuer and the subject, both there: what comes before the last slash, and what comes after it."""
    issuer, subject = _halves(value)
    return lambda seen: _text_claim(seen, "iss", issuer) and _text_claim(seen, "sub", subject)


def _halves(value: str) -> tuple[Match, Match]:
    """How issuer and subject are compared: * counts at the start of the issuer or at the end of the subject."""
    issuer, slash, subject = value.rpartition("/")
    if value == "*":
        return bool, bool
    if value.startswith("*"):
        return (matching(issuer), _exactly(subject)) if slash else (bool, matching(value))
    if value.endswith("*"):
        return (_exactly(issuer), _starting(subject)) if slash else (_starting(value), bool)
    return (_exactly(issuer), _exactly(subject)) if slash else (_exactly(value), _exactly(""))


def _starting(pattern: str) -> Match:
    return bool if pattern == "*" else lambda text: text.startswith(pattern[:-1])


def _exactly(wanted: str) -> Match:
    return lambda text: text == wanted


def _text_claim(seen: Seen, name: str, match: Match) -> bool:
    value = (seen.claims or {}).get(name)
    return isinstance(value, str) and match(value)


def _header(bracketed: str) -> Callable[[str], Made]:
    name = _in_brackets(bracketed)
    if name is None:
        return _nothing

    def make(value: str) -> Made:
        match = header(value)
        return lambda seen: match(seen.header(name))

    return make


def _claim(bracketed: str) -> Callable[[str], Made]:
    path = claim_path(CLAIM + bracketed)
    return _nothing if path is None else _claims(path)


def claim_path(key: str) -> tuple[str, ...] | None:
    """The names of a claim that a key names: [a][b] is b of a, and brackets that do not pair are one name; None without brackets."""
    bracketed = key.removeprefix(CLAIM)
    if re.fullmatch(r"(\[[^\[\]]*\])+", bracketed):
        return tuple(re.findall(r"\[([^\[\]]*)\]", bracketed))
    name = _in_brackets(bracketed)
    return None if name is None else (name,)


def header_name(key: str) -> str | None:
    """The header that a key names, in lower case; None without brackets."""
    name = _in_brackets(key.removeprefix(HEADER))
    return None if name is None else name.lower()


def _claims(path: tuple[str, ...]) -> Callable[[str], Made]:
    def make(value: str) -> Made:
        match = matching(value)
        return lambda seen: any(match(text) for text in seen.claim(path))

    return make


def _in_brackets(text: str) -> str | None:
    return text[1:-1] if text.startswith("[") and text.endswith("]") else None


def _host(value: str) -> Made:
    match = header(value.lower())
    return lambda seen: match(None if (host := seen.header(":authority")) is None else host.lower())


def _method(value: str) -> Made:
    match = header(value)
    return lambda seen: match(seen.header(":method"))


def _path(value: str) -> Made:
    match = path_matching(value)
    return None if match is None else lambda seen: match(path_seen(seen))


def path_seen(seen: Seen) -> str:
    """The path of a request as rules compare it; raises UnknownError."""
    http = seen.request.http
    return path_of(http.path, seen.normalization) if http else ""


_CONNECTION: Mapping[str, Callable[[str], Made]] = {
    PRINCIPAL: lambda value: _identity(sources.principal(value)),
    SERVICE_ACCOUNT: lambda value: _identity(sources.service_account(value)),
    NAMESPACE: lambda value: _identity(sources.namespace(value)),
    TRUST_DOMAIN: lambda value: _identity(sources.trust_domain(value)),
    SOURCE_IP: _address(SOURCE_IP, "source_ip"),
    REMOTE_IP: _address(REMOTE_IP, "remote_ip"),
    DESTINATION_IP: _address(DESTINATION_IP, "destination_ip"),
    PORT: _port,
    SERVER_NAME: _server_name,
}
_HTTP: Mapping[str, Callable[[str], Made]] = {
    REQUEST_PRINCIPAL: _request_principal,
    AUDIENCES: _claims(("aud",)),
    PRESENTER: _claims(("azp",)),
    HOST: _host,
    METHOD: _method,
    PATH: _path,
}
