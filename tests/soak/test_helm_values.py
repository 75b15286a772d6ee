"""Our merge, our ``--set`` and our YAML against helm itself, with other values in each round."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, seed

from tests.unit.config import test_like_helm
from tests.unit.config.conftest import helm4
from tests.unit.config.test_like_helm import render

ROUNDS = 50
PROPERTIES = [one for one in vars(test_like_helm).values() if is_hypothesis_test(one)]
__all__ = ["helm4", "render"]


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda one: one.__name__.removeprefix("test_"))
def test_it_is_like_helm(holds: Callable[..., Any], number: int, request: pytest.FixtureRequest) -> None:
    """The round is the seed: what fails fails again."""
    seed(number)(holds)(**{name: request.getfixturevalue(name) for name in inspect.signature(holds).parameters})
