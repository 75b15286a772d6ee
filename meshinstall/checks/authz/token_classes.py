"""Classes of tokens: none, and for each issuer that some policy accepts those whose claims rules tell apart.

A token that nobody accepts is no class: whoever has one may leave it out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from meshinstall.checks.authz.classes import REST, Class, TooManyError, claim_closure, optional_texts
from meshinstall.checks.authz.conditions import AUDIENCES, PRESENTER, REQUEST_PRINCIPAL, Test, claim_path
from meshinstall.checks.authz.tokens import TokenRule
from meshinstall.checks.policies.reading import texts
from meshinstall.model.authz import Token

_NOTHING = "no token"
_FILLER = "zq0qz"
_ISSUER, _SUBJECT, _AUDIENCE = (("iss",), ("sub",), ("aud",))
# Texts by nature: a list of them is not looked at for who it is.
_TEXTS = (_ISSUER, _SUBJECT)
_MOST_LISTS, _MOST = 64, 512

Path = tuple[str, ...]


def tokens(tests: Iterable[Test], rules: Iterable[TokenRule]) -> list[Class]:
    """Classes of the token of a request, that of none first; raises TooManyError."""
    wanted = _patterns(tests)
    found = [Class(None, _NOTHING, frozenset({_NOTHING}))]
    for rule in rules:
        found += _of_rule(rule, wanted)
        if len(found) > _MOST:
            raise TooManyError(f"more than {_MOST} kinds of tokens that rules tell apart")
    return list({repr(one.value): one for one in found}.values())


def _patterns(tests: Iterable[Test]) -> dict[Path, list[str]]:
    """What each claim is compared with."""
    found: dict[Path, list[str]] = {}
    for test in tests:
        for value in test.values:
            pairs = _of_principal(value) if test.key == REQUEST_PRINCIPAL else ((_path(test.key), value),)
            for path, pattern in pairs:
                found.setdefault(path, []).append(pattern)
    return found


def _path(key: str) -> Path:
    return {AUDIENCES: _AUDIENCE, PRESENTER: ("azp",)}.get(key) or claim_path(key) or ()


def _of_principal(value: str) -> tuple[tuple[Path, str], ...]:
    """What issuer and subject are compared with (checks/authz/conditions.py)."""
    issuer, slash, subject = value.rpartition("/")
    if slash:
        return (_ISSUER, issuer), (_SUBJECT, subject)
    if value == REST:
        return (_ISSUER, REST), (_SUBJECT, REST)
    # The other half has to be there where * stands for it too.
    if value.startswith("*"):
        return (_ISSUER, REST), (_SUBJECT, value)
    return (_ISSUER, value), (_SUBJECT, REST if value.endswith("*") else "")


def _of_rule(rule: TokenRule, wanted: Mapping[Path, Sequence[str]]) -> Iterator[Class]:
    paths = list(dict.fromkeys((_ISSUER, *wanted, *([_AUDIENCE] if texts(rule.fields.get("audiences")) else []))))
    choices = [_choices(path, wanted.get(path, ()), rule) for path in paths]
    if prod(map(len, choices)) > _MOST:
        raise TooManyError(f"more than {_MOST} kinds of tokens that rules tell apart")
    for place, name in rule.places():
        for chosen in product(*choices):
            said = [f"{'.'.join(path)} {one.label}" for path, one in zip(paths, chosen, strict=True) if path != _ISSUER and one.matched]
            whose = chosen[0].label if chosen[0].label != REST else "any issuer"
            label = f"token of {whose}{name}{' with ' if said else ''}{', '.join(said)}"
            met = (f"{'.'.join(path)} {text}" for path, one in zip(paths, chosen, strict=True) for text in one.matched)
            yield Class(_token(place, paths, chosen), label, frozenset(("token", *([name] if name else []), *met)))


def _choices(path: Path, patterns: Sequence[str], rule: TokenRule) -> list[Class]:
    if path == _ISSUER and rule.issuer:
        return [Class(rule.issuer, rule.issuer, frozenset({rule.issuer}))]
    # Whether it is there at all matters to * alone, and its absence to nothing else than a text that no rule names does.
    missing = Class(None, REST)
    there = [one for one in optional_texts(patterns, _FILLER, None) if one.value is not None]
    if REST not in patterns:
        there = [Class(one.value, one.label, one.matched - {REST}) for one in there]
    audiences = texts(rule.fields.get("audiences")) if path == _AUDIENCE else []
    if audiences:
        # One of these has to be there.
        own = [Class(one, one, frozenset({one})) for one in audiences]
        return [one for one in claim_closure([*own, *there], _MOST_LISTS) if set(one.value) & set(audiences)]
    empty = [Class("", "empty", frozenset({"empty"}))] if "" in patterns else []
    found = [missing, *there, *empty]
    return found if path in _TEXTS else [missing, *claim_closure(there, _MOST_LISTS)]


def _token(place: Token, paths: Sequence[Path], chosen: Sequence[Class]) -> Token:
    claims: dict[str, Any] = {}
    for path, one in zip(paths, chosen, strict=True):
        if one.value is None or not path:
            continue
        inner = claims
        for name in path[:-1]:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise TooManyError(f"the claim {'.'.join(path)} inside of one that is a text")
        inner[path[-1]] = one.value
    return Token(claims, header=place.header, prefix=place.prefix, param=place.param, cookie=place.cookie)
