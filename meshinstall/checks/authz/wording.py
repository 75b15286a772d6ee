"""Requests that are decided alike, in words."""

from collections.abc import Iterable, Iterator

from meshinstall.model.access import HTTP, METHOD, PATH, PORT, PROTOCOL, SOURCE, TCP, Aspect, Cell, Part

_SOURCES = {"*/*": "any identity", "no identity": "clients without identity"}
_OWN = frozenset({SOURCE, PORT, PROTOCOL, METHOD, PATH})


def who(cell: Cell) -> str:
    """Who calls."""
    parts = cell.of(SOURCE)
    return _listed(Part(_SOURCES.get(one.label, one.label), one.but) for one in parts) if parts else "anybody"


def ports(cell: Cell) -> str:
    """At which ports of the pod."""
    parts = cell.of(PORT)
    return _named("any", parts) or "any"


def what(cell: Cell) -> str:
    """What is called: methods and paths, TCP, or anything."""
    protocols = {one.label for one in cell.of(PROTOCOL)} or {HTTP, TCP}
    if protocols == {TCP}:
        return "TCP"
    methods, paths = _named("any method", cell.of(METHOD)), _named("any path", cell.of(PATH))
    if methods or paths:
        return f"{methods} {paths or 'any path'}" if methods else f"any method, {paths}"
    return "anything" if TCP in protocols else "any HTTP request"


def conditions(cell: Cell) -> tuple[str, ...]:
    """All else that a request must have, one text for each aspect."""
    return tuple(_condition(one) for one in cell.aspects if one.name not in _OWN)


def _condition(aspect: Aspect) -> str:
    if aspect.name == "token":
        # What tells tokens apart has commas of its own.
        return _listed(_spelled("any", aspect.parts), ", or ", " but not ", " or ")
    return f"{aspect.name} = {_named('any', aspect.parts)}"


def _named(rest: str, parts: Iterable[Part]) -> str:
    return _listed(_spelled(rest, parts))


def _spelled(rest: str, parts: Iterable[Part]) -> Iterator[Part]:
    """Parts, with the words for all values that no rule names."""
    return (Part(rest, one.but) if one.label == "*" else one for one in parts)


def _listed(parts: Iterable[Part], between: str = ", ", but: str = " but ", also: str = " and ") -> str:
    return between.join(f"{one.label}{but}{also.join(one.but)}" if one.but else one.label for one in parts)
