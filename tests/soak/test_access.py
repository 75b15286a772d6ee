"""Thousands of pairs of policies: every request is in one cell, decided as it says, and whatever opens is named."""

import pytest
from hypothesis import given, seed, settings

from tests.unit.checks.authz.test_access import FEW, check_cells, guards_of
from tests.unit.engine.test_access_changes import PAIRS, check_named

ROUNDS = 10
MANY = settings(FEW, max_examples=200)


@pytest.mark.parametrize("number", range(2000, 2000 + ROUNDS))
def test_every_request_is_in_one_cell_alone_and_decided_as_it_says(number: int) -> None:
    """The number is the seed."""
    seed(number)(MANY(given(guards_of())(check_cells)))()


@pytest.mark.parametrize("number", range(2000, 2000 + ROUNDS))
def test_whatever_was_denied_and_is_allowed_then_is_named(number: int) -> None:
    """The same of what plans say."""
    seed(number)(MANY(given(*PAIRS)(check_named)))()
