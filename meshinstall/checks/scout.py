"""Compares what a scout of another revision serves with what the live gateway serves: nothing may be missing, more is only shown."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from meshinstall.checks.words import some
from meshinstall.model.foreign_text import line
from meshinstall.model.gate import GateCheck, GateOutcome
from meshinstall.model.gateway_config import Door, GatewayConfig, Listener, Root, Route

# Lines of evidence of one kind.
_SHOWN = 20

_Element = Listener | Door | Route | Root | str
_PARTS: Mapping[str, str] = {
    "listeners": "listener",
    "doors": "filter chain",
    "routes": "route",
    "secrets": "secret",
    "roots": "trusted root",
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a comparison depends on.

    ``ports`` are ports of the live gateway's pods, with those of Services that lead to them: the scout, which is in no Service, listens
    on the latter. On the Service's ports of those in ``unbindable`` it may not listen. ``excuses`` say why something may be missing
    that the revision is not to blame for.
    """

    ports: Mapping[int, frozenset[int]] = field(default_factory=dict)
    unbindable: frozenset[int] = frozenset()
    excuses: tuple[str, ...] = ()


class Lack(NamedTuple):
    """What the scout has not, in words; ``is_sure``: nothing but the revision explains it."""

    words: str
    is_sure: bool = True


class Differences(NamedTuple):
    """What the scout lacks, and what it has more."""

    missing: tuple[Lack, ...]
    added: tuple[str, ...]


def compare(live: GatewayConfig, scout: GatewayConfig, terms: Terms) -> Differences:
    """What differs; of a listener that differs as a whole neither server names nor routes, and of a server name no routes."""
    missing = [
        Lack(_words(part, one), is_sure=not terms.excuses and _port(one) not in terms.unbindable)
        for part, one in _lacking(live, scout, terms.ports)
    ]
    back: dict[int, set[int]] = {}
    for target, some_ports in terms.ports.items():
        for port in some_ports:
            back.setdefault(port, set()).add(target)
    more = [_words(part, one) for part, one in _lacking(scout, live, {port: frozenset(found) for port, found in back.items()})]
    return Differences(tuple(missing), tuple(more))


def judge(name: str, live: GatewayConfig, scout: GatewayConfig, terms: Terms, notes: Iterable[str] = ()) -> GateCheck:
    """The check of one gateway; ``notes`` are lines that belong to it whatever comes out."""
    found = compare(live, scout, terms)
    more = _listed("added", found.added)
    if not found.missing:
        has = f"the scout serves all that the live gateway serves: {_counts(live)}"
        extra = f"; {len(found.added)} more" if found.added else ""
        return check(name, GateOutcome.PASS, f"{has}{extra}", (*more, *notes))
    lines = (*_listed("missing", [lack.words for lack in found.missing]), *more)
    words = f"the scout lacks {some([lack.words for lack in found.missing])}"
    if any(lack.is_sure for lack in found.missing):
        return check(name, GateOutcome.FAIL, words, (*lines, *notes))
    excuses = terms.excuses or (
        "the gateway's Service leads to other ports than its own, and the scout, without a Service, may not use those",
    )
    return check(name, GateOutcome.NOT_PROVEN, f"{words}, but {'; '.join(excuses)}", (*lines, *notes))


def check(name: str, outcome: GateOutcome, words: str, evidence: Iterable[str] = ()) -> GateCheck:
    """A check whose words, some of which a tenant wrote, are one line each."""
    return GateCheck(line(name), outcome, line(words), tuple(line(one) for one in evidence))


def _lacking(one: GatewayConfig, other: GatewayConfig, ports: Mapping[int, frozenset[int]]) -> Iterator[tuple[str, _Element]]:
    """What the first has and the second has not, on the same port or on one of those that stand for it."""

    def lacks(element: Listener | Door | Route, found: frozenset[Listener] | frozenset[Door] | frozenset[Route]) -> bool:
        return not any(each in found for each in _variants(element, ports))

    listeners = {each for each in one.listeners if lacks(each, other.listeners)}
    doors = {each for each in one.doors if each.listener not in listeners and lacks(each, other.doors)}
    shut = {(each.listener, each.server_name) for each in doors}
    routes = {each for each in one.routes if each.listener not in listeners and lacks(each, other.routes)}
    yield from (("listeners", each) for each in sorted(listeners))
    yield from (("doors", each) for each in sorted(doors))
    yield from (("routes", each) for each in sorted(_once(routes, one.routes, shut)))
    yield from (("secrets", each) for each in sorted(one.secrets - other.secrets))
    yield from (("roots", each) for each in sorted(one.roots - other.roots))


def _once(lacking: set[Route], routes: Iterable[Route], shut: set[tuple[Listener, str]]) -> Iterator[Route]:
    """Routes that are lacking, each by the shortest way that says it: not those of server names that are lacking themselves."""
    names: dict[Route, set[str]] = {}
    for each in routes:
        names.setdefault(each._replace(server_name=""), set()).add(each.server_name)
    for each in lacking:
        whole = each._replace(server_name="")
        by_name = [name for name in names[whole] if name]
        if each.server_name:
            if whole not in lacking and (each.listener, each.server_name) not in shut:
                yield each
        elif not by_name or any((each.listener, name) not in shut for name in by_name):
            yield each


def _variants(element: Listener | Door | Route, ports: Mapping[int, frozenset[int]]) -> Iterator[Listener | Door | Route]:
    yield element
    own = element if isinstance(element, Listener) else element.listener
    for port in ports.get(own.port, ()):
        moved = own._replace(port=port)
        yield moved if isinstance(element, Listener) else element._replace(listener=moved)


def _port(element: _Element) -> int | None:
    if isinstance(element, Listener):
        return element.port
    return element.listener.port if isinstance(element, Door | Route) else None


def _words(part: str, element: _Element) -> str:
    return f"{_PARTS[part]} {element}"


def _listed(what: str, words: Iterable[str]) -> tuple[str, ...]:
    found = [f"{what}: {one}" for one in words]
    more = [f"{what}: {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return (*found[:_SHOWN], *more)


def _counts(config: GatewayConfig) -> str:
    if not config.listeners:
        return f"no Gateway gives it a listener, {_count(config, 'secrets')}, {_count(config, 'roots')}"
    return ", ".join(_count(config, part) for part in _PARTS)


def served(config: GatewayConfig) -> str:
    """How many listeners and routes there are, in words."""
    return f"{_count(config, 'listeners')}, {_count(config, 'routes')}"


def _count(config: GatewayConfig, part: str) -> str:
    number = len({each._replace(server_name="") for each in config.routes} if part == "routes" else getattr(config, part))
    return f"{number} {_PARTS[part]}{'' if number == 1 else 's'}"
