"""The aspects of a request that the policies of a workload look at, each with its classes, and what each class means to their rules."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Protocol

from meshinstall.checks.authz import classes, conditions
from meshinstall.checks.authz.classes import Class, TooManyError
from meshinstall.checks.authz.conditions import Test
from meshinstall.checks.authz.path_classes import paths
from meshinstall.checks.authz.rules import All
from meshinstall.checks.authz.seen import Seen, UnknownError
from meshinstall.checks.authz.source_classes import sources
from meshinstall.checks.authz.token_classes import tokens
from meshinstall.checks.authz.tokens import TokenRule
from meshinstall.checks.policies.reading import Policies
from meshinstall.model.access import HTTP, METHOD, PATH, PORT, PROTOCOL, SOURCE, TCP
from meshinstall.model.authz import Http, Outcome, Request, Verdict

HOST, TOKEN = "host", "token"
# Aspects that only a request of HTTP has, beside headers.
_OF_HTTP = (METHOD, PATH, HOST, TOKEN)
_FILLER, _OTHER_METHOD = "zq0qz", "ZQQZ"
_SOURCES = (conditions.PRINCIPAL, conditions.SERVICE_ACCOUNT, conditions.NAMESPACE, conditions.TRUST_DOMAIN)
_TOKENS = (conditions.REQUEST_PRINCIPAL, conditions.AUDIENCES, conditions.PRESENTER)
_ADDRESSES = {conditions.SOURCE_IP: "source_ip", conditions.REMOTE_IP: "remote_ip", conditions.DESTINATION_IP: "destination_ip"}
_PSEUDO = {"host": HOST, ":authority": HOST, ":method": METHOD}
_MOST_BOXES, _MOST_TESTS = 4_000, 500_000

# A value for each aspect that matters.
Point = Mapping[str, Any]


class Chosen(Protocol):
    """A rule: some of its operations and some of its sources hold."""

    @property
    def operations(self) -> tuple[All, ...]:
        """Of what is called."""

    @property
    def sources(self) -> tuple[All, ...]:
        """Of who calls."""


class Deciding(Protocol):
    """What decides requests to one workload, and all that its decisions depend on."""

    @property
    def policies(self) -> Policies:
        """What is known of the mesh."""

    @property
    def tokens(self) -> tuple[TokenRule, ...]:
        """Whose tokens are accepted, and where they are looked for."""

    @property
    def written(self) -> frozenset[str]:
        """Headers that are written from tokens."""

    def rules(self) -> Iterable[tuple[str, Chosen]]:
        """All rules, each with the protocol that it is for."""

    def ports(self) -> Mapping[int, object]:
        """Ports with something of their own beside rules."""

    def seen(self, request: Request) -> Seen | Outcome:
        """A request as rules see it; how a token is answered that is refused before. Raises UnknownError."""

    def decide(self, request: Request) -> Verdict:
        """What happens to a request."""


@dataclass(frozen=True, slots=True)
class Axis:
    """An aspect and its classes.

    For each class there is a bit of a box: in ``sure`` where all tests of the box that look at the aspect hold, in ``never`` where one
    of them does not; in neither where that is unknown. ``boxes`` are those that look at it at all. ``apart``: what else tells classes
    apart.
    """

    name: str
    classes: tuple[Class, ...]
    boxes: int
    sure: tuple[int, ...]
    never: tuple[int, ...]
    apart: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """A source and an operation of a rule, as tests of which all hold: a request is for the rule if it is in one of its boxes."""

    guard: int
    protocol: str
    tests: All


def axes(guards: Sequence[Deciding]) -> tuple[Axis, ...]:
    """Those of all rules for one workload together, who calls first; raises TooManyError."""
    boxes = list(boxes_of(guards))
    if any(test.key == conditions.OTHER for box in boxes for test in box.tests):
        raise TooManyError("a rule of a proxy that istiod does not write")
    by_name: dict[str, list[Test]] = {}
    for test in {id(test): test for box in boxes for test in box.tests}.values():
        by_name.setdefault(aspect(test.key), []).append(test)
    first = (SOURCE, PORT, PROTOCOL, METHOD, PATH, HOST, TOKEN)
    names = [*first, *sorted(by_name.keys() - set(first))]
    found = {name: _classes(name, by_name.get(name, []), guards) for name in names}
    carriers = carriers_of(guards, found[TOKEN])
    return tuple(axis_of(name, found[name], boxes, guards, carriers) for name in names)


def aspect(key: str) -> str:
    """Of a key of a test: what of a request it looks at, in the words of conditions where it has none of its own."""
    if key in _SOURCES:
        return SOURCE
    if key in _TOKENS or key.startswith(conditions.CLAIM):
        return TOKEN
    if key.startswith(conditions.HEADER):
        name = conditions.header_name(key) or ""
        return _PSEUDO.get(name, f"{conditions.HEADER}[{name}]")
    return {conditions.PORT: PORT, conditions.METHOD: METHOD, conditions.PATH: PATH, conditions.HOST: HOST}.get(key, key)


def request_at(point: Point) -> Request:
    """The request that a value for each aspect makes; aspects that are not there are those of any request."""
    http = None if point.get(PROTOCOL, HTTP) == TCP else _http(point)
    known = {field: point[key] for key, field in _ADDRESSES.items() if key in point}
    return Request(point.get(PORT, 1), point.get(SOURCE, ""), http, server_name=point.get(conditions.SERVER_NAME), **known)


def _http(point: Point) -> Http:
    headers = {name: value for key, value in point.items() if value is not None and (name := _header(key))}
    return Http(point.get(METHOD, "GET"), point.get(PATH, "/"), point.get(HOST, ""), headers, point.get(TOKEN))


def _header(name: str) -> str:
    return (conditions.header_name(name) or "") if name.startswith(conditions.HEADER) else ""


def boxes_of(guards: Sequence[Deciding]) -> Iterator[Box]:
    """Those of all rules, for HTTP and for TCP; raises TooManyError."""
    count = 0
    for index, guard in enumerate(guards):
        for protocol, rule in guard.rules():
            count += len(rule.sources) * len(rule.operations)
            if count > _MOST_BOXES:
                raise TooManyError(f"more than {_MOST_BOXES:,} pairs of a source and an operation in its rules")
            yield from (Box(index, protocol, (*one, *other)) for one, other in product(rule.operations, rule.sources))


def _classes(name: str, tests: Sequence[Test], guards: Sequence[Deciding]) -> list[Class]:
    values = [value for test in tests for value in test.values]
    if name in _ADDRESSES:
        return classes.addresses(values)
    if name.startswith(conditions.HEADER):
        return classes.optional_texts(values, _FILLER, None)
    if name == conditions.SERVER_NAME:
        return classes.optional_texts([value.lower() for value in values], _FILLER, "")
    policies = guards[0].policies
    made: Mapping[str, Callable[[], list[Class]]] = {
        SOURCE: partial(sources, tests, policies.trust_domains[0]),
        PORT: lambda: classes.ports([*(int(one) for one in values if one.isdecimal()), *_own_ports(guards)]),
        PROTOCOL: lambda: [Class(HTTP, HTTP, frozenset({HTTP})), Class(TCP, TCP, frozenset({TCP}))],
        METHOD: lambda: classes.texts(values, _OTHER_METHOD),
        PATH: lambda: paths(values, policies.normalization),
        HOST: lambda: classes.hosts(values, _FILLER, by_case=any(test.key != conditions.HOST for test in tests)),
        TOKEN: lambda: tokens(tests, (rule for guard in guards for rule in guard.tokens)),
    }
    return made[name]() if name in made else [Class(None, classes.REST)]


def _own_ports(guards: Sequence[Deciding]) -> Iterator[int]:
    for guard in guards:
        yield from guard.ports()


def carriers_of(guards: Sequence[Deciding], found: Iterable[Class]) -> frozenset[str]:
    """Headers of which a rule may not be sure, as they carry a token or what is made of one."""
    written = frozenset().union(*(guard.written for guard in guards))
    held = {one.value.header.lower() for one in found if one.value and not one.value.param and not one.value.cookie}
    return written | held | {"cookie"}


def axis_of(name: str, found: Sequence[Class], boxes: Sequence[Box], guards: Sequence[Deciding], carriers: frozenset[str]) -> Axis:
    """What classes of an aspect mean to each box."""
    is_of_http = name in _OF_HTTP or name.startswith(conditions.HEADER)
    concerned = [(1 << bit, box, [test for test in box.tests if aspect(test.key) == name]) for bit, box in enumerate(boxes)]
    looking = [one for one in concerned if one[2] or name == PROTOCOL]
    if len(found) * len(looking) > _MOST_TESTS:
        raise TooManyError(f"{len(found):,} classes of {name}, and {len(looking):,} tests of it")
    sure, never, apart = [], [], []
    unsure = _header(name) in carriers
    for one in found:
        seen = [_seen(guard, name, one.value) for guard in guards]
        holds = [(bit, one.value == box.protocol if name == PROTOCOL else _holds(tests, seen[box.guard])) for bit, box, tests in looking]
        sure.append(sum(bit for bit, answer in holds if answer))
        never.append(0 if unsure else sum(bit for bit, answer in holds if answer is False))
        apart.append((*_apart(name, one.value, guards), *(one if isinstance(one, Outcome) else None for one in seen if is_of_http)))
    return Axis(name, tuple(found), sum(bit for bit, _, _ in looking), tuple(sure), tuple(never), tuple(apart))


def _seen(guard: Deciding, name: str, value: Any) -> Seen | Outcome:
    try:
        return guard.seen(request_at({name: value}))
    except UnknownError:
        return Outcome.UNDECIDED


def _apart(name: str, value: Any, guards: Sequence[Deciding]) -> tuple[Any, ...]:
    """What decides beside rules: whether the client has an identity, what a port has of its own, and whether there may be a token."""
    if name == SOURCE:
        return (bool(value),)
    if name == PROTOCOL:
        return (value,)
    if name != PORT:
        return ()
    return tuple(guard.ports().get(value) for guard in guards)


def _holds(tests: Sequence[Test], seen: Seen | Outcome) -> bool | None:
    """Whether all hold; None where that is not known."""
    answers = [_answer(test, seen) for test in tests]
    return False if False in answers else None if None in answers else True


def _answer(test: Test, seen: Seen | Outcome) -> bool | None:
    if isinstance(seen, Outcome):
        return False
    try:
        return test.holds(seen)
    except UnknownError:
        return None
