"""The one value that something comes from is found by leaving values out, whatever it is called."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.engine.rehearsal.blame import find_value, lacking
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import KeyPath, Layer, LayerKind, value_at

pytestmark = pytest.mark.anyio

_KEYS = st.sampled_from(["a", "b", "c", "d"])
_VALUES = st.dictionaries(_KEYS, st.integers(0, 3) | st.dictionaries(_KEYS, st.integers(0, 3), min_size=1, max_size=3), max_size=4)


def layer(kind: LayerKind, values: Mapping[str, Any]) -> Layer:
    """One whose every key has a line of its own."""
    positions: dict[KeyPath, tuple[int, int]] = {}
    for key, value in values.items():
        positions[key,] = (len(positions) + 1, 1)
        for inner in value if isinstance(value, Mapping) else ():
            positions[key, inner] = (len(positions) + 1, 3)
    return Layer(kind, f"{kind.name.lower()}.yaml", values, positions)


def stack(below: Mapping[str, Any], above: Mapping[str, Any]) -> ValuesStack:
    """Two files above a chart."""
    return ValuesStack((Layer(LayerKind.CHART, "chart", {"a": 9}), layer(LayerKind.COMPONENT, below), layer(LayerKind.ENVIRONMENT, above)))


@given(below=_VALUES, above=_VALUES, which=st.integers(0, 15))
async def test_whatever_single_value_it_is_its_line_is_found(below: dict[str, Any], above: dict[str, Any], which: int) -> None:
    values = stack(below, above)
    if not (winners := values.winners()):
        return
    path = sorted(winners)[which % len(winners)]
    wanted = winners[path]
    asked = 0

    async def still(sent: Mapping[str, Any]) -> bool:
        nonlocal asked
        asked += 1
        return bool(value_at(sent, path) == wanted.value)

    found = await find_value(values, still)
    if value_at(lacking(values, [path]), path) == wanted.value:
        # A lower layer says the same: there is no single one.
        return
    assert found == path
    assert asked <= 2 * len(winners).bit_length() + 1


async def test_what_the_chart_does_by_itself_is_no_values_fault() -> None:
    async def still(_: Mapping[str, Any]) -> bool:
        return True

    assert await find_value(stack({"a": 1}, {"b": 2}), still) is None


async def test_two_values_that_do_it_each_by_itself_are_not_one() -> None:
    async def still(sent: Mapping[str, Any]) -> bool:
        return "a" in sent or "b" in sent

    assert await find_value(stack({"a": 1}, {"b": 2}), still) is None


async def test_of_two_that_contradict_each_other_the_higher_layer_is_named() -> None:
    async def still(sent: Mapping[str, Any]) -> bool:
        return "a" in sent and "b" in sent

    assert await find_value(stack({"a": 1}, {"b": 2}), still) == ("b",)


def test_a_layer_below_speaks_where_the_highest_is_left_out() -> None:
    values = stack({"a": {"b": 1, "c": 2}}, {"a": {"b": 5}})
    assert lacking(values, [("a", "b")]) == {"a": {"b": 1, "c": 2}}
    assert lacking(values, [("a", "b"), ("a", "b")]) == {"a": {"c": 2}}
    assert lacking(values, []) == {"a": {"b": 5, "c": 2}}


def test_a_null_that_is_not_sent_stays_unsent_without_another_value() -> None:
    values = ValuesStack(stack({"a": 1, "b": 1}, {"a": None, "c": 2}).layers, frozenset({("a",)}))
    assert lacking(values, [("c",)]) == {"b": 1}
    assert lacking(values, [("a",)]) == {"a": 1, "b": 1, "c": 2}
