"""Envoy's rules of access as tests of a request (envoy: api/envoy/config/rbac/v3/rbac.proto).

A rule that is read only in part still decides where the rest does: what is not known is a test that raises UnknownError.
"""

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from meshinstall.checks.authz import conditions
from meshinstall.checks.authz.conditions import Test
from meshinstall.checks.authz.enforced import Rule
from meshinstall.checks.authz.paths import path_matching
from meshinstall.checks.authz.rules import All
from meshinstall.checks.authz.seen import Seen, UnknownError, every, some
from meshinstall.checks.authz.sources import SCHEME
from meshinstall.engine.mesh.rbac.identities import identity_words
from meshinstall.engine.mesh.rbac.texts import block, header_matcher, kind_of, text_matcher, value_matcher
from meshinstall.engine.objects.json_fields import at, flag, number, rows, table, text

# istiod's names of what filters leave for others (istio: pilot/pkg/xds/filters/filters.go).
_TOKENS, _PAYLOAD = "envoy.filters.http.jwt_authn", "payload"
_TEMPLATE = "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"
_SETS = {"and_rules": ("rules", every), "or_rules": ("rules", some), "and_ids": ("ids", every), "or_ids": ("ids", some)}
_NOT = ("not_rule", "not_id")
# Characters of a path template: what anybody may write beyond them takes time and memory.
_LONGEST = 4_096
_POLICY = frozenset({"permissions", "principals"})


def read_rules(policies: Any) -> tuple[Rule, ...]:
    """The policies of an RBAC, by name; raises MalformedError."""
    return tuple(_rule(name, one) for name, one in sorted(table(policies).items()))


def _rule(name: str, policy: Any) -> Rule:
    more = sorted(table(policy).keys() - _POLICY)
    unread = (_unknown(f"a rule with {more[0]}"[:200]),) if more else ()
    choices = [tuple(_all(one) for one in rows(at(policy, field))) for field in ("permissions", "principals")]
    return Rule(name, tuple((*one, *unread) for one in choices[0]), choices[1])


def _all(found: Any) -> All:
    """The tests of which all hold."""
    names = table(found)
    inner = next((at(found, name, _SETS[name][0]) for name in ("and_rules", "and_ids") if name in names), None)
    return tuple(_test(one) for one in rows(inner)) if inner is not None and len(names) == 1 else (_test(found),)


def _test(found: Any) -> Test:
    try:
        kind, wanted = kind_of(found, "a rule")
        return _known_test(kind, wanted)
    except UnknownError as error:
        return _unknown(str(error))


def _known_test(kind: str, wanted: Any) -> Test:
    if kind in _SETS:
        return _set(kind, wanted)
    if kind in _NOT:
        inner = _test(wanted)
        return Test(inner.key, inner.values, lambda seen: not inner.holds(seen))
    if kind not in _LEAVES:
        raise UnknownError(f"a rule of {kind}"[:200])
    return _LEAVES[kind](wanted)


def _unknown(what: str) -> Test:
    def holds(_: Seen) -> bool:
        raise UnknownError(what)

    return Test(conditions.UNKNOWN, (what,), holds)


def _set(kind: str, wanted: Any) -> Test:
    field, quantify = _SETS[kind]
    tests = [_test(one) for one in rows(at(wanted, field))]
    key, values = _said_by(tests) if quantify is some else _said_of_token(tests)
    return Test(key, values, lambda seen: quantify(tests, lambda test: test.holds(seen)))


def _said_by(tests: Sequence[Test]) -> tuple[str, tuple[str, ...]]:
    """The key and the values of tests of which one holds, as a policy would say them."""
    pairs = dict.fromkeys((one.key, value) for one in tests for value in one.values)
    keys = {one.key for one in tests}
    if keys == {conditions.PRINCIPAL, conditions.TRUST_DOMAIN} and all(
        "*" not in value for key, value in pairs if key != conditions.PRINCIPAL
    ):
        # Among principals a whole trust domain is one with * at its end.
        return conditions.PRINCIPAL, tuple(value if key == conditions.PRINCIPAL else f"{value}/*" for key, value in pairs)
    return (keys.pop(), tuple(value for _, value in pairs)) if len(keys) == 1 else (conditions.OTHER, ())


def _said_of_token(tests: Sequence[Test]) -> tuple[str, tuple[str, ...]]:
    """An issuer and a subject that both hold are the principal of a request, as istiod takes it apart (generator.go)."""
    pairs = [(one.key, one.values) for one in tests]
    match pairs:
        case [(conditions.ISSUER, (issuer,)), (conditions.SUBJECT, (subject,))] if "/" not in subject:
            return conditions.REQUEST_PRINCIPAL, (_principal(issuer, subject),)
    return conditions.OTHER, ()


def _principal(issuer: str, subject: str) -> str:
    if issuer == subject == "*":
        return "*"
    if issuer == "*" and subject.startswith("*"):
        return subject
    return issuer if subject == "*" and issuer.endswith("*") else f"{issuer}/{subject}"


def _of(key: str, value: str | None, holds: Callable[[Seen], bool]) -> Test:
    """A test of one value, as a policy would say it; None where no policy does."""
    return Test(conditions.OTHER, (), holds) if value is None else Test(key, (value,), holds)


