"""A pod that has the proxy of a revision that was removed, while it runs and while it ends."""

from dataclasses import replace

import pytest

from meshinstall.checks.control_plane.configuration import revisions
from tests.cases import checks


@pytest.mark.parametrize(("is_ending", "codes"), [(False, ["CHK013"]), (True, [])])
def test_a_pod_of_a_removed_revision_counts_until_it_is_deleted(*, is_ending: bool, codes: list[str]) -> None:
    """An upgrade removes the old istiod while the last pods of it drain: they go with their proxy, and nothing is left to restart."""
    facts = checks.load("well")
    first, *others = facts.mesh.pods
    left = replace(first, revision="1-30", ending=is_ending)
    found = revisions(replace(facts, mesh=replace(facts.mesh, pods=(left, *others))))
    assert [finding.code for finding in found] == codes
