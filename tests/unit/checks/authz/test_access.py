"""Who may call what: that no request is in a class whose requests are decided otherwise, and how classes are told."""

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from meshinstall.checks.authz import axes as of_requests
from meshinstall.checks.authz.access import cells
from meshinstall.checks.authz.axes import HOST, TOKEN, Axis, axes, request_at
from meshinstall.checks.authz.classes import Class, TooManyError, described
from meshinstall.checks.authz.conditions import DESTINATION_IP, REMOTE_IP, SERVER_NAME, SOURCE_IP, header_name
from meshinstall.checks.authz.decide import Guard, decide, guard, world
from meshinstall.checks.authz.paths import path_of
from meshinstall.checks.authz.seen import UnknownError
from meshinstall.checks.policies.reading import Policies
from meshinstall.model.access import HTTP, METHOD, PATH, PORT, PROTOCOL, SOURCE, TCP, Aspect, Cell, Part
from meshinstall.model.authz import Normalization, Outcome, Request, Workload
from meshinstall.model.policy_object import PolicyObject
from tests.referees.authz_cases import TRUST_DOMAINS, Case, bare, cases

PAIRS = st.tuples(cases("{}", 6), cases("{}", 6))
FEW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def guarded(case: Case, labels: dict[str, str], how: Normalization) -> Guard:
    objects = tuple(PolicyObject("", one, {}) for one in case.objects)
    return guard(world(Policies(objects, trust_domains=TRUST_DOMAINS, normalization=how)), Workload("shop", labels))


def value_of(name: str, request: Request, how: Normalization) -> Any:
    """What a request says of an aspect."""
    http = request.http
    plain = {SOURCE: request.principal, PORT: request.port, PROTOCOL: HTTP if http else TCP}
    plain |= {SOURCE_IP: request.source_ip, REMOTE_IP: request.remote_ip, DESTINATION_IP: request.destination_ip}
    plain |= {SERVER_NAME: request.server_name}
    if name in plain:
        return plain[name]
    if http is None:
        return None
    of_http = {METHOD: http.method, PATH: path_of(http.path, how), HOST: http.host, TOKEN: http.token}
    return of_http[name] if name in of_http else http.headers.get(header_name(name) or "")


class Classes:
    """The classes of all requests to one workload."""

    def __init__(self, guards: tuple[Guard, ...], how: Normalization) -> None:
        self.guards, self.how, self.axes = guards, how, axes(guards)
        self._boxes = list(of_requests.boxes_of(guards))
        self._carriers = of_requests.carriers_of(guards, next(one for one in self.axes if one.name == TOKEN).classes)

    def of(self, request: Request) -> dict[str, Class]:
        """That of a request in every aspect that it has: the one that means the same to every rule."""
        return {axis.name: self._class(axis, value_of(axis.name, request, self.how)) for axis in self.axes if has(request, axis.name)}

    def _class(self, axis: Axis, value: Any) -> Class:
        own = of_requests.axis_of(axis.name, [Class(value, "")], self._boxes, self.guards, self._carriers)
        wanted = (own.sure[0], own.never[0], own.apart[0])
        alike = zip(axis.classes, axis.sure, axis.never, axis.apart, strict=True)
        return next(one for one, *meaning in alike if tuple(meaning) == wanted)

    def is_told(self, classes: dict[str, Class], cell: Cell) -> bool:
        """Whether the words of a cell are for a request of these classes."""
        named = {axis.name: {one.label: one.matched for one in reversed(axis.classes)} for axis in self.axes}
        return all(_is_meant(classes[one.name], one, named[one.name]) for one in cell.aspects if one.name in classes)


def _is_meant(found: Class, aspect: Aspect, named: dict[str, frozenset[str]]) -> bool:
    return any(found.matched >= named[part.label] and not any(found.matched >= named[label] for label in part.but) for part in aspect.parts)


def has(request: Request, name: str) -> bool:
    return request.http is not None or not (name in {METHOD, PATH, HOST, TOKEN} or name.startswith("request.headers"))


def is_read(request: Request, how: Normalization) -> bool:
    try:
        return request.http is None or bool(path_of(request.http.path, how))
    except UnknownError:
        return False


