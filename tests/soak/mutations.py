"""Changes input as a fuzzer does: bytes, slices, words of the format, repetitions, and values of a JSON document."""

import json
import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

_MOST_BYTES = 4 * 1024**2
_INTERESTING = (
    b"\0",
    b"\xff",
    b"\n",
    b"-1",
    b"9" * 20,
    b"9" * 5000,
    b"1e999",
    b"NaN",
    b"[" * 200,
    b"{" * 200,
    b"\\ud800",
    b"\xed\xa0\x80",
    b"%",
)


def mutant(data: bytes, seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> bytes:
    """One to four changes of ``data``; ``words`` belong to its format."""
    if data[:1] in {b"{", b"["} and chance.random() < 0.5:
        data = _changed_json(data, chance)
    for _ in range(chance.randint(1, 4)):
        data = chance.choice(_CHANGES)(data, seeds, (*words, *_INTERESTING), chance)[:_MOST_BYTES]
    return data


def _slice(data: bytes, chance: random.Random, longest: int = 400) -> tuple[int, int]:
    start = chance.randint(0, len(data))
    return start, min(len(data), start + chance.randint(0, longest))


def _flip(data: bytes, _: Sequence[bytes], __: Sequence[bytes], chance: random.Random) -> bytes:
    if not data:
        return data
    where = chance.randrange(len(data))
    return data[:where] + bytes([data[where] ^ (1 << chance.randrange(8))]) + data[where + 1 :]


def _insert(data: bytes, _: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = _slice(data, chance, 20)
    return data[:start] + chance.choice(words) + data[chance.choice((start, end)) :]


def _delete(data: bytes, _: Sequence[bytes], __: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = _slice(data, chance)
    return data[:start] + data[end:]


def _cut(data: bytes, _: Sequence[bytes], __: Sequence[bytes], chance: random.Random) -> bytes:
    return data[: chance.randint(0, len(data))]


def _repeat(data: bytes, _: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = _slice(data, chance, 60)
    piece = chance.choice((data[start:end], chance.choice(words)))
    return data[:start] + piece * chance.choice((2, 10, 200, 5_000, 50_000)) + data[end:]


def _splice(data: bytes, seeds: Sequence[bytes], _: Sequence[bytes], chance: random.Random) -> bytes:
    other = chance.choice(seeds)
    start, end = _slice(other, chance, 2000)
    where = chance.randint(0, len(data))
    return data[:where] + other[start:end] + data[where:]


def _move(data: bytes, _: Sequence[bytes], __: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = _slice(data, chance, 100)
    rest = data[:start] + data[end:]
    where = chance.randint(0, len(rest))
    return rest[:where] + data[start:end] + rest[where:]


_CHANGES: tuple[Callable[[bytes, Sequence[bytes], Sequence[bytes], random.Random], bytes], ...] = (
    *(_flip, _insert, _delete, _cut, _repeat, _splice, _move),
    *(_flip, _insert, _insert, _move),
)


def _changed_json(data: bytes, chance: random.Random) -> bytes:
    try:
        document = json.loads(data)
    except ValueError:
        return data
    places = list(_places(document))
    for _ in range(chance.randint(1, 3)):
        if not places:
            break
        holder, key = chance.choice(places)
        if isinstance(holder, dict) and chance.random() < 0.2:
            holder.pop(key, None)
        else:
            holder[key] = deepcopy(chance.choice(_values(places, chance)))
    return json.dumps(document).encode()


def _values(places: list[tuple[Any, Any]], chance: random.Random) -> list[Any]:
    """Values of any kind, deep ones and strange ones, and one from elsewhere in the document."""
    deep: Any = chance.choice((0, "x", None))
    for _ in range(chance.choice((3, 99, 150))):
        deep = {"a": deep} if chance.random() < 0.5 else [deep]
    holder, key = chance.choice(places)
    elsewhere = holder[key] if isinstance(holder, list) or key in holder else None
    numbers = [0, -1, 10**18, -(10**400), 10**4000, 1e308, 0.5]
    return [None, True, "", "\ud800", "\x1b[31m\n", "x" * 100_000, {}, [], [[]], {"": {}}, [None] * 2000, deep, elsewhere, *numbers]


def _places(value: Any) -> Any:
    found = [value]
    while found:
        holder = found.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ():
            yield holder, key
            found.append(holder[key])
