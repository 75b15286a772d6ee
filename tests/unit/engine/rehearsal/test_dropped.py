"""An upgrade deletes nothing that only the record of helm calls the release's."""

from copy import deepcopy
from typing import Any

import pytest

from meshinstall.errors import ClusterError, PlanRefusedError
from meshinstall.model.facts import key_of
from tests.fakes import World, settled
from tests.unit.engine import stages
from tests.unit.engine.installed import PUBLIC
from tests.unit.engine.plan.test_removal_records import ADMIN, CRD, DNS, EDGE, VICTIMS, written
from tests.unit.engine.rehearsal.test_rehearsal import DESIRED, edited, found, installed, planned

pytestmark = pytest.mark.anyio


async def upgraded(*victims: dict[str, Any]) -> World:
    """A gateway that changes, whose record names objects that its chart does not have."""
    there = await installed()
    edited(there)
    written(there, *victims)
    return there


@pytest.mark.parametrize("victim", VICTIMS, ids=lambda victim: victim["kind"])
async def test_what_only_the_record_calls_its_own_stops_the_upgrade(victim: dict[str, Any]) -> None:
    there = await upgraded(victim)
    there.kube.put(victim)
    (finding,) = found(await planned(there), "PRE033")
    assert finding.title == (
        f"the record of release istio-ingress/public names an object that carries no mark of a release: {key_of(victim)}"
    )
    with pytest.raises(PlanRefusedError, match="PRE033"):
        await stages.up(there, DESIRED, [])
    assert there.helm.calls == []


async def test_another_releases_object_stops_it_too() -> None:
    there = await upgraded(DNS)
    there.kube.put(settled(DNS, EDGE))
    (finding,) = found(await planned(there), "PRE033")
    assert "has objects that belong to release istio-ingress/edge now" in finding.title


async def test_what_is_the_releases_own_or_gone_stops_nothing() -> None:
    own = deepcopy(ADMIN)
    there = await upgraded(own, CRD)
    there.kube.put(settled(own, PUBLIC))
    assert found(await planned(there), "PRE033") == []


async def test_a_record_that_helm_may_read_in_another_way_is_an_error() -> None:
    there = await upgraded()
    written(there, "---kind: Deployment")
    with pytest.raises(
        ClusterError, match="the manifest in Helm's record of release istio-ingress/public cannot be read: a line begins with"
    ):
        await planned(there)


async def test_where_helm_may_go_by_another_record_nothing_is_upgraded() -> None:
    there = await upgraded()
    there.releases.rival = "has another record"
    with pytest.raises(PlanRefusedError, match="release istio-ingress/public is not upgraded: it has another record"):
        await stages.up(there, DESIRED, [])
    assert there.helm.calls == []
