"""A cluster in which probes can start, and the proxies that they ask."""

from collections.abc import Iterator

import pytest

from tests.unit.engine.probe.prober_world import Cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Cleaned up at the end, whatever happened."""
    cluster = Cluster()
    yield cluster
    assert cluster.is_clean()