@st.composite
def guards_of(draw: st.DrawFn) -> tuple[Classes, list[Request]]:
    """Two sets of policies for one workload, and requests to it."""
    first, second = draw(PAIRS)
    how = draw(st.sampled_from(Normalization))
    guards = tuple(guarded(case, first.labels, how) for case in (first, second))
    try:
        classes = Classes(guards, how)
    except TooManyError:
        reject()
    return classes, [bare(one, *guards) for one, _ in (*first.requests, *second.requests) if is_read(one, how)]


@FEW
@given(guards_of())
def test_every_request_is_decided_as_the_one_that_stands_for_it(made: tuple[Classes, list[Request]]) -> None:
    classes, requests = made
    for request in requests:
        other = request_at({name: one.value for name, one in classes.of(request).items()})
        assert outcomes(classes, request) == outcomes(classes, other), (request, other)


@FEW
@given(guards_of())
def test_a_request_is_in_one_cell_alone_and_decided_as_it_says(made: tuple[Classes, list[Request]]) -> None:
    check_cells(made)


def check_cells(made: tuple[Classes, list[Request]]) -> None:
    """Also for the soak test."""
    classes, requests = made
    found = cells(classes.guards, lambda _: True)
    assume(not any("distinguish too many" in one.verdicts[0].reason for one in found))
    for request in requests:
        own = classes.of(request)
        told = [one for one in found if classes.is_told(own, one)]
        assert [[verdict.outcome for verdict in one.verdicts] for one in told] == [outcomes(classes, request)], request


def outcomes(classes: Classes, request: Request) -> list[Outcome]:
    return [decide(one, request).outcome for one in classes.guards]


def test_words_name_the_widest_and_what_of_it_is_left_out() -> None:
    found = [Class("/x", "*"), Class("/a/x", "/a*", frozenset({"/a*"})), Class("/a/b", "/a/b", frozenset({"/a*", "/a/b"}))]
    assert described(found, 0b011) == (Part("*", ("/a/b",)),)
    assert described(found, 0b101) == (Part("*", ("/a*",)), Part("/a/b"))
    assert described(found, 0b110) == (Part("/a*"),)


@pytest.mark.parametrize(
    "rule",
    [
        {"to": [{"operation": {"paths": [f"{star}{number}{'' if star else '*'}" for number in range(60) for star in ("*", "")]}}]},
        {"from": [{"source": {"principals": [f"cluster.local/ns/{number}*" for number in range(2_000)]}}]},
        {"from": [{"source": {"namespaces": [f"a*{number}*b" for number in range(6)]}}]},
        {"to": [{"operation": {"ports": [str(number)]}} for number in range(100)], "from": [{"source": {"ipBlocks": ["::/0"]}}] * 100},
    ],
)
def test_rules_that_tell_too_much_apart_are_one_cell_that_says_so(rule: dict[str, Any]) -> None:
    """Whoever may write a policy must not keep others from their plans."""
    kind = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy"}
    manifest = {**kind, "metadata": {"name": "a", "namespace": "shop"}, "spec": {"rules": [rule]}}
    found = cells([guard(world(Policies((PolicyObject("", manifest, {}),))), Workload("shop"))], lambda _: True)
    assert [one.aspects for one in found] == [()]
    assert found[0].verdicts[0].outcome is Outcome.UNDECIDED


def test_tokens_that_are_refused_in_two_ways_are_told_apart_although_both_are_closed() -> None:
    """Of which the one set of policies lets both in: no rule looks at who signed them."""
    kind = {"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": {"name": "a", "namespace": "shop"}}
    accepting = [{"issuer": "one"}, {"issuer": "two"}]
    guards = [
        guard(world(Policies((PolicyObject("", {**kind, "spec": {"jwtRules": rules}}, {}),))), Workload("shop"))
        for rules in (accepting, [{"issuer": "one", "audiences": ["till"]}])
    ]
    found = cells(guards, lambda verdicts: verdicts[0].outcome is Outcome.ALLOW)
    refused = {
        part.label: one.verdicts[1].outcome for one in found for aspect in one.aspects if aspect.name == TOKEN for part in aspect.parts
    }
    assert refused["token of two"] is Outcome.UNAUTHENTICATED
    assert refused["token of one"] is Outcome.DENY
