"""The regular expressions of istiod are compared as a real engine compares them, and no others are read."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.checks.authz.patterns import matching_pattern
from meshinstall.checks.authz.seen import UnknownError

_PIECES = st.sampled_from([".+", ".*", "[^/]*", "(.+/|)", "(/.+)?", "/ns/", "sa/", "a", r"\.", "b/", "spiffe://"])
_TEXTS = st.lists(st.sampled_from(["a", "/", "b", ".", "sa/", "/ns/", "spiffe://"]), max_size=9).map("".join)


@given(st.lists(_PIECES, min_size=1, max_size=6), _TEXTS)
def test_whatever_is_put_together_is_compared_as_by_an_engine(pieces: list[str], text: str) -> None:
    expression = "".join(pieces)
    assert matching_pattern(expression)(text) == (re.fullmatch(expression, text) is not None)


@pytest.mark.parametrize("expression", ["(a+)+b", "a|b", "[a-z]*", r"\d", "a{2}", "(", "a?", "^a$", r"\w", ".", "+"])
def test_what_istiod_does_not_write_is_unknown(expression: str) -> None:
    with pytest.raises(UnknownError, match="that istiod does not write"):
        matching_pattern(expression)("a")


def test_no_expression_takes_long() -> None:
    began = time.process_time()
    assert not matching_pattern(".*a(.+/|)" * 8 + "b")("a/" * 2000)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("text", ["a" * 5000, "a\nb"])
def test_a_text_that_is_too_long_or_has_lines_is_unknown(text: str) -> None:
    with pytest.raises(UnknownError):
        matching_pattern(".*")(text)
