"""Classes of what a request may say of one aspect: values that no rule tells apart, with one that stands for all of them.

A text is compared exactly, by its beginning, by its end and by whether it is there. So what every rule says of it follows from the longest
beginning and the longest end that it has of those that rules name; a text between both that no rule names keeps it from having more.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import product
from typing import Any

from meshinstall.checks.authz.sources import address
from meshinstall.model.access import Part

REST = "*"
ABSENT = "none"
# Of one text: each is held against each pattern.
_MOST = 1_500


class TooManyError(Exception):
    """Rules tell more classes apart than are looked at."""


@dataclass(frozen=True, slots=True)
class Class:
    """``value`` stands for the class; ``matched`` are the patterns that it meets, ``label`` are all values that meet these."""

    value: Any
    label: str
    matched: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Patterns:
    """What rules compare a text with."""

    exact: tuple[str, ...] = ()
    begins: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Iterable[str]) -> "Patterns":
        """As texts.matching reads them."""
        found: dict[str, None] = dict.fromkeys(values)
        ends = [one[1:] for one in found if one.startswith("*") and one != REST]
        begins = [one[:-1] for one in found if one.endswith("*") and not one.startswith("*")]
        return cls(tuple(one for one in found if not one.startswith("*") and not one.endswith("*")), tuple(begins), tuple(ends))

    def met(self, text: str) -> frozenset[str]:
        """Those that a text meets."""
        begins = (f"{one}*" for one in self.begins if text.startswith(one))
        ends = (f"*{one}" for one in self.ends if text.endswith(one))
        return frozenset((*(one for one in self.exact if one == text), *begins, *ends))

    def classes(self, between: Callable[[str, str], Iterable[str]]) -> Iterator[Class]:
        """All of them, that of everything else first; ``between`` makes texts of a beginning and an end that meet no more than these.

        Raises TooManyError.
        """
        count = (len(self.begins) + 1) * (len(self.ends) + 1) + len(self.exact)
        if count > _MOST:
            raise TooManyError(f"{count:,} classes of a text")
        for begin, end in product(("", *self.begins), ("", *self.ends)):
            for text in between(begin, end):
                yield Class(text, f"{begin}*{end}", self.met(text))
        yield from (Class(text, text, self.met(text)) for text in self.exact)


def filled(fillers: Sequence[str]) -> Callable[[str, str], Iterable[str]]:
    """What stands between a beginning and an end, one text for each filler."""
    return lambda begin, end: (begin + filler + end for filler in fillers)


def texts(values: Iterable[str], filler: str) -> list[Class]:
    """Classes of a text that is always there."""
    return list(Patterns.of(values).classes(filled((filler,))))


def optional_texts(values: Iterable[str], filler: str, absent: str | None) -> list[Class]:
    """Classes of a text that may be missing; ``absent`` is what stands for that."""
    there = [Class(one.value, one.label, one.matched | {REST}) for one in texts(values, filler)]
    return [*there, Class(absent, ABSENT, frozenset({ABSENT}))]


def hosts(values: Iterable[str], filler: str, *, by_case: bool) -> list[Class]:
    """Classes of a host, which most rules compare in lower case; ``by_case``: one does not."""
    found = texts([*dict.fromkeys(text for one in values for text in ((one, one.lower()) if by_case else (one.lower(),)))], filler)
    upper = (Class(one.value.upper(), f"{one.label} in capitals", one.matched | {"capitals"}) for one in found)
    return [*found, *(upper if by_case else ())]


def addresses(blocks: Iterable[str]) -> list[Class]:
    """Classes of an address: the ends of each block and what is beside them are in every part that blocks cut out."""
    nets = [ip_network(block, strict=False) for block in dict.fromkeys(blocks) if address(block) is not None]
    found = {str(one) for net in nets for one in _edges(net)} | {"198.51.100.1"}
    by_blocks: dict[frozenset[str], Class] = {}
    for text in sorted(found):
        inside = [net for net in nets if ip_address(text) in net]
        matched = frozenset(map(str, inside))
        label = str(max(inside, key=lambda net: net.prefixlen)) if inside else REST
        by_blocks.setdefault(matched, Class(text, label, matched))
    return sorted(by_blocks.values(), key=lambda one: len(one.matched))


def _edges(net: IPv4Network | IPv6Network) -> Iterator[Any]:
    first, last, kind = int(net.network_address), int(net.broadcast_address), type(net.network_address)
    highest = (1 << net.max_prefixlen) - 1
    yield from (kind(number) for number in (first - 1, first, last, last + 1) if 0 <= number <= highest)


def ports(named: Iterable[int]) -> list[Class]:
    """Each port that is named, and any other."""
    numbers = sorted(set(named))
    other = next(number for number in range(65535, 0, -1) if number not in numbers)
    return [Class(other, REST), *(Class(number, str(number), frozenset({str(number)})) for number in numbers)]


def described(classes: Sequence[Class], members: int) -> tuple[Part, ...]:
    """Some of the classes, a bit of ``members`` for each, in few words: the widest first, and what of it is left out."""
    inside = [one for index, one in enumerate(classes) if members >> index & 1]
    outside = [one for index, one in enumerate(classes) if not members >> index & 1]
    found: list[Part] = []
    while inside:
        widest = min(inside, key=lambda one: len(one.matched))
        without = [one for one in outside if one.matched > widest.matched]
        widest_without = [one for one in without if not any(other.matched < one.matched for other in without)]
        found.append(Part(widest.label, tuple(dict.fromkeys(one.label for one in widest_without))))
        inside = [
            one for one in inside if not one.matched >= widest.matched or any(other.matched < one.matched for other in widest_without)
        ]
    return tuple(dict.fromkeys(found))


def claim_closure(classes: Sequence[Class], most: int) -> list[Class]:
    """Classes of a list of texts: what its texts meet together. Raises TooManyError above ``most``."""
    found: dict[frozenset[str], Class] = {}
    for one in classes:
        found.setdefault(one.matched, Class([one.value], one.label, one.matched))
    waiting = list(found.values())
    while waiting:
        first = waiting.pop()
        for other in list(found.values()):
            both = first.matched | other.matched
            if both not in found:
                if len(found) >= most:
                    raise TooManyError(f"lists of texts in a claim that {most} or more classes tell apart")
                found[both] = Class([*first.value, *other.value], f"{first.label} and {other.label}", both)
                waiting.append(found[both])
    return list(found.values())
