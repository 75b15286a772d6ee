"""Words and sets of addresses that the meanings of changes share; pure."""

import json
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Any

from meshinstall.model.foreign_text import spelled

Network = IPv4Network | IPv6Network
EVERYWHERE = ("0.0.0.0/0", "::/0")


def from_to(before: Any, after: Any) -> str:
    """A value before and after; None is no value."""
    return f"{word(before)} → {word(after)}"


def word(value: Any) -> str:
    """A value as a reader sees it."""
    if value is None:
        return "(none)"
    return spelled(value if isinstance(value, str) else json.dumps(value, default=str))


def networks(listed: Iterable[str]) -> tuple[Network, ...]:
    """Networks in as few ranges as possible; raises ValueError for what is not one."""
    found = [ip_network(one.strip(), strict=False) for one in listed if one.strip()]
    fours, sixes = [one for one in found if isinstance(one, IPv4Network)], [one for one in found if isinstance(one, IPv6Network)]
    return (*collapse_addresses(fours), *collapse_addresses(sixes))


def is_within(some: Iterable[Network], others: Sequence[Network]) -> bool:
    """Whether each address of ``some`` is one of ``others`` too, both as ``networks`` makes them."""
    return all(any(_holds(other, one) for other in others) for one in some)


def _holds(other: Network, one: Network) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.subnet_of(other)
    return isinstance(other, IPv6Network) and one.subnet_of(other)
