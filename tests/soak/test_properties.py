"""Every property of the default tests that needs nothing else, with other examples in each round."""

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, seed

ROUNDS = 40
TESTS = Path(__file__).parents[1]


def properties() -> list[Callable[[], Any]]:
    """The properties in the order of their modules."""
    files = [file for file in sorted(TESTS.rglob("test_*.py")) if "@given(" in file.read_text() and file != Path(__file__)]
    modules = [import_module(".".join(file.relative_to(TESTS.parent).with_suffix("").parts)) for file in files]
    found = [one for module in modules for one in vars(module).values() if is_hypothesis_test(one)]
    return [one for one in found if not inspect.signature(one).parameters]


def test_there_are_properties() -> None:
    assert len(properties()) > 15


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("holds", properties(), ids=lambda one: one.__name__.removeprefix("test_"))
def test_it_holds(holds: Callable[[], Any], number: int) -> None:
    """The round is the seed: what fails fails again."""
    seed(number)(holds)()
