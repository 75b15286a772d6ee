"""The rights of a job against what the API server's log saw: all that was asked is granted, and what was not asked has its reason."""

from collections.abc import Iterator

import pytest

from meshinstall.jobs.rbac import GRANTS, Grant, Where, rights
from tests.cases.asked import FILE, Asked, read
from tests.cases.jobs import PAGE, page

ASKED = sorted(read(FILE.read_text()))
# Where a request may be for a right of that place to allow it.
_REACH = {Where.CLUSTER: {"cluster", "mesh", "probe", "any"}, Where.MESH: {"mesh"}, Where.WORKLOADS: {"any"}}


def allows(grant: Grant, asked: Asked) -> bool:
    where, group, resource, verb = asked
    return where in _REACH[grant.where] and (grant.group or "core", grant.resource) == (group, resource) and verb in grant.verbs


def seen(grant: Grant, verb: str) -> bool:
    """Whether it was asked where this right is what allows it."""
    for one in ASKED:
        others = (other for other in GRANTS if other.where is not grant.where and allows(other, one))
        if one[3] == verb and allows(grant, one) and (grant.where is not Where.CLUSTER or not any(others)):
            return True
    return False


def verbs(kind: str) -> Iterator[tuple[Grant, str]]:
    for grant in GRANTS:
        for verb in getattr(grant, kind):
            yield grant, verb


def test_something_was_asked() -> None:
    assert len(ASKED) > 50


# The first install is an administrator's; the job finds the namespaces of the mesh.
NIGHTLY = [one for one in ASKED if one[0] != "trial"]


@pytest.mark.parametrize("asked", NIGHTLY, ids=" ".join)
def test_all_that_is_asked_is_granted(asked: Asked) -> None:
    assert any(allows(grant, asked) for grant in GRANTS)


@pytest.mark.parametrize(("grant", "verb"), list(verbs("used")))
def test_what_is_called_used_was_asked(grant: Grant, verb: str) -> None:
    assert seen(grant, verb)


@pytest.mark.parametrize(("grant", "verb"), list(verbs("spare")))
def test_what_is_called_spare_was_not_asked_and_has_a_reason(grant: Grant, verb: str) -> None:
    assert not seen(grant, verb)
    assert grant.why


def test_the_page_has_all_of_them() -> None:
    assert PAGE.read_text() == page(PAGE.read_text())


def test_a_resource_has_one_row_for_each_place() -> None:
    rows = [(grant.where, grant.group, grant.resource) for grant in GRANTS]
    assert len(rows) == len(set(rows))


def test_the_roles_have_no_wildcard() -> None:
    subject = {"kind": "ServiceAccount", "name": "meshinstall", "namespace": "meshinstall"}
    rules = [rule for one in rights(subject, ["istio-system"], ["shop"]) for rule in one.get("rules", ())]
    assert rules
    assert not any("*" in values for rule in rules for values in rule.values())
