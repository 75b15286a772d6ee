"""Fixtures that give tests the real things: built tools and clusters."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed import cluster as testbed_cluster
from testbed import paths
from testbed.build import catalog
from testbed.build.builder import build
from testbed.build.workshop import Workshop
from testbed.cluster import Cluster
from testbed.spec import Nodes


def _say(line: str) -> None:
    print(line, file=sys.stderr)


@pytest.fixture(scope="session")
def build_part() -> Callable[[str], Path]:
    """Builds a part of the testbed if it is missing and returns its folder."""

    def one(name: str) -> Path:
        shop: Workshop = build(catalog.PARTS, (name,), paths.cache_dir(), _say)
        return shop.part(name)

    return one


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A real cluster for the whole session; a test cleans up what it puts there."""
    found = testbed_cluster.up("test", Nodes.REAL, _say)
    yield found
    testbed_cluster.down("test")


@pytest.fixture
def own_cluster() -> Iterator[Callable[[str, Nodes], Cluster]]:
    """Starts clusters that belong to one test and ends them after it."""
    started: list[str] = []

    def start(name: str, nodes: Nodes = Nodes.REAL) -> Cluster:
        started.append(name)
        return testbed_cluster.up(name, nodes, _say)

    yield start
    for name in started:
        testbed_cluster.down(name)
