"""What is asked of a cluster before planning."""

from typing import Any

import pytest

from meshinstall.config.lockfile import Lock
from meshinstall.engine.observe.cluster import observe
from meshinstall.model.facts import Facts
from tests.cases import plans
from tests.fake_kube import forbidden
from tests.fakes import World
from tests.unit.engine.installed import POLICY, crd, world

pytestmark = pytest.mark.anyio

PEERS = "/apis/security.istio.io/v1/peerauthentications"


async def seen(there: World) -> Facts:
    session = there.session()
    return await observe(plans.make({}).desired, session.kube, session.releases, session.charts, Lock(()))


def with_crd() -> World:
    there = world()
    there.kube.put(crd("peerauthentications.security.istio.io"))
    return there


async def test_peer_authentications_of_all_namespaces_are_read_with_one_list() -> None:
    there = with_crd()
    there.kube.put(POLICY, {**POLICY, "metadata": {"name": "web", "namespace": "shop"}})
    facts = await seen(there)
    assert sorted(str(policy.place) for policy in facts.peers) == ["istio-system/default", "shop/web"]
    assert facts.peers_unseen == ""
    assert [call for call in there.kube.calls if "peerauthentications" in call and call.startswith("LIST")] == [f"LIST {PEERS}"]


async def test_an_istio_that_serves_an_older_version_is_asked_for_that() -> None:
    there = with_crd()
    older: dict[str, Any] = {**POLICY, "apiVersion": "security.istio.io/v1beta1"}
    there.kube.put(older)
    assert [str(policy.place) for policy in (await seen(there)).peers] == ["istio-system/default"]


async def test_a_cluster_without_the_kind_is_not_asked() -> None:
    there = world()
    await seen(there)
    assert f"LIST {PEERS}" not in there.kube.calls


async def test_a_list_that_is_refused_is_said() -> None:
    there = with_crd()
    there.kube.refusals[f"LIST {PEERS}"] = forbidden("peerauthentications")
    assert (await seen(there)).peers_unseen.startswith("peerauthentications is forbidden")


async def test_one_that_cannot_be_read_is_said() -> None:
    there = with_crd()
    there.kube.put({**POLICY, "spec": {"mtls": {"mode": "OPEN"}}})
    assert (await seen(there)).peers_unseen == "one of them could not be parsed: 'OPEN' is not a valid Mode"
