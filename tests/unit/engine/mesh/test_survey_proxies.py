"""Each proxy is asked once, and what it cannot say, or says of another, proves nothing."""

import pytest
from hypothesis import given

from meshinstall.engine.mesh.envoy import dump_path
from meshinstall.engine.mesh.proxies import ask_istiods
from meshinstall.engine.mesh.syncz import read_sync
from meshinstall.engine.objects.json_fields import MalformedError
from meshinstall.model.istio import ENVOY_ADMIN_PORT
from meshinstall.model.mesh import Place, Proxy, SyncState
from meshinstall.model.release import Manifest
from tests.fake_kube import NOON, forbidden
from tests.fakes import FakeIstiod
from tests.unit.engine.hostile import mutated
from tests.unit.engine.mesh.kube_worlds import APP, pod
from tests.unit.engine.mesh.survey_world import EDGE, RECORDED, WEB, Mesh, of, record

pytestmark = pytest.mark.anyio


def without_listener() -> bytes:
    return RECORDED.replace(b'"virtualInbound"', b'"other"')


async def test_a_proxy_that_cannot_be_asked_has_a_problem_and_nothing_else() -> None:
    mesh = Mesh()
    waiting = pod(name="waits", status={"phase": "Pending"})
    own = {"name": "istio-proxy", "args": ["proxy", "sidecar"]}
    mesh.add(
        "v1", "pods", pod(name="closed"), pod(name="odd"), pod(name="young"), waiting, pod(name="alone", inits=[], containers=[APP, own])
    )
    mesh.says(Place("shop", "odd"), b"<html>")
    mesh.says(Place("shop", "young"), without_listener())
    mesh.pods.answers["shop", "alone", ENVOY_ADMIN_PORT, dump_path("10.0.0.8", [8080])] = of(Place("shop", "alone"), without_listener())
    mesh.says(EDGE, without_listener())
    mesh.istiod.records["istiod-1"] = [record("young.shop")]
    found = (await mesh.look()).proxies
    assert found[Place("shop", "closed")] == Proxy(problem="no port-forward to pod shop/closed")
    assert found[Place("shop", "odd")].problem.startswith("its Envoy's answer could not be parsed")
    assert found[Place("shop", "waits")] == Proxy(problem="its pod does not run")
    assert Place("shop", "waits") not in {place for place, _ in mesh.asked.asked}
    young = found[Place("shop", "young")]
    assert young.problem == "its Envoy has no inbound listener yet"
    assert young.certificates == ()
    assert young.version == "1.30.2"
    assert young.sync == SyncState.SYNCED
    # Neither redirects traffic to such a listener.
    assert found[Place("shop", "alone")].problem == ""
    assert found[EDGE].problem == ""


async def test_the_configuration_of_another_proxy_proves_nothing_of_a_pod() -> None:
    mesh = Mesh()
    mesh.pods.answers[(*WEB, ENVOY_ADMIN_PORT, dump_path())] = RECORDED
    mesh.pods.answers[(*EDGE, ENVOY_ADMIN_PORT, dump_path())] = b"{}"
    found = (await mesh.look()).proxies
    words = "its port 15000 gives the configuration of another proxy"
    assert found[WEB].problem == f"{words}: holes-7f7999d85f-bsgjl.shop"
    assert found[WEB].certificates == ()
    assert found[EDGE] == Proxy(problem=f"{words}: one without a name")


async def test_proxies_that_hang_do_not_hold_up_the_answers_of_others() -> None:
    mesh = Mesh()
    mesh.asked.hanging.add(EDGE.name)
    facts = await mesh.look()
    assert facts.proxies[EDGE].problem == "it was not read within 30 s"
    assert facts.proxies[WEB].version == "1.31.0"


async def test_an_istiod_that_does_not_answer_is_a_gap_and_sync_is_not_known() -> None:
    mesh = Mesh()
    mesh.istiod.records["istiod-1"] = forbidden("pods/portforward")
    facts = await mesh.look()
    (gap,) = facts.gaps
    assert gap.startswith("istiod istio-system/istiod-1 does not report which proxies are in sync: pods/portforward is forbidden")
    assert facts.proxies[WEB].sync == SyncState.UNKNOWN
    assert facts.proxies[WEB].version == "1.31.0"


async def said(*istiods: list[Manifest]) -> dict[Place, tuple[str, SyncState]]:
    """What comes of the answers of several istiods."""
    debug = FakeIstiod({str(number): records for number, records in enumerate(istiods)})
    found, gaps = await ask_istiods([Place("istio-system", pod) for pod in debug.records], debug, NOON)
    assert gaps == ()
    return {place: (word.istiod.name, word.sync.state) for place, word in found.items()}


@pytest.mark.parametrize(
    ("given", "sync"),
    [
        (record(), SyncState.SYNCED),
        (record(acked="a"), SyncState.STALE),
        (record(acked=""), SyncState.STALE),
        (record(sent="", acked=""), SyncState.NOTHING_SENT),
        ({"proxy": "web.shop", "listener_sent": "b", "listener_acked": "b", "cluster_sent": ""}, SyncState.SYNCED),
        ({"proxy": "web.shop", "listener_sent": "b", "cluster_sent": "b", "cluster_acked": "b"}, SyncState.STALE),
    ],
    ids=["acknowledged", "another version", "nothing", "never sent", "as older istiods say it", "as older istiods say it not"],
)
async def test_a_proxy_is_in_sync_when_it_acknowledged_all_that_it_was_sent(given: Manifest, sync: SyncState) -> None:
    assert await said([given]) == {WEB: ("0", sync)}


async def test_of_two_istiods_that_know_a_proxy_the_one_that_it_follows_counts() -> None:
    assert await said([record(acked="a")], [record()]) == {WEB: ("1", SyncState.SYNCED)}
    assert await said([record()], [record(acked="a")]) == {WEB: ("0", SyncState.SYNCED)}
    assert await said([record("we.b.shop")], []) == {Place("shop", "we.b"): ("0", SyncState.SYNCED)}


@given(mutated(record() | {"listener_sent": "b", "listener_acked": "b"}))
def test_whatever_istiod_says_of_a_proxy_is_read_or_refused(given: Manifest) -> None:
    try:
        place, sync = read_sync(given, NOON)
    except MalformedError:
        return
    assert type(place.name) is str
    assert type(sync.version) is str


async def test_an_istiod_that_says_something_else_is_a_gap() -> None:
    mesh = Mesh()
    mesh.istiod.records["istiod-1"] = [record() | {"resources": "all"}]
    facts = await mesh.look()
    assert facts.gaps == ("istiod istio-system/istiod-1 does not report which proxies are in sync: dict expected, found str",)
    assert facts.proxies[WEB].sync is SyncState.UNKNOWN
