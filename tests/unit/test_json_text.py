"""JSON from elsewhere is read so that it can be walked, written and printed; everything else is a ValueError."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.model.json_text import load

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(value=values, as_ascii=st.booleans())
def test_what_is_written_is_read(value: Any, as_ascii: bool) -> None:  # noqa: FBT001 - drawn
    text = json.dumps(value, ensure_ascii=as_ascii)
    assert load(text) == load(text.encode()) == value


@given(st.lists(st.sampled_from([r"\ud800", r"\udc00", r"\uD83D", r"\uDE00", "\\\\", r"\"", r"\n", "u", "d800", "[", "{", "é"])))
def test_half_characters_never_get_in(parts: list[str]) -> None:
    text = f'"{"".join(parts)}"'
    assert load(text) == "".join("\ufffd" if "\ud800" <= one <= "\udfff" else one for one in json.loads(text))
    load(text).encode()


def test_brackets_in_texts_are_no_levels() -> None:
    value = {"a": ["[" * 500, '"{\\' * 500, "]"]}
    assert load(json.dumps(value)) == value


@pytest.mark.parametrize("levels", [101, 900, 5_000, 1_000_000])
def test_what_is_nested_too_deep_is_refused(levels: int) -> None:
    hidden = ("[" * 60 + f'"{"]" * 60}",') * (levels // 60 + 1)
    for text in ("[" * levels + "]" * levels, '{"a":' * levels + "1" + "}" * levels, f"{hidden}1{']' * hidden.count('[')}"):
        with pytest.raises(ValueError, match="nested too deep"):
            load(text)
    for text in ("[" * levels, "[{" * levels, "]" * levels):
        with pytest.raises(ValueError):  # noqa: PT011 - too deep, or not ended
            load(text)
    assert load("[" * 100 + "]" * 100)


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", "-Infinity", "1e999", "-1e999", "1" * 5000, b"\xff", '"\ud800"', b'"\xed\xa0\x80"', "]" * 300, '"' + "[" * 300]
)
def test_what_cannot_be_used_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are Python's own
        load(text)


@pytest.mark.parametrize("text", ['"' + '\\"' * 10**6 + "[" * 101, '"[' * 10**6, "[" * 101 + '"\\', '"' + "\\ud800" * 10**6])
def test_no_text_takes_much_time(text: str) -> None:
    start = time.process_time()
    with pytest.raises(ValueError):  # noqa: PT011 - the words are Python's own
        load(text)
    assert time.process_time() - start < 20
