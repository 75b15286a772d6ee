"""Envoy's matchers of texts, headers, addresses and values (envoy: api/envoy/type/matcher/v3, config/route/v3, config/core/v3)."""

import string
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import Any, NamedTuple

from meshinstall.checks.authz.patterns import matching_pattern
from meshinstall.checks.authz.seen import UnknownError, some
from meshinstall.checks.authz.texts import Match
from meshinstall.engine.objects.json_fields import at, flag, number, rows, table, text

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_COMPARED: Mapping[str, Callable[[str, str], bool]] = {
    "exact": str.__eq__,
    "prefix": str.startswith,
    "suffix": str.endswith,
    "contains": str.__contains__,
}
# What older istiods write into matchers of headers.
_OLD = {"exact_match": "exact", "prefix_match": "prefix", "suffix_match": "suffix", "contains_match": "contains"}

Value = Callable[[Any], bool]


class Text(NamedTuple):
    """A comparison with a text; ``value`` is how a policy of Istio says it, None where none does."""

    matches: Match
    value: str | None


def kind_of(found: Any, what: str, *besides: str) -> tuple[str, Any]:
    """The one field of a message of which exactly one is there; raises UnknownError where there are others than ``besides``."""
    names = [name for name in table(found) if name not in besides]
    if len(names) != 1:
        raise UnknownError(f"{what} with {' and '.join(sorted(names)) or 'nothing in it'}"[:200])
    return names[0], found[names[0]]


def text_matcher(found: Any) -> Text:
    """A StringMatcher; raises UnknownError, MalformedError."""
    name, wanted = kind_of(found, "a comparison of texts", "ignore_case")
    if name == "safe_regex":
        expression = text(at(wanted, "regex"))
        return Text(matching_pattern(expression), "*" if expression == ".+" else None)
    return _compared(name, text(wanted), ignore_case=flag(at(found, "ignore_case")))


def _compared(name: str, wanted: str, *, ignore_case: bool) -> Text:
    if name not in _COMPARED:
        raise UnknownError(f"a comparison of texts by {name}"[:200])
    compare, lower = _COMPARED[name], wanted.translate(_LOWER)
    spelled = {"exact": wanted, "prefix": f"{wanted}*", "suffix": f"*{wanted}"}.get(name)
    # In a policy * has its meaning at one end, and there is no way to write it as itself.
    value = None if "*" in wanted[:1] + wanted[-1:] else spelled
    if ignore_case:
        return Text(lambda found: compare(found.translate(_LOWER), lower), value)
    return Text(lambda found: compare(found, wanted), value)


class Header(NamedTuple):
    """A comparison with the header ``name``, None where the request has none."""

    name: str
    matches: Callable[[str | None], bool]
    value: str | None


def header_matcher(found: Any) -> Header:
    """A HeaderMatcher; raises UnknownError, MalformedError."""
    kind, wanted = kind_of(found, "a comparison of headers", "name")
    name = text(at(found, "name"))
    if kind == "present_match":
        if not flag(wanted):
            raise UnknownError("a header that must be missing")
        return Header(name, lambda value: value is not None, "*")
    if kind in _OLD:
        inner = _compared(_OLD[kind], text(wanted), ignore_case=False)
    elif kind == "string_match":
        inner = text_matcher(wanted)
    else:
        raise UnknownError(f"a comparison of headers by {kind}"[:200])
    return Header(name, lambda value: value is not None and inner.matches(value), inner.value)


def block(found: Any) -> str:
    """A CidrRange as ADDRESS/LENGTH; raises MalformedError, UnknownError for another one."""
    said = f"{text(at(found, 'address_prefix'))}/{number(at(found, 'prefix_len'))}"
    try:
        return str(ip_network(said, strict=False))
    except ValueError as error:
        raise UnknownError("a malformed block of addresses") from error


class Values(NamedTuple):
    """A comparison with a value of any type; ``values`` are how policies say it, None where none does."""

    matches: Value
    values: tuple[str, ...] | None


def value_matcher(found: Any) -> Values:
    """A ValueMatcher; raises UnknownError, MalformedError."""
    kind, wanted = kind_of(found, "a comparison of a value")
    if kind == "string_match":
        inner = text_matcher(wanted)
        return Values(lambda value: isinstance(value, str) and inner.matches(value), None if inner.value is None else (inner.value,))
    if kind == "list_match":
        name, one_of = kind_of(wanted, "a comparison of a list")
        if name != "one_of":
            raise UnknownError(f"a comparison of a list by {name}"[:200])
        item = value_matcher(one_of)
        return Values(lambda value: isinstance(value, list | tuple) and some(value, item.matches), item.values)
    if kind == "or_match":
        choices = [value_matcher(one) for one in rows(at(wanted, "value_matchers"))]
        said = [one.values for one in choices]
        values = None if None in said else tuple(dict.fromkeys(value for one in said for value in one or ()))
        return Values(lambda value: some(choices, lambda choice: choice.matches(value)), values)
    raise UnknownError(f"a comparison of a value by {kind}"[:200])
