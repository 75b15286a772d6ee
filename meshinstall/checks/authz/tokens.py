"""Tokens: what RequestAuthentications accept, and what they refuse with 401.

Source: istio, pilot/pkg/security/authn/policy_applier.go (1.31); Envoy, source/extensions/filters/http/jwt_authn.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshinstall.checks.authz.seen import UnknownError
from meshinstall.checks.policies.reading import items, maps, texts, word
from meshinstall.model.authz import AUTHORIZATION, BEARER, Http, Outcome, Token
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

# Claims whose text Envoy takes for a list.
_LISTS = ("scope", "permission")
_DEFAULT_PARAM = "access_token"


@dataclass(frozen=True, slots=True)
class TokenRule:
    """One of the jwtRules of a RequestAuthentication; ``policy`` is None where a proxy has it, which does not tell of what it was made."""

    policy: PolicyObject | None
    path: KeyPath
    fields: Mapping[str, Any]

    @property
    def issuer(self) -> str:
        """Whose tokens; empty for everybody's."""
        return word(self.fields.get("issuer"))

    def written(self) -> Iterator[str]:
        """Headers that the proxy writes from the token, in lower case."""
        names = (word(part.get("header")) for _, part in maps(self.fields.get("outputClaimToHeaders"), ()))
        yield from (name.lower() for name in (word(self.fields.get("outputPayloadToHeader")), *names) if name)

    def finds(self, token: Token) -> bool:
        """Whether it looks where the token is."""
        if token.cookie:
            return token.cookie in texts(self.fields.get("fromCookies"))
        if token.param:
            return token.param in (texts(self.fields.get("fromParams")) if self._has_places else [_DEFAULT_PARAM])
        return any(name == token.header.lower() and prefix in token.prefix for name, prefix in self._headers())

    def place_in(self, http: Http) -> str:
        """A place where it looks and where the request has something that is not its token; empty where there is none."""
        query = {part.partition("=")[0] for part in http.path.partition("?")[2].split("&")}
        params = texts(self.fields.get("fromParams")) if self._has_places else [_DEFAULT_PARAM]
        found = [f"the header {name}" for name, prefix in self._headers() if prefix in http.headers.get(name, "") and name in http.headers]
        found += [f"the parameter {name}" for name in params if name in query]
        found += ["the header cookie"] if items(self.fields.get("fromCookies")) and "cookie" in http.headers else []
        return next(iter(found), "")

    def places(self) -> Iterator[tuple[Token, str]]:
        """Where it looks: an empty token at each place, and the words for a place that is not the usual one."""
        for name, prefix in self._headers():
            is_usual = (name, prefix) == (AUTHORIZATION, BEARER)
            yield Token({}, header=name, prefix=prefix), "" if is_usual else f" in {name}{prefix and f' after {prefix!r}'}"
        for param in texts(self.fields.get("fromParams")) if self._has_places else [_DEFAULT_PARAM]:
            yield Token({}, param=param), f" in ?{param}"
        yield from ((Token({}, cookie=name), f" in cookie {name}") for name in texts(self.fields.get("fromCookies")))

    def judge(self, token: Token) -> Outcome:
        """What becomes of a token that it finds: 401, or 403 for one of its issuer that is for somebody else, which Envoy sees first."""
        if not self._reads_whole(token) or self._is_foreign(token):
            return Outcome.UNAUTHENTICATED
        if not self._is_for(token.claims.get("aud")):
            return Outcome.DENY
        return Outcome.ALLOW if token.valid else Outcome.UNAUTHENTICATED

    def passes_by(self, token: Token) -> bool:
        """Whether it leaves a token to the rules of other issuers."""
        return self._reads_whole(token) and self._is_foreign(token)

    def _is_foreign(self, token: Token) -> bool:
        return bool(self.issuer) and token.claims.get("iss") != self.issuer

    def _reads_whole(self, token: Token) -> bool:
        """Whether nothing stands between the prefix that it knows and the token."""
        if token.param or token.cookie:
            return True
        prefixes = [prefix for name, prefix in self._headers() if name == token.header.lower()]
        return any((token.prefix.endswith(prefix) if prefix else not token.prefix) for prefix in prefixes)

    def _is_for(self, audience: Any) -> bool:
        wanted = {_bare(one) for one in texts(self.fields.get("audiences"))}
        found = [audience] if isinstance(audience, str) else items(audience)
        return not wanted or any(_bare(word(one)) in wanted for one in found)

    @property
    def _has_places(self) -> bool:
        return any(items(self.fields.get(name)) for name in ("fromHeaders", "fromParams", "fromCookies"))

    def _headers(self) -> Iterator[tuple[str, str]]:
        if not self._has_places:
            yield AUTHORIZATION, BEARER
        for _, place in maps(self.fields.get("fromHeaders"), ()):
            yield word(place.get("name")).lower(), word(place.get("prefix"))

    def read(self, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        """Claims as rules see them: some texts are lists of words."""
        lists = (*_LISTS, *texts(self.fields.get("spaceDelimitedClaims")))
        return {name: _words(value) if name in lists and isinstance(value, str) else value for name, value in claims.items()}


def _words(text: str) -> list[str]:
    """Its words, as Envoy divides it: at each space, and at nothing else."""
    return [one for one in text.split(" ") if one]


def _bare(audience: str) -> str:
    """An audience as Envoy compares it: without its scheme, and without a slash at its end."""
    for scheme in ("http://", "https://"):
        if audience.startswith(scheme):
            audience = audience.removeprefix(scheme)
            break
    return audience.removesuffix("/")


@dataclass(frozen=True, slots=True)
class Authenticated:
    """What was made of the token of a request.

    ``carrier`` is the header that still carries it; ``refused_by`` is the rule that answers with ``outcome``, None where none does.
    """

    carrier: str = ""
    claims: Mapping[str, Any] | None = None
    refused_by: TokenRule | None = None
    outcome: Outcome = Outcome.ALLOW


def token_rules(policies: Iterable[PolicyObject]) -> tuple[TokenRule, ...]:
    """All rules for a workload, by issuer as istiod has them."""
    place = ("spec", "jwtRules")
    found = (TokenRule(policy, path, fields) for policy in policies for path, fields in maps(policy.spec.get(place[-1]), place))
    return tuple(sorted(found, key=lambda rule: rule.issuer))


def authenticate(rules: tuple[TokenRule, ...], http: Http) -> Authenticated:
    """Read the token of a request; one that no rule looks for is not seen, and a request without one passes. Raises UnknownError."""
    token = http.token
    if place := next(filter(None, (rule.place_in(http) for rule in rules)), "") if not _is_preflight(http) else "":
        raise UnknownError(f"whether {place}, which is read for a token, has one that is valid")
    if token is None:
        return Authenticated()
    carrier = "cookie" if token.cookie else "" if token.param else token.header.lower()
    finding = [rule for rule in rules if rule.finds(token)]
    if not finding or _is_preflight(http):
        return Authenticated(carrier)
    judged = [(rule.judge(token), rule) for rule in finding]
    accepting = next((rule for outcome, rule in judged if outcome is Outcome.ALLOW), None)
    if accepting is None:
        outcome, rule = _refusing(judged, token)
        return Authenticated(carrier, refused_by=rule, outcome=outcome)
    is_removed = accepting.fields.get("forwardOriginalToken") is not True and not token.cookie
    return Authenticated("" if is_removed else carrier, accepting.read(token.claims))


def _refusing(judged: Sequence[tuple[Outcome, TokenRule]], token: Token) -> tuple[Outcome, TokenRule]:
    """Of rules that all refuse a token the one that answers: one of the token's own issuer says more than that of another.

    Raises UnknownError where two of them answer otherwise: Envoy knows one provider by its issuer, and which of several that is goes by
    the order of a map (envoy: jwt_authn/jwks_cache.cc).
    """
    telling = [one for one in judged if not one[1].passes_by(token)] or judged
    if len({outcome for outcome, _ in telling}) > 1:
        raise UnknownError("which of its issuer's rules refuses the token, one with 401 and one with 403")
    return telling[0]


def _is_preflight(http: Http) -> bool:
    """Whether a browser asks if it may ask (CORS): such a request has no token, and its token is not looked at."""
    return http.method == "OPTIONS" and bool(http.headers.get("origin")) and bool(http.headers.get("access-control-request-method"))
