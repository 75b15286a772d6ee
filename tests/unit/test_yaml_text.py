"""YAML from elsewhere is read, or refused in words, with an amount of work that no document can choose."""

import json
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest

from meshinstall.model.yaml_text import MOST_VALUES, load

# A process of its own, for what would not end; its memory is bounded too.
_LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from meshinstall.model.yaml_text import load
try:
    load(sys.stdin.read())
except ValueError as error:
    print(error)
"""
NAMES = "abcdefghij"


def chain(first: str, link: str) -> str:
    """A document in which each anchor is made of ten aliases of the one before."""
    lines = [f"{NAMES[0]}: &{NAMES[0]} {first}"]
    for before, name in pairwise(NAMES):
        lines.append(f"{name}: &{name} {link.format(','.join([f'*{before}'] * 10))}")
    return "\n".join(lines)


def test_a_document_is_what_it_says() -> None:
    assert load("a: [1, {b: c}]") == {"a": [1, {"b": "c"}]}
    assert load(b"") is None
    assert load(b"\xef\xbb\xbfa: 1") == load("a: 1".encode("utf-16")) == {"a": 1}


def test_scalars_are_read_as_kubectl_and_helm_read_them() -> None:
    text = "{a: 1:30, b: 2001-01-01, c: yes, d: n, e: 1e3, f: 0644, g: !!str 1, h: '1', i: !!int '7'}"
    expected: Any = {"a": "1:30", "b": "2001-01-01", "c": True, "d": False, "e": 1000.0, "f": 420, "g": "1", "h": "1", "i": 7}
    assert load(text) == expected
    assert load("{08: ~, 010: 1, on: 2, 1.50: 18446744073709551615}") == {"08": None, "8": 1, "true": 2, "1.50": 2**64 - 1}


def test_numbers_that_nothing_holds_are_text_or_rounded_and_never_an_error() -> None:
    assert load("9" * 5000) == "9" * 5000
    assert load("1e999") == "1e999"
    assert load("9" * 30) == 1e30
    assert json.dumps(load(f"0x{'f' * 5000}")) == f'"0x{"f" * 5000}"'


def test_merge_keys_work() -> None:
    assert load("a: &a {x: 1, z: 1}\nb: &b {x: 2, w: 2}\nc: {<<: [*a, *b], z: 3}")["c"] == {"x": 1, "w": 2, "z": 3}
    assert load("{'<<': 1}") == {"<<": 1}


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 200_000, "a: " + "[" * 101 + "]" * 101, "a: [", "a: !!python/object:os.system {}", "a: 1\n--- b"),
        *(
            "a: !!set {x}",
            "a: !!timestamp x",
            "&a [*a]",
            "a: *b",
            "? [a]\n: b",
            "~: b",
            "{<<: 1}",
            ".nan",
            "-.INF",
            "\x01",
            "a: &a {<<: *a}",
        ),
    ],
)
def test_what_cannot_be_read_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"deep|not YAML"):
        load(text)


@pytest.mark.parametrize("text", [b"a: \xff", "a: \ud800".encode("utf-8", "surrogatepass"), b"\xff\xfea"])
def test_bytes_that_are_no_text_are_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match="codec"):
        load(text)


def test_aliases_are_refused_where_none_may_be() -> None:
    assert load("a: &x [1]\nb: *x") == {"a": [1], "b": [1]}
    with pytest.raises(ValueError, match="aliases"):
        load("a: &x [1]\nb: *x", aliases=False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (chain("{x: 1}", "{{<<: [{}]}}"), "more than 500000 values"),
        (chain("[x, x]", "[{}]"), "more than 500000 values"),
        ("- 1\n" * (MOST_VALUES + 1), "more than 500000 values"),
        # Integers of one hash, and one of 250,000 digits in the base of 60.
        ("".join(f"? {number * (2**61 - 1)}\n" for number in range(80_000)), ""),
        (f"a: {':1' * 250_000}", ""),
        (f"a: 1{':1' * 250_000}", ""),
        ("".join(f"%TAG !a{number}! b\n" for number in range(400_000)), "lines that begin with %"),
        (f"a: {'9' * 10**6}", ""),
    ],
    ids=["merge-keys", "aliases", "values", "keys", "colons", "base-60", "directives", "digits"],
)
def test_no_document_takes_much_time_or_memory(text: str, why: str) -> None:
    done = subprocess.run([sys.executable, "-c", _LIMITED], input=text, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 0, done.stderr
    assert why in done.stdout
    assert bool(why) == bool(done.stdout)