def _any(wanted: Any) -> Test:
    if not flag(wanted):
        raise UnknownError("a rule of any that is false")
    return Test(conditions.ANYTHING, (), lambda _: True)


def _header(wanted: Any) -> Test:
    name, matches, value = header_matcher(wanted)
    keys = {":authority": conditions.HOST, ":method": conditions.METHOD}
    return _of(keys.get(name, f"{conditions.HEADER}[{name}]"), value, lambda seen: matches(seen.header(name)))


def _path(wanted: Any) -> Test:
    kind, inner = kind_of(wanted, "a path")
    if kind != "path":
        raise UnknownError(f"a path by {kind}"[:200])
    matches, value = text_matcher(inner)
    return _of(conditions.PATH, value, lambda seen: seen.request.http is not None and matches(conditions.path_seen(seen)))


def _template(wanted: Any) -> Test:
    config = table(at(wanted, "typed_config"))
    if not text(config.get("@type")).endswith(f"/{_TEMPLATE}"):
        raise UnknownError("a path template of another kind")
    if len(text(config.get("path_template"))) > _LONGEST:
        raise UnknownError("a very long path template")
    pattern = "/".join({"*": "{*}", "**": "{**}"}.get(part, part) for part in text(config.get("path_template")).split("/"))
    matches = path_matching(pattern)
    if matches is None or "{" not in pattern:
        raise UnknownError("a path template that istiod does not write")
    return Test(conditions.PATH, (pattern,), lambda seen: seen.request.http is not None and matches(conditions.path_seen(seen)))


def _address(key: str, address: Callable[[Seen], str | None]) -> Callable[[Any], Test]:
    def make(wanted: Any) -> Test:
        said = block(wanted)
        network = ip_network(said)

        def holds(seen: Seen) -> bool:
            return ip_address(conditions.known(key, address(seen))) in network

        return Test(key, (said,), holds)

    return make


def _source_or_remote(seen: Seen) -> str | None:
    """The old source_ip: between the address of the connection and that of the client, told only where both are one."""
    return seen.request.source_ip if seen.request.source_ip == seen.request.remote_ip else None


def _port(wanted: Any) -> Test:
    port = number(wanted)
    return Test(conditions.PORT, (str(port),), lambda seen: seen.request.port == port)


def _server_name(wanted: Any) -> Test:
    matches, value = text_matcher(wanted)

    def holds(seen: Seen) -> bool:
        return matches(conditions.known(conditions.SERVER_NAME, seen.request.server_name).lower())

    return _of(conditions.SERVER_NAME, value, holds)


def _identity(wanted: Any) -> Test:
    if table(wanted).keys() != {"principal_name"}:
        raise UnknownError("a rule for whoever has a certificate")
    matches, _ = text_matcher(at(wanted, "principal_name"))

    def holds(seen: Seen) -> bool:
        name = seen.request.principal
        if name:
            return matches(SCHEME + name)
        # Of a client with TLS and without a certificate Envoy compares the empty name.
        if matches(""):
            raise UnknownError("an identity that may be empty")
        return False

    key, value = identity_words(at(wanted, "principal_name"))
    return _of(key, value, holds)


def _metadata(wanted: Any) -> Test:
    if at(wanted, "invert") or text(at(wanted, "filter")) != _TOKENS:
        raise UnknownError(f"what the filter {text(at(wanted, 'filter'))} says"[:200])
    path = tuple(text(at(one, "key")) for one in rows(at(wanted, "path")))
    if path[:1] != (_PAYLOAD,) or not all(path):
        raise UnknownError("what another filter makes of tokens")
    matches, values = value_matcher(at(wanted, "value"))
    # A key of a policy has brackets around names alone.
    is_said = values is not None and not any("[" in name or "]" in name for name in path)
    key = conditions.CLAIM + "".join(f"[{name}]" for name in path[1:]) if is_said else conditions.OTHER
    return Test(key, values or (), lambda seen: matches(_claim(seen, path[1:])))


def _claim(seen: Seen, path: tuple[str, ...]) -> Any:
    found: Any = seen.claims
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _sourced_metadata(wanted: Any) -> Test:
    if at(wanted, "metadata_source") not in (None, "DYNAMIC"):
        raise UnknownError("what a route says")
    return _metadata(at(wanted, "metadata_matcher"))


_LEAVES: Mapping[str, Callable[[Any], Test]] = {
    "any": _any,
    "header": _header,
    "url_path": _path,
    "uri_template": _template,
    "destination_ip": _address(conditions.DESTINATION_IP, lambda seen: seen.request.destination_ip),
    "destination_port": _port,
    "requested_server_name": _server_name,
    "authenticated": _identity,
    "direct_remote_ip": _address(conditions.SOURCE_IP, lambda seen: seen.request.source_ip),
    "remote_ip": _address(conditions.REMOTE_IP, lambda seen: seen.request.remote_ip),
    "source_ip": _address(conditions.SOURCE_IP, _source_or_remote),
    "metadata": _metadata,
    "sourced_metadata": _sourced_metadata,
}
