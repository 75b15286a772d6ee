"""Reading who keeps a mesh: by lists of metadata, and what is not served is not taken for nothing."""

import pytest

from meshinstall.engine.handover.own_objects import APPLICATION, KUSTOMIZATION
from meshinstall.engine.handover.reader import Ownership, read_ownership
from meshinstall.errors import ForbiddenError
from meshinstall.model.facts import policy_key
from tests.cases import gitops
from tests.fake_kube import forbidden
from tests.fakes import World

pytestmark = pytest.mark.anyio

SITE = gitops.mesh("prod")
ARGO = "/apis/argoproj.io/v1alpha1"


async def read(there: World) -> Ownership:
    session = there.session()
    return await read_ownership(SITE, session.kube, session.releases)


def world() -> World:
    there = World()
    there.kube.put(*(one.manifest for one in SITE.items if one.manifest))
    return there


async def test_the_metadata_of_every_object_is_read_and_no_more() -> None:
    found = await read(world())
    assert set(found.live) == {policy_key(one.key) for one in SITE.items if one.manifest}
    assert {tuple(one) for one in found.live.values()} == {("metadata",)}


async def test_the_engines_that_are_not_served_are_not_here() -> None:
    found = await read(world())
    assert found.owned[APPLICATION] is None
    assert found.owned[KUSTOMIZATION] is None


async def test_an_engine_that_is_here_may_have_nothing() -> None:
    there = world()
    there.kube.objects[ARGO] = {"resources": [{"name": "applications"}], "metadata": {"name": ""}}
    assert (await read(there)).owned[APPLICATION] == ()


async def test_what_may_not_be_listed_ends_the_look() -> None:
    there = world()
    there.kube.refusals["LIST /api/v1/namespaces/istio-system/configmaps"] = forbidden("configmaps")
    with pytest.raises(ForbiddenError):
        await read(there)
