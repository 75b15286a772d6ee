"""A mesh in motion is looked at again, and one that stays as it is is judged as it is."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime

import anyio
import pytest

from meshinstall.engine.gates.verify import Company, Scope, observe, settled, verify
from meshinstall.engine.probe.prober import Prober
from meshinstall.model.mesh import ControlPlane, MeshFacts, Place, Proxy, SyncState
from meshinstall.model.verdict import Outcome
from meshinstall.model.wire import Probing, WireTarget
from tests.unit.engine.mesh.kube_worlds import pod
from tests.unit.engine.mesh.survey_world import Mesh

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PLANE = ControlPlane(Place("istio-system", "istiod"), "default", "1.31.0", "istio-system", "cluster.local")
WEB = Place("shop", "web")
SOUND, LOST, LATE = Proxy(sync=SyncState.SYNCED), Proxy(sync=SyncState.UNKNOWN), Proxy(sync=SyncState.STALE)
NEW, UPDATING, REJECTED = Proxy(sync=SyncState.NOTHING_SENT), Proxy(sync=SyncState.UPDATING), Proxy(sync=SyncState.REJECTED)


def mesh(proxy: Proxy, *planes: ControlPlane) -> MeshFacts:
    """One proxy."""
    return MeshFacts(NOON, planes, proxies={WEB: proxy})


def looks(*seen: MeshFacts) -> Callable[[], Awaitable[MeshFacts]]:
    """One after the other; the last one stays."""
    rest = list(seen)

    async def look() -> MeshFacts:
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return look


@pytest.mark.parametrize("moving", [LOST, LATE, NEW, UPDATING, REJECTED])
async def test_a_proxy_that_finds_its_istiod_is_waited_for_and_it_is_said_once(moving: Proxy) -> None:
    said: list[str] = []
    facts = await settled(looks(mesh(moving, PLANE), mesh(moving, PLANE), mesh(SOUND, PLANE)), said.append)
    assert facts.proxies == {WEB: SOUND}
    assert said == ["waiting until proxies have what istiod sends: shop/web"]


@pytest.mark.parametrize(("staying", "seconds"), [(LOST, 30), (LATE, 3), (NEW, 30), (UPDATING, 3), (REJECTED, 3)])
async def test_a_proxy_that_does_not_is_judged_as_it_is(staying: Proxy, seconds: float) -> None:
    started = anyio.current_time()
    facts = await settled(looks(mesh(staying, PLANE)), print)
    assert facts.proxies == {WEB: staying}
    assert seconds <= anyio.current_time() - started <= seconds + 2


@pytest.mark.parametrize("facts", [mesh(SOUND, PLANE), mesh(LOST), mesh(Proxy(problem="it does not answer"), PLANE)])
async def test_nothing_else_is_waited_for(facts: MeshFacts) -> None:
    """No istiod in this cluster, or a proxy that says nothing."""
    said: list[str] = []
    started = anyio.current_time()
    assert await settled(looks(facts), said.append) is facts
    assert said == []
    assert anyio.current_time() - started == 0


@pytest.mark.parametrize(("namespace", "empty"), [("shpo", True), ("shop", False)])
@pytest.mark.parametrize("read_only", [True, False])
async def test_a_namespace_that_is_misspelt_proves_nothing(namespace: str, empty: bool, read_only: bool) -> None:  # noqa: FBT001 - columns
    there = Mesh()
    there.istiod.records["istiod-1"] = []
    verdict = await verify(there.session(), Scope({namespace}, read_only=read_only), lambda _: None)
    assert ("MTL027" in {finding.code for finding in verdict.findings}) is empty
    if empty:
        assert verdict.outcome is Outcome.NOT_PROVEN
        assert [port.evidence[0].text for port in verdict.ports] == ["the namespace does not exist"]


class Wire(Prober):
    """Ends when something else has been asked meanwhile."""

    def __init__(self, there: Mesh, asked: anyio.Event) -> None:
        super().__init__(there.session(), "meshinstall-probe-1")
        self._meanwhile = asked

    async def probe(self, targets: Iterable[WireTarget]) -> Probing:
        """Nothing is tried."""
        await self._meanwhile.wait()
        return await super().probe(targets)


@pytest.mark.parametrize(
    ("named", "is_left_out"),
    [
        ("meshinstall-probe-2/uid-2", True),
        # A tenant made it again, after its run was killed; a tenant chose the name; a Lease of a version that names none.
        ("meshinstall-probe-2/uid-1", False),
        ("meshinstall-probe-3/uid-3", False),
        ("meshinstall-probe-2/", False),
        ("", False),
    ],
)
async def test_probes_of_the_run_that_holds_the_lock_are_left_out_and_no_others(named: str, is_left_out: bool) -> None:  # noqa: FBT001 - a column
    there, asked = Mesh(), anyio.Event()
    asked.set()
    theirs = Place("meshinstall-probe-2", "target")
    there.add("v1", "namespaces", {"metadata": {"name": theirs.namespace, "uid": "uid-2", "labels": {}}})
    there.add("v1", "pods", pod(name=theirs.name, namespace=theirs.namespace))
    lease = {"metadata": {"name": "meshinstall", "namespace": "istio-system", "annotations": {"meshinstall.dev/probes": named}}, "spec": {}}
    there.add("coordination.k8s.io/v1", "leases", lease)
    found = await observe(there.session(), Scope(), lambda _: None, Company(ready=Wire(there, asked)))
    assert (theirs not in {one.place for one in found.facts.pods}) is is_left_out
    assert (theirs.namespace not in found.facts.namespaces) is is_left_out


async def test_what_is_asked_of_the_mesh_is_asked_while_its_wire_is_tried() -> None:
    there, asked = Mesh(), anyio.Event()
    seen: list[MeshFacts] = []

    async def ask(facts: MeshFacts) -> None:
        seen.append(facts)
        asked.set()

    with anyio.fail_after(100):
        found = await observe(there.session(), Scope(), lambda _: None, Company(ready=Wire(there, asked), meanwhile=ask))
    assert [facts.pods for facts in seen] == [found.facts.pods]
