"""A night on a cluster in memory: what it moves, where it stops, and what it says of it."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import pytest

from meshinstall.config.lockfile import Lock
from meshinstall.engine.events import Event, StageEnded, StageWaiting
from meshinstall.engine.nightly.night import NightRun
from meshinstall.engine.planning import make_plan
from meshinstall.engine.session import Session
from meshinstall.engine.staging.terms import Callbacks, Terms
from meshinstall.errors import InterruptedRunError, PlanRefusedError, UsageError
from meshinstall.model.desired import Desired, Policy
from meshinstall.model.gate import GateOutcome
from meshinstall.model.night import Night, NightEnd
from meshinstall.model.release import ChartRef
from meshinstall.model.upgrade import StageName
from meshinstall.model.values import LayerKind, Origin
from meshinstall.model.version import is_full
from meshinstall.model.waves import Wave
from meshinstall.model.windows import Kind, Window, Windows
from tests.fake_kube import NOON, forbidden
from tests.fakes import World, digest_of
from tests.unit.engine import stages
from tests.unit.engine.staging.living import INGRESS
from tests.unit.engine.staging.upgrading import Gates, Upgrade, agree, files, proxies, restart, start, state

pytestmark = pytest.mark.anyio

PATCH = "1.30.5"
# Noon of a Saturday is when these tests begin.
OPEN = Windows((Window(Kind.ALLOW, "0 10 * * *", timedelta(hours=4), "Europe/Berlin"),))
CLOSED = Windows((Window(Kind.ALLOW, "0 22 * * 1-5", timedelta(hours=4), "Europe/Berlin"),))


POLICIES = tuple(
    Policy(
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"action": action, "rules": [{"from": [{"source": {"namespaces": ["pay"]}}]}]},
        },
        Origin(LayerKind.PROJECT, f"policies/base/{name}.yaml", 1),
    )
    for name, action in (("deny", "DENY"), ("web", "ALLOW"))
)


def lock(*versions: str) -> Lock:
    """Every chart of the mesh, pinned at these versions."""
    names = {release.chart.name for release in files().releases}
    return Lock(tuple(ChartRef(name, version, "oci://charts", digest_of(name, version)) for name in names for version in versions))


@dataclass
class Nights:
    """A mesh, and the files that its nights go by."""

    there: World
    written: str = "1.30"
    pins: Lock = field(default_factory=lambda: lock("1.30.4", PATCH))
    trusts_source: bool = False
    windows: Windows = OPEN
    waves: tuple[Wave, ...] = ()
    policies: tuple[Policy, ...] | None = None
    gates: Gates = field(default_factory=Gates)
    terms: dict[str, object] = field(default_factory=dict)
    late: timedelta = timedelta()
    at: Callable[[Event], None] = lambda _: None
    runs: list[NightRun] = field(default_factory=list)

    def files(self, version: str | None = None, revisions: bool | None = None) -> Desired:  # noqa: FBT001 - as Resolve has it
        """What they say."""
        # One value of a gateway is the version's, which a minor does not have yet.
        found = files(version or (self.written if is_full(self.written) else PATCH), revisions)
        if not version and not is_full(self.written):
            minor = tuple(replace(one, chart=replace(one.chart, version=self.written)) for one in found.releases)
            found = replace(found, istio_version=self.written, releases=minor)
        return replace(found, windows=self.windows, waves=self.waves, layered=self.policies, version_origin="meshinstall.yaml:2")

    async def night(self) -> Night:
        """One of them."""
        terms = Terms(judges=self.gates.judges(), **self.terms)  # type: ignore[arg-type] # a test's own
        run = NightRun(self.files, self.session(), terms, Callbacks(lambda _: None, agree, self._hear), self.trusts_source)
        self.runs.append(run)
        return await run.run()

    def session(self) -> Session:
        """The cluster, at a time that a test moves."""
        session = self.there.session()
        return replace(session, chart_pins=self.pins, now=lambda: session.now() + self.late)

    def _hear(self, event: Event) -> None:
        self.gates.stage = getattr(event, "stage", self.gates.stage)
        self.at(event)


async def test_waves_end_with_the_window_and_the_next_night_restarts_the_rest() -> None:
    there = await start()
    nights = Nights(there, waves=(Wave("first", ("lab",)), Wave("rest", ("*",))))

    def close(event: Event) -> None:
        if isinstance(event, StageWaiting) and event.reason.startswith("restarting Deployment lab/web"):
            nights.late = timedelta(hours=2)

    nights.at = close
    night = await nights.night()
    assert (night.end, night.stage, night.status) == (NightEnd.PAUSED, StageName.WORKLOADS, 0), night.why
    assert "window is closed" in night.why
    assert [proxies(there)[place] for place in ("lab/web", "shop/web")] == [[("default", PATCH)], [("default", "1.30.4")]]
    # What was begun was judged.
    assert "workloads wave first (1 of 2)" in [gate.stage for gate in night.gates]
    nights.at, nights.late = lambda _: None, timedelta(hours=24)
    night = await nights.night()
    assert (night.end, night.left) == (NightEnd.DONE, ()), night.why
    assert proxies(there)["shop/web"] == [("default", PATCH)]
    assert len([call for call in there.kube.calls if call.startswith("PATCH /apis/apps/v1/namespaces/lab/")]) == 1


async def test_a_patch_of_the_lock_comes_and_what_owners_have_to_restart_is_left_to_them() -> None:
    there = await start()
    nights = Nights(there)
    night = await nights.night()
    assert (night.end, night.before, night.target) == (NightEnd.LEFT, "1.30.4", PATCH)
    assert night.status == 3
    assert night.left == ("Deployment lab/web: 1.30.4 → 1.30.5", "Deployment shop/web: 1.30.4 → 1.30.5")
    assert proxies(there)[f"{INGRESS}/public"] == [("default", PATCH)]
    assert [stage.end for stage in night.stages if stage.name == "gateways"] == ["done"]
    # The next night asks for no lock and moves nothing.
    before = state(there)
    again = await nights.night()
    assert (again.end, again.left, again.stages) == (NightEnd.LEFT, night.left, ())
    assert state(there) == before
    for space in ("lab", "shop"):
        restart(there, space)
    done = await nights.night()
    assert (done.end, done.before, done.status) == (NightEnd.NOTHING, PATCH, 0)


async def test_after_a_night_that_is_done_the_plan_with_the_same_files_is_empty() -> None:
    nights = Nights(await start(has_tenants=False))
    night = await nights.night()
    assert night.end is NightEnd.DONE
    assert (await make_plan(nights.files(), nights.session())).is_empty
    assert night.sight is not None
    assert [(one.version, one.count) for one in night.sight.proxies] == [(PATCH, 2)]
    assert night.sight.support_ends == (("1.30", date(2026, 11, 30)),)


async def test_a_night_neither_changes_nor_forgets_policies_and_the_plan_after_it_is_empty() -> None:
    nights = Nights(await start(has_tenants=False), policies=POLICIES)
    before = await policies_of(nights)
    nights.there.kube.calls.clear()
    assert (await nights.night()).end is NightEnd.DONE
    assert [call for call in nights.there.kube.calls if "authorizationpolicies/" in call] == []
    assert policies_there(nights) == before
    assert (await make_plan(nights.files(), nights.session())).is_empty


async def test_a_night_without_the_files_of_policies_leaves_them_and_says_that_plan_would_not() -> None:
    nights = Nights(await start(has_tenants=False), policies=POLICIES)
    before = await policies_of(nights)
    nights.policies = ()
    night = await nights.night()
    assert night.end is NightEnd.CHANGES
    assert night.why == "meshinstall plan has what no night does: AuthorizationPolicy/shop/web, AuthorizationPolicy/shop/deny"
    assert policies_there(nights) == before


async def test_a_night_that_may_not_list_policies_does_not_say_that_they_are_missing() -> None:
    nights = Nights(await start(has_tenants=False), policies=POLICIES)
    await policies_of(nights)
    nights.there.kube.refusals["LIST /apis/security.istio.io/v1/authorizationpolicies"] = forbidden("list authorizationpolicies")
    night = await nights.night()
    assert night.end is NightEnd.CHANGES
    assert night.why.startswith("policies that files describe could not be listed (")


async def policies_of(nights: Nights) -> dict[str, object]:
    """What ``up`` makes of the files' policies before the night, by their paths."""
    nights.there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    await stages.up(nights.there, replace(files(), layered=nights.policies), [])
    found = policies_there(nights)
    assert len(found) == len(POLICIES)
    return found


