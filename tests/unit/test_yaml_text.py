"""YAML from elsewhere is read, or refused in words; the loader in C would end the process on what is too deep."""

import pytest

from meshinstall.model.yaml_text import load


def test_a_document_is_what_it_says() -> None:
    assert load("a: [1, {b: c}]") == {"a": [1, {"b": "c"}]}
    assert load(b"") is None


@pytest.mark.parametrize("text", ["[" * 200_000, "a: " + "[" * 101 + "]" * 101, "a: [", "a: !!python/object:os.system {}", "a: 1\n--- b"])
def test_what_cannot_be_read_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"deep|not YAML"):
        load(text)


def test_aliases_are_refused_where_none_may_be() -> None:
    assert load("a: &x [1]\nb: *x") == {"a": [1], "b": [1]}
    with pytest.raises(ValueError, match="aliases"):
        load("a: &x [1]\nb: *x", aliases=False)
