"""Fixtures that give tests the real things: built tools and clusters."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3
from hypothesis import HealthCheck, settings

from testbed import cluster as testbed_cluster
from testbed import paths
from testbed.build import catalog
from testbed.build.builder import build
from testbed.cluster import Cluster
from testbed.spec import Nodes
from testbed.waiting import until

# How long an example takes says something of the machine, and nothing of the product.
settings.register_profile("meshinstall", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", settings.get_profile("meshinstall"), max_examples=500, derandomize=False)
settings.load_profile("meshinstall")


# Files of cluster tests, the longest first, as measured: several workers are busy to the end when these start first.
_LONGEST = (
    *(
        "upgrade",
        "upgrade_in_place",
        "nights",
        "restore",
        "faults",
        "truth",
        "drift",
        "tried",
        "refused",
        "plan",
        "hopeless",
        "ambient",
        "aks_cluster",
        "eks_cluster",
        "probing",
        "gke_cluster",
        "verify_anywhere",
        "newcomer",
        "whose_mesh",
        "scout",
        "revisions",
        "upgrade_plan",
    ),
    *("verify", "up", "down", "check", "inspect", "testbed", "survey", "istio", "revision", "nudging", "helm_cluster", "kube"),
)
_RANKS = {f"test_{name}.py": rank for rank, name in enumerate(_LONGEST)}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run take one path of each kind."""
    parser.addoption(
        "--one-of-each-kind", action="store_true", help="of cluster tests one of each kind: no extra ones, and the first parameters"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start the longest files of cluster tests first."""
    if config.option.one_of_each_kind:
        _leave_one(config, items)
    items.sort(key=lambda item: _RANKS.get(item.path.name, len(_RANKS)) if item.get_closest_marker("cluster") else -1)


def _leave_one(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out the extra cluster tests, and all but the first parameters of the others."""
    first: dict[str, pytest.Item] = {}
    for item in items:
        first.setdefault(item.nodeid.partition("[")[0], item)
    chosen = {item for item in first.values() if not item.get_closest_marker("extra")}
    kept = [item for item in items if not item.get_closest_marker("cluster") or item in chosen]
    config.hook.pytest_deselected(items=[*{*items} - {*kept}])
    items[:] = kept


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


@pytest.fixture(scope="session")
def build_part() -> Callable[[str], Path]:
    """Builds a part of the testbed if it is missing and returns its folder."""

    def one(name: str) -> Path:
        shop = build(catalog.PARTS, (name,), paths.cache_dir(), _say)
        return shop.part(name)

    return one


@pytest.fixture(scope="session")
def kubectl(build_part: Callable[[str], Path]) -> Path:
    """The real one."""
    return build_part("kubectl") / "kubectl"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A real cluster for the whole session; a test cleans up what it puts there."""
    name = f"test-{os.getpid()}"
    yield testbed_cluster.up(name, Nodes.REAL, _say)
    testbed_cluster.down(name)


@pytest.fixture
def own_name() -> Callable[[str], str]:
    """A name for a cluster that no other run of the tests, and no other worker of this one, has."""
    return lambda name: f"{name}-{os.getpid()}"


@pytest.fixture
def own_cluster(own_name: Callable[[str], str]) -> Iterator[Callable[[str, Nodes], Cluster]]:
    """Starts clusters that belong to one test and ends them after it."""
    started: list[str] = []

    def start(name: str, nodes: Nodes = Nodes.REAL) -> Cluster:
        started.append(own_name(name))
        return testbed_cluster.up(started[-1], nodes, _say)

    yield start
    for name in started:
        testbed_cluster.down(name)


@pytest.fixture(scope="module")
def own_module_cluster() -> Iterator[Cluster]:
    """A cluster that belongs to one test module, for tests that fill it with things that take time."""
    name = f"module-{os.getpid()}"
    yield testbed_cluster.up(name, Nodes.REAL, _say)
    testbed_cluster.down(name)


@pytest.fixture
def until_true() -> Callable[[Callable[[], bool]], None]:
    """Waits until a look is true, a minute at most."""

    def wait(look: Callable[[], bool]) -> None:
        assert until(look, 60, lambda: "never became true")

    return wait


@pytest.fixture
def get() -> Callable[[str], int]:
    """Sends a GET to one of the testbed's own addresses and returns the status; kube-proxy may need a moment to open it."""

    def ask(url: str) -> int | None:
        try:
            return urllib3.request("GET", url, timeout=5.0, retries=False).status
        except urllib3.exceptions.HTTPError:
            return None

    return lambda url: until(lambda: ask(url), 20, lambda: f"{url} does not answer")
