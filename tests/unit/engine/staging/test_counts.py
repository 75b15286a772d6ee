"""What a run tells of what its gates counted: proxies where they changed, requests of each gate, and all of it at the end."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat

import pytest

from meshinstall.engine.events import GateJudged, ProxiesCounted, RequestsMade, StageEnded, StageStarted, StageWaiting
from meshinstall.engine.gates.snapshot import Since
from meshinstall.engine.session import Session
from meshinstall.engine.staging.terms import End
from meshinstall.model.desired import Desired
from meshinstall.model.gate import ProxiesSeen, Snapshot, WebhookSeen, WorkloadSeen
from meshinstall.model.mesh import Dataplane, SyncState
from meshinstall.model.place import Place
from meshinstall.model.tally import ProxyGroup, Requests
from meshinstall.model.upgrade import StageName
from meshinstall.model.verdict import Verdict
from tests.fake_kube import now
from tests.unit.engine.staging.upgrading import FAIL, Gates, Upgrade, start

pytestmark = pytest.mark.anyio

NEWS = ProxiesSeen("1-31", "1.31.0", SyncState.SYNCED, 1)
OLDS = ProxiesSeen("default", "1.30.4", SyncState.SYNCED, 3)
ONE_FAILED = Requests(4, 1, ("shop/web-1:8080 (plaintext): no answer in time",))


@dataclass
class Counting(Gates):
    """Gates that see these proxies one look after the other, the last ones again and again."""

    sees: Iterator[tuple[ProxiesSeen, ...]] = field(default_factory=lambda: repeat((OLDS,)))

    async def _look(self, session: Session, desired: Desired, emit: object, *, since: Since | None = None) -> Snapshot:  # noqa: ARG002
        workload = WorkloadSeen(Dataplane.SIDECAR, 3, 3, 0, proxies=next(self.sees))
        return Snapshot(
            now(),
            Verdict(now(), session.cluster, ()),
            workloads={Place("shop", "Deployment web"): workload},
            webhooks=(WebhookSeen("default", "1.30.4", "another one answers"),),
            requests=ONE_FAILED,
        )


async def test_proxies_are_told_at_the_start_and_where_they_changed_after_the_gate_that_saw_it() -> None:
    gates = Counting(sees=chain([(OLDS,), (OLDS,), (OLDS, NEWS)], repeat((OLDS, NEWS))))
    upgrade = Upgrade(await start(), gates)
    await upgrade.to(until=StageName.CONTROL_PLANE)
    kinds = (StageStarted, GateJudged, ProxiesCounted, StageEnded)
    told = [type(event) for event in upgrade.events if isinstance(event, kinds)]
    assert told == [ProxiesCounted, StageStarted, GateJudged, StageEnded, StageStarted, GateJudged, ProxiesCounted, StageEnded]
    last = [event for event in upgrade.events if isinstance(event, ProxiesCounted)][-1]
    assert last.tally.groups == (ProxyGroup("default", "1.30.4", 3), ProxyGroup("1-31", "1.31.0", 1))


async def test_requests_are_told_after_each_look_with_their_sum_and_a_failure_is_named_once() -> None:
    upgrade = Upgrade(await start(), Counting())
    result = await upgrade.to(until=StageName.CONTROL_PLANE)
    told = [event for event in upgrade.events if isinstance(event, RequestsMade)]
    assert [event.requests.asked for event in told] == [5, 5, 5]
    assert [event.total.asked for event in told] == [5, 10, 15]
    assert [len(event.requests.failures) for event in told] == [2, 0, 0]
    assert (result.counted.requests.asked, result.counted.requests.failed) == (15, 6)


async def test_an_injector_that_the_upgrade_switched_off_is_no_failure() -> None:
    upgrade = Upgrade(await start(has_tenants=False), Counting())
    result = await upgrade.to()
    assert result.end is End.DONE
    failed = [event.requests.failed for event in upgrade.events if isinstance(event, RequestsMade)]
    # The wire fails in all of them, the webhook until the stage of tags.
    assert failed[0] == 2
    assert failed[-1] == 1


async def test_the_result_has_what_the_last_gate_saw_also_where_a_stage_was_taken_back() -> None:
    gates = Counting(sees=chain([(OLDS,), (OLDS,)], repeat((OLDS, NEWS))))
    gates.says["control-plane 1-31"] = FAIL
    result = await Upgrade(await start(), gates).to()
    assert result.end is End.UNDONE
    assert result.counted.proxies is not None
    assert result.counted.proxies.groups[-1] == ProxyGroup("1-31", "1.31.0", 1)


async def test_before_the_first_look_it_says_what_it_does() -> None:
    upgrade = Upgrade(await start(), Counting())
    await upgrade.to(until=StageName.CRDS)
    first = next(event for event in upgrade.events if isinstance(event, StageWaiting | ProxiesCounted))
    assert first == StageWaiting("start", "looking at the mesh before the first stage")
