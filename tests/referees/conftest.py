"""The control plane that the referees' tests of one module share."""

import os
from collections.abc import Iterator

import pytest

from testbed.referee.plane import Plane, plane


@pytest.fixture(scope="module")
def mesh() -> Iterator[Plane]:
    """An istiod before an API server without nodes; a test removes what it writes, or writes into a namespace of its own."""
    with plane(f"referee-{os.getpid()}", print) as found:
        yield found
