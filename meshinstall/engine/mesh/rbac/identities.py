"""What policy istiod made a comparison with a client's identity of (istio: pilot/pkg/security/authz/model/generator.go)."""

import re
from typing import Any

from meshinstall.checks.authz import conditions
from meshinstall.checks.authz.sources import SCHEME
from meshinstall.engine.objects.json_fields import at, text

# Its expressions by the key that each is of; what is between is quoted as by Go, with .* for each *.
_FORMS = (
    (re.compile(r"\.\*/ns/(?P<one>.*)/\.\*"), conditions.NAMESPACE),
    (re.compile(r"spiffe://\.\+/ns/(?P<one>.*)/\(\.\+/\|\)sa/(?P<two>.*)\(/\.\+\)\?"), conditions.SERVICE_ACCOUNT),
    (re.compile(r"spiffe://(?P<one>.*)\[\^/\]\*(?P<two>.*)/\.\*"), conditions.TRUST_DOMAIN),
    (re.compile(r"spiffe://\.\*(?P<two>.*)"), conditions.PRINCIPAL),
)
_BETWEEN = {conditions.SERVICE_ACCOUNT: "/", conditions.TRUST_DOMAIN: "*"}
# Characters of an expression: names and their quotes need far fewer, and a longer one takes time that grows by its square.
_LONGEST = 1024
_QUOTED = re.compile(r"\\(\W)")
_SPECIAL = re.compile(r"[.+*?()|\[\]{}^$\\]")


def identity_words(matcher: Any) -> tuple[str, str | None]:
    """The key and the value of a policy; None where no policy says it. Raises MalformedError."""
    exact, prefix = text(at(matcher, "exact")), text(at(matcher, "prefix"))
    if exact.startswith(SCHEME):
        return conditions.PRINCIPAL, _unless_pattern(exact.removeprefix(SCHEME), "")
    if prefix.startswith(SCHEME):
        return _beginning(prefix.removeprefix(SCHEME))
    expression = text(at(matcher, "safe_regex", "regex"))
    if expression == ".+":
        return conditions.PRINCIPAL, "*"
    for form, key in _FORMS if len(expression) <= _LONGEST else ():
        if found := form.fullmatch(expression):
            return key, _value(key, *(_unquoted(part, is_pattern=key == conditions.NAMESPACE) for part in found.groups()))
    return conditions.OTHER, None


def _beginning(prefix: str) -> tuple[str, str | None]:
    """A trust domain alone, where it ends with the first slash; any identity where it is empty."""
    domain, slash, rest = prefix.partition("/")
    if not prefix or (slash and not rest and "*" not in domain):
        return conditions.TRUST_DOMAIN, domain or "*"
    return conditions.PRINCIPAL, _unless_pattern(prefix, "*")


def _unless_pattern(value: str, star: str) -> str | None:
    return None if "*" in value else value + star


def _value(key: str, *parts: str | None) -> str | None:
    known = [part for part in parts if part is not None]
    if len(known) != len(parts):
        return None
    return f"*{known[0]}" if key == conditions.PRINCIPAL else _BETWEEN.get(key, "").join(known)


def _unquoted(expression: str, *, is_pattern: bool) -> str | None:
    """The text that was quoted; None where there is more in it than that."""
    pieces = expression.split(".*") if is_pattern else [expression]
    if any(_SPECIAL.search(_QUOTED.sub("", piece)) or "\\*" in piece for piece in pieces):
        return None
    return "*".join(_QUOTED.sub(r"\1", piece) for piece in pieces)
