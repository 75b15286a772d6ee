"""What is written as YAML is the same value to whoever reads it: kubectl and helm, by our reader of their rules."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from meshinstall.model.yaml_dump import dump, dump_all
from meshinstall.model.yaml_text import load

# Go reads these unquoted as numbers or words, PyYAML does not, or the other way round.
TRAPS = ["1e3", "0o14", "yes", "on", "1_000", "0x1F", "1:30", "2026-11-30", "~", "", "=", "<<", ".5", "+1", "012", "1.", ".inf", "NaN", "y"]
leaves = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-(2**63), 2**63),
    some.text(some.characters(exclude_categories=["C"], include_characters="\n\t"), max_size=30),
    some.sampled_from(TRAPS),
)
values = some.recursive(
    leaves,
    lambda inner: (
        some.lists(inner, max_size=4) | some.dictionaries(some.text(min_size=1, max_size=8) | some.sampled_from(TRAPS[:14]), inner)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("text", TRAPS)
def test_a_text_stays_a_text(text: str) -> None:
    written = dump({"value": text, text or "none": 1})
    assert load(written)["value"] == text
    assert yaml.safe_load(written)["value"] == text


@given(some.dictionaries(some.from_regex(r"[a-z]{1,5}", fullmatch=True), values, max_size=3))
def test_what_is_written_is_read_again(value: dict[str, object]) -> None:
    written = dump(value)
    assert load(written) == value
    assert dump(load(written)) == written


def test_documents_come_one_after_the_other() -> None:
    assert dump_all([{"b": 1, "a": "x\ny\n"}, {}]) == "b: 1\na: |\n  x\n  y\n---\n{}\n"
