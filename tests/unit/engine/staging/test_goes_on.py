"""Where ``continue`` leads to: the newest of what an upgrade changes first."""

from typing import Any

import pytest

from meshinstall.engine.staging import planned
from meshinstall.engine.staging.planned import newest_version
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition, PlaneAt
from meshinstall.model.place import Place
from tests.unit.engine import revisioned

pytestmark = pytest.mark.anyio

OLD, NEW = IstioVersion(1, 30, 4), IstioVersion(1, 31, 0)


def plane(version: IstioVersion | None) -> PlaneAt:
    return PlaneAt("default", version, Place("istio-system", "istiod"))


@pytest.mark.parametrize(
    ("base", "planes", "found"),
    [
        # It was ended when the CRDs alone were changed: to the version of the istiod it would go backwards.
        (NEW, (plane(OLD),), "1.31.0"),
        (OLD, (plane(OLD), plane(NEW)), "1.31.0"),
        (None, (plane(OLD),), "1.30.4"),
        (None, (plane(None),), None),
    ],
)
async def test_it_goes_on_to_the_newest_istiod_or_crds(
    base: IstioVersion | None, planes: tuple[PlaneAt, ...], found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def observed(*_: Any) -> MeshPosition:
        return MeshPosition(base=base, planes=planes)

    monkeypatch.setattr(planned, "observe_upgrade", observed)
    assert await newest_version(lambda *_: revisioned.desired(), revisioned.world().session()) == found
