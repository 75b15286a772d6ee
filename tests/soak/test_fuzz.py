"""Whatever is read from charts, registries, files, proxies and clusters: random and mutated input is a value or the package's own error."""

import subprocess
import sys

import pytest

from testbed import paths
from tests.soak.readers import READERS

ROUNDS = 12
SECONDS = 10


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("reader", READERS)
def test_no_input_is_a_traceback_or_takes_for_ever(reader: str, number: int) -> None:
    """A process of its own, for its memory is bounded, and what hangs in C can only be killed."""
    argv = [sys.executable, "-m", "tests.soak.fuzzing", reader, str(number), str(SECONDS)]
    done = subprocess.run(argv, cwd=paths.REPOSITORY, capture_output=True, text=True, check=False, timeout=180)

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
