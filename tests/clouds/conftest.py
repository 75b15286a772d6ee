"""The cloud of the tests of AKS."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.clouds.aks import FakeAzure
from tests.clouds.aks_world import azure_shop


@pytest.fixture
def azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAzure]:
    """Azure with one cluster; the caller is the pipeline."""
    with azure_shop(tmp_path, monkeypatch) as fake:
        yield fake
