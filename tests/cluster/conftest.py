"""Fixtures of tests that run with either Helm: which one, and a person's shell with it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.cluster import Cluster
from tests.cluster.mesh import Shell


@pytest.fixture(scope="module", params=["helm4", "helm3"])
def helm(request: pytest.FixtureRequest) -> str:
    """Which Helm is on PATH, and makes the releases."""
    return str(request.param)


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, helm: str, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell with the same Helm."""
    return Shell(own_module_cluster, tuple(build_part(name) for name in (helm, "kubectl")))