def policies_there(nights: Nights) -> dict[str, object]:
    return {path: deepcopy(item) for path, item in nights.there.kube.objects.items() if "authorizationpolicies" in path}


async def test_a_night_with_nothing_to_do_starts_no_helm() -> None:
    there = await start(has_tenants=False)
    nights = Nights(there)
    asked: list[str] = []

    async def version() -> str:
        asked.append("version")
        return "4.0.0"

    there.helm.version = version  # type: ignore[method-assign]
    assert (await nights.night()).end is NightEnd.DONE
    assert asked != []
    asked.clear()
    assert (await nights.night()).end is NightEnd.NOTHING
    assert asked == []


async def test_what_plan_wants_beside_an_upgrade_is_told() -> None:
    nights = Nights(await start(has_tenants=False))
    await nights.night()
    nights.there.releases.records = {
        key: replace(one, values={**one.values, "edited": True}) if key.name == "istiod" else one
        for key, one in nights.there.releases.records.items()
    }
    night = await nights.night()
    assert night.end is NightEnd.CHANGES
    assert night.status == 3
    assert night.why.startswith("meshinstall plan has what no night does: ")


async def test_outside_of_the_windows_nothing_is_asked() -> None:
    there = await start()
    there.kube.calls.clear()
    night = await Nights(there, windows=CLOSED).night()
    assert (night.end, night.status) == (NightEnd.OUTSIDE, 0)
    assert night.next_open == datetime(2026, 11, 23, 21, tzinfo=UTC)
    assert there.kube.calls == []
    assert night.sight is None


