"""Quantities are read as Kubernetes reads them (k8s.io/apimachinery/pkg/api/resource/quantity.go)."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshinstall.model.quantity import quantity, size_in_bytes

UNITS = {"": Fraction(1), "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000)}
UNITS |= {unit: Fraction(1000) ** power for power, unit in enumerate("kMGTPE", start=1)}
UNITS |= {f"{unit}i": Fraction(1024) ** power for power, unit in enumerate("KMGTPE", start=1)}
DIGITS = st.text("0123456789", max_size=30)


def kept(size: Fraction, unit: str = "") -> Fraction:
    """Rounded up to a billionth; what has a binary unit is capped."""
    rounded = Fraction(-(-size * 10**9 // 1), 10**9)
    return min(rounded, Fraction(2**63 - 1)) if unit.endswith("i") else rounded


@given(sign=st.sampled_from(["", "+", "-"]), whole=DIGITS, fraction=st.none() | DIGITS, unit=st.sampled_from(sorted(UNITS)))
@example("", "128974848000", None, "m")
@example("", "9223372036854775807", "9", "Ei")
@example("-", "", "0000000001", "")
def test_a_quantity_is_its_number_times_its_unit(sign: str, whole: str, fraction: str | None, unit: str) -> None:
    text = f"{sign}{whole}{'' if fraction is None else f'.{fraction}'}{unit}"
    number = Fraction(int(whole or 0)) + (Fraction(int(fraction), 10 ** len(fraction)) if fraction else 0)
    found = quantity(text)
    assert (found is None) is not bool(whole or fraction)
    if found is not None:
        assert Fraction(found) == kept(number * UNITS[unit], unit) * (-1 if sign == "-" else 1)


@given(whole=st.integers(0, 10**20), letter=st.sampled_from("eE"), exponent=st.integers(-40, 40), plus=st.booleans())
@example(1, "e", 3, False)
@example(1, "E", 3, True)
def test_an_exponent_moves_the_point(whole: int, letter: str, exponent: int, plus: bool) -> None:  # noqa: FBT001 - an example by position
    found = quantity(f"{whole}{letter}{'+' if plus and exponent >= 0 else ''}{exponent}")
    assert found is not None
    assert Fraction(found) == kept(whole * Fraction(10) ** exponent)


def test_sizes_without_measure_are_answered_at_once() -> None:
    assert quantity(f"{'9' * 30}e999") is not None
    assert quantity("1e-999") == quantity("1n")
    assert quantity("1e999999999") is None


@pytest.mark.parametrize(
    "text",
    ["", "m", ".", "+", "-", " 1", "1 ", "1\n", "1e", "1e1.5", "1mi", "1K", "1Kib", "1.2.3", "--1", "1-", "0x1", "٣", "nan", "inf", "1_0"],
)
def test_what_kubernetes_refuses_is_not_a_quantity(text: str) -> None:
    assert quantity(text) is None


@pytest.mark.parametrize(("value", "expected"), [(2, 2), (0.5, 0.5), (1e-05, 0.00001), (True, None), (None, None), ({}, None)])
def test_values_of_yaml_are_read_by_their_text(value: object, expected: float | None) -> None:
    found = quantity(value)
    assert (None if found is None else float(found)) == expected


@pytest.mark.parametrize(("text", "expected"), [("128974848000m", 128974848), ("1m", 1), ("1.5Ki", 1536), ("1e3", 1000), ("x", None)])
def test_memory_is_in_whole_bytes_rounded_up(text: str, expected: int | None) -> None:
    assert size_in_bytes(text) == expected
