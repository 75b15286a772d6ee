"""Argo CD itself keeps a mesh by what ``render --format argocd`` writes."""

import os
from collections.abc import Iterator

import pytest

from tests.engines.argo_world import ArgoWorld, argo_world


@pytest.fixture(scope="module")
def world() -> Iterator[ArgoWorld]:
    """A mesh that Argo CD has made."""
    with argo_world(f"argo-{os.getpid()}") as one:
        one.deliver()
        yield one


def test_everything_is_synced_and_healthy(world: ArgoWorld) -> None:
    assert all(one.is_well for one in world.applications().values())