async def test_a_window_that_closes_ends_the_night_between_two_pieces_and_the_next_one_continues() -> None:
    there = await start()
    nights = Nights(there)

    def close(event: Event) -> None:
        if isinstance(event, StageEnded) and event.stage == "control-plane":
            nights.late = timedelta(hours=2)

    nights.at = close
    night = await nights.night()
    assert (night.end, night.stage, night.status) == (NightEnd.PAUSED, "gateways", 0)
    assert night.why == "its window is closed, and the next one opens on Sun 2026-11-22 10:00 Europe/Berlin"
    assert proxies(there)[f"{INGRESS}/public"] == [("default", "1.30.4")]
    nights.at, nights.late = lambda _: None, timedelta(hours=22)
    night = await nights.night()
    assert night.end is NightEnd.LEFT
    assert next(stage.name for stage in night.stages) == "gateways"


async def test_a_window_may_close_between_the_pieces_of_one_stage() -> None:
    there = await start()
    nights = Nights(there)
    waits: list[str] = []

    def close(_: Event) -> None:
        if f"{INGRESS}/Deployment public" in " ".join(nights.gates.asked) and not waits:
            waits.append("closed")
            nights.late = timedelta(hours=2)

    nights.at = close
    night = await nights.night()
    assert (night.end, night.stage) == (NightEnd.PAUSED, "gateways")
    found = proxies(there)
    assert found[f"{INGRESS}/public"] == [("default", PATCH)]
    assert found[f"{INGRESS}/partners"] == [("default", "1.30.4")]


