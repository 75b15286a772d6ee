"""The engine runs in virtual time."""

from collections.abc import Callable
from typing import Any

import pytest

from tests import virtual_time


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Callable[[], Any]]]:
    """No test of the engine waits for real."""
    return virtual_time.backend()
