"""Envoy's check of tokens as istiod configures it (istio: pilot/pkg/security/authn/policy_applier.go, convertToEnvoyJwtConfig)."""

from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.checks.authz.enforced import Tokens, Unread
from meshinstall.checks.authz.tokens import TokenRule
from meshinstall.engine.objects.json_fields import at, flag, rows, table, text

# The modulus of the key that istiod hands out where it could not fetch an issuer's: nobody has its private half
# (istio: pilot/pkg/model/jwks_resolver.go, PublicOnlyJwks).
_NOBODYS = "0xObjM0UvS_oaazjpEYlAbwctEJ4L8pH3OuTb7qth7gUwqet-EzQB4dgFdvSdMgrLnSncQGRjpEYz3F3viIbH"
_FIELDS = frozenset({"providers", "rules", "bypass_cors_preflight"})
_PROVIDER = frozenset(
    {
        *("issuer", "audiences", "forward", "forward_payload_header", "claim_to_headers", "from_headers", "from_params", "from_cookies"),
        *("payload_in_metadata", "normalize_payload_in_metadata", "clear_route_cache", "local_jwks", "remote_jwks"),
    }
)
_ANY_PATH = {"prefix": "/"}


def read_tokens(config: Mapping[str, Any]) -> Tokens | Unread:
    """A JwtAuthentication; Unread where istiod would not write it. Raises MalformedError."""
    providers = {name: table(one) for name, one in table(config.get("providers")).items()}
    names = sorted(providers, key=lambda name: (len(name), name))
    wrong = next(_strange(config, providers, names), "")
    if wrong:
        return Unread(f"the proxy's check of tokens, in which istiod does not write {wrong}"[:200])
    keys = {name: _keys(providers[name]) for name in names}
    issuers = {name: text(providers[name].get("issuer")) for name in names}
    # One issuer may have several providers, and one without a name is everybody's.
    keyless = {issuers[name] for name in names if keys[name] == "nobody's"} - {issuers[name] for name in names if keys[name] != "nobody's"}
    remote = {issuers[name] for name in names if keys[name] != "here"} - (keyless - {""})
    return Tokens(tuple(TokenRule(None, (), _fields(providers[name])) for name in names), frozenset(keyless - {""}), frozenset(remote))


def _strange(config: Mapping[str, Any], providers: Mapping[str, Mapping[str, Any]], names: list[str]) -> Iterator[str]:
    yield from sorted(config.keys() - _FIELDS)
    for name in names:
        yield from sorted(providers[name].keys() - _PROVIDER)
        if text(providers[name].get("payload_in_metadata")) != "payload":
            yield "a provider whose claims rules do not see"
    if not flag(config.get("bypass_cors_preflight")):
        yield "that browsers' preflights are checked"
    if rows(config.get("rules")) != [{"match": _ANY_PATH, "requires": _requires(names)}]:
        yield "which tokens are required"


def _requires(names: list[str]) -> Mapping[str, Any]:
    """What istiod writes: a token that one of them accepts, or at none of their places one."""
    each = [{"requires_any": {"requirements": [{"provider_name": name}, {"allow_missing": {}}]}} for name in names]
    if len(each) == 1:
        return each[0]
    return {"requires_any": {"requirements": [*({"provider_name": name} for name in names), {"requires_all": {"requirements": each}}]}}


def _keys(provider: Mapping[str, Any]) -> str:
    if provider.get("local_jwks") is None:
        return "elsewhere"
    inline = text(at(provider, "local_jwks", "inline_string"))
    return "nobody's" if _NOBODYS in inline else "here" if inline else "elsewhere"


def _fields(provider: Mapping[str, Any]) -> Mapping[str, Any]:
    """As the jwtRules of a RequestAuthentication say it."""
    headers = [{"name": text(at(one, "name")), "prefix": text(at(one, "value_prefix"))} for one in rows(provider.get("from_headers"))]
    lists = rows(at(provider, "normalize_payload_in_metadata", "space_delimited_claims"))
    return {
        "issuer": text(provider.get("issuer")),
        "audiences": [text(one) for one in rows(provider.get("audiences"))],
        "fromHeaders": headers,
        "fromParams": [text(one) for one in rows(provider.get("from_params"))],
        "fromCookies": [text(one) for one in rows(provider.get("from_cookies"))],
        "forwardOriginalToken": flag(provider.get("forward")),
        "outputPayloadToHeader": text(provider.get("forward_payload_header")),
        "outputClaimToHeaders": [{"header": text(at(one, "header_name"))} for one in rows(provider.get("claim_to_headers"))],
        "spaceDelimitedClaims": [text(one) for one in lists],
    }
