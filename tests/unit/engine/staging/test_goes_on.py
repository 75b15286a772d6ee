"""Where ``continue`` leads to: the newest of what an upgrade changes first."""

import pytest

from meshinstall.engine.observe.upgrade import observe_upgrade
from meshinstall.engine.session import Session
from meshinstall.engine.staging import planned
from meshinstall.engine.staging.planned import NEWEST, newest_of, plan_from
from meshinstall.model.desired import Desired
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition, PlaneAt
from meshinstall.model.place import Place
from meshinstall.model.upgrade import StageName
from tests.unit.engine.staging.upgrading import NEW, Upgrade, files, start

BEFORE, AFTER = IstioVersion(1, 30, 4), IstioVersion(1, 31, 0)


def plane(version: IstioVersion | None) -> PlaneAt:
    return PlaneAt("default", version, Place("istio-system", "istiod"))


@pytest.mark.parametrize(
    ("base", "planes", "found"),
    [
        # It was ended when the CRDs alone were changed: to the version of the istiod it would go backwards.
        (AFTER, (plane(BEFORE),), "1.31.0"),
        (BEFORE, (plane(BEFORE), plane(AFTER)), "1.31.0"),
        (None, (plane(BEFORE),), "1.30.4"),
        (None, (plane(None),), None),
    ],
)
def test_it_goes_on_to_the_newest_istiod_or_crds(base: IstioVersion | None, planes: tuple[PlaneAt, ...], found: str | None) -> None:
    assert newest_of(MeshPosition(base=base, planes=planes)) == found


@pytest.mark.anyio
async def test_the_mesh_is_looked_at_once_to_find_where_to_go_on_to_and_how(monkeypatch: pytest.MonkeyPatch) -> None:
    there = await start(has_tenants=False)
    await Upgrade(there).to(until=StageName.CONTROL_PLANE)
    looks: list[str] = []

    async def observed(desired: Desired, session: Session) -> MeshPosition:
        looks.append(desired.istio_version)
        return await observe_upgrade(desired, session)

    monkeypatch.setattr(planned, "observe_upgrade", observed)
    found = await plan_from(files, there.session(), NEWEST)
    assert len(looks) == 1
    monkeypatch.undo()
    assert found == await plan_from(files, there.session(), NEW)
    assert str(found.plan.target) == NEW