async def test_a_piece_that_fails_is_taken_back_and_reported() -> None:
    there = await start()
    nights = Nights(there)
    nights.gates.says["control-plane default"] = GateOutcome.FAIL
    before = proxies(there)
    night = await nights.night()
    assert (night.end, night.stage, night.status) == (NightEnd.UNDONE, "control-plane", 1)
    assert proxies(there) == before
    assert night.gates[-1].outcome is GateOutcome.FAIL


async def test_what_is_pinned_and_not_known_is_refused() -> None:
    there = await start()
    before = state(there)
    night = await Nights(there, pins=lock("1.30.4", "1.30.9")).night()
    assert (night.end, night.status) == (NightEnd.REFUSED, 1)
    assert night.why.startswith("meshinstall.lock: 1.30.9 is not known to this meshinstall, whose tables are of ")
    assert state(there) == before


async def test_of_a_source_the_newest_that_is_known_is_taken_and_newer_ones_are_named() -> None:
    there = await start(has_tenants=False)
    names = {release.chart.name for release in files().releases}
    there.charts.offered = dict.fromkeys(names, ("1.30.4", PATCH, "1.30.9", "1.31.0"))
    night = await Nights(there, pins=Lock(()), trusts_source=True).night()
    assert (night.end, night.target) == (NightEnd.DONE, PATCH)
    assert [one.split()[0] for one in night.passed] == ["1.30.9"]


async def test_without_a_lock_a_source_must_be_trusted_by_name() -> None:
    with pytest.raises(UsageError) as raised:
        await Nights(await start(), pins=Lock(())).night()
    assert "meshinstall.lock" in raised.value.message
    assert "trust: source" in raised.value.hint


async def test_a_minor_that_lacks_a_fix_is_not_begun_and_is_continued_when_somebody_began_it() -> None:
    there = await start()
    nights = Nights(there, written="1.31.0", pins=lock("1.31.0"))
    night = await nights.night()
    assert night.end is NightEnd.REFUSED
    assert "1.31.0 lacks what runs has" in night.why
    await Upgrade(there).to(until=StageName.CONTROL_PLANE)
    night = await NightsWithRevisions(there, written="1.31.0", pins=lock("1.31.0")).night()
    assert (night.end, night.target, night.stage) == (NightEnd.LEFT, "1.31.0", "workloads")


class NightsWithRevisions(Nights):
    """The same, with files that say revisions: true."""

    def files(self, version: str | None = None, revisions: bool | None = None) -> Desired:  # noqa: FBT001 - as Resolve has it
        """What they say."""
        return super().files(version, True if revisions is None else revisions)


async def test_files_that_would_not_say_what_runs_afterwards_are_refused() -> None:
    there = await start()
    await Upgrade(there).to(until=StageName.CONTROL_PLANE)
    night = await Nights(there, written="1.31.0", pins=lock("1.31.0")).night()
    assert night.end is NightEnd.REFUSED
    assert "write istio: {revisions: true} first" in night.why


async def test_a_finding_that_stops_an_upgrade_stops_a_night() -> None:
    there = await start()
    del there.kube.objects["/apis/apps/v1/namespaces/istio-system/deployments/istiod"]
    nights = Nights(there)
    with pytest.raises(PlanRefusedError) as raised:
        await nights.night()
    night = nights.runs[0].stopped_by(raised.value)
    assert (night.end, night.status) == (NightEnd.FAILED, 1)
    assert night.why.startswith("PRE039: the cluster has no control plane to upgrade")


async def test_a_night_that_is_interrupted_has_the_stages_that_ended() -> None:
    nights = Nights(await start(has_tenants=False))
    await nights.night()
    night = nights.runs[0].stopped_by(InterruptedRunError("interrupted", "run it again"))
    assert (night.end, night.status) == (NightEnd.INTERRUPTED, 130)
    assert [stage.name for stage in night.stages] == ["crds", "control-plane", "gateways"]
    assert night.began >= NOON
