"""What holds for every gate, whatever was seen."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from meshinstall.model.gate import GateOutcome, Moved, NamespaceSeen, PlaneMoved, ProxiesSeen, Snapshot, WebhookSeen, WorkloadSeen
from meshinstall.model.mesh import SyncState
from meshinstall.model.place import Place
from meshinstall.model.verdict import Outcome, PortVerdict, Source
from tests.unit.checks.moving.gate_worlds import (
    EVERYTHING,
    FAIL,
    GATE,
    LOANS,
    NEW,
    OTHER_ROOT,
    PASS,
    PAY,
    ROOT,
    TENANTS,
    WEB,
    bad,
    check,
    error,
    moved_to_new,
    outcome,
    plane,
    proxies,
    row,
    start,
    with_rows,
    with_space,
    with_workload,
)

RANK = {FAIL: 0, GateOutcome.NOT_PROVEN: 1, PASS: 2}
HOW = st.sampled_from([Outcome.PASS, Outcome.NOT_PROVEN, Outcome.FAIL])
WORSE = st.sampled_from([Outcome.NOT_PROVEN, Outcome.FAIL])
SOURCES = st.sampled_from([Source.PROXY, Source.WIRE, Source.POLICY, Source.CLIENT])
NAMES = st.sampled_from(["Deployment new", "Pod x", "Job \x1b[0m", "StatefulSet web"])


@st.composite
def rows(draw: st.DrawFn, place: Place) -> PortVerdict:
    how = draw(HOW)
    return row(place) if how is Outcome.PASS else bad(place, how, draw(SOURCES))


@st.composite
def workloads(draw: st.DrawFn) -> WorkloadSeen:
    pods = draw(st.integers(0, 4))
    ready = draw(st.integers(0, pods))
    some: tuple[ProxiesSeen, ...] = ()
    if ready:
        words = draw(st.sampled_from(["", "it does not answer"]))
        revision = draw(st.sampled_from(["", "default", "1-31"]))
        some = (
            proxies(
                revision, draw(st.sampled_from(["", "1.30.4", "1.31.0"])), draw(st.sampled_from(SyncState)), problem=words, count=ready
            ),
        )
    seen = start().workloads[WEB]
    return replace(
        seen,
        pods=pods,
        ready=ready,
        restarts=draw(st.integers(0, 2)),
        wanted=draw(st.none() | st.integers(0, 4)),
        recipes=frozenset(draw(st.sampled_from("rx"))),
        labelled=frozenset(draw(st.sampled_from("lx"))),
        proxies=some,
        is_aside=draw(st.booleans()),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Anything that may be seen of the mesh."""
    seen = moved_to_new(start(), *draw(st.lists(st.sampled_from(EVERYTHING))))
    for place in draw(st.lists(st.sampled_from(EVERYTHING), max_size=3)):
        seen = with_workload(with_rows(seen, draw(rows(place))), place)
        seen = replace(seen, workloads={**seen.workloads, place: draw(workloads())})
    if draw(st.booleans()):
        space = NamespaceSeen(roots=draw(st.sampled_from([(), (ROOT,), (OTHER_ROOT,)])), policies=draw(st.sampled_from(["", "x"])))
        seen = replace(seen, namespaces={**seen.namespaces, draw(st.sampled_from(["bank", "shop", "edge"])): space})
    return replace(seen, unread=draw(st.frozensets(st.sampled_from(["Pod", "Namespace", "ConfigMap", "Deployment"]), max_size=1)))


@st.composite
def stages(draw: st.DrawFn) -> Moved:
    return Moved(
        planes=draw(st.sampled_from([(), (PlaneMoved("1-31", NEW),)])),
        gateways=draw(st.sampled_from([(), (GATE,)])),
        namespaces=draw(st.sampled_from([(), ("shop",), ("bank", "loan")])),
        workloads=tuple(draw(st.lists(st.sampled_from(TENANTS), unique=True))),
        revision="1-31",
        version=NEW,
    )


@given(snapshots(), snapshots(), stages())
def test_insisting_on_everything_never_makes_it_better(before: Snapshot, after: Snapshot, moved: Moved) -> None:
    assert RANK[outcome(before, after, moved, require_pass=True)] <= RANK[outcome(before, after, moved)]


@given(st.data())
def test_what_tenants_do_whose_workloads_were_not_moved_never_counts(data: st.DataObject) -> None:
    """The tenant ``bank`` does anything at all while another's workload, or a gateway, is moved."""
    before = start()
    moved = Moved(workloads=(WEB,), gateways=(GATE,), namespaces=("shop",), revision="1-31", version=NEW)
    after = moved_to_new(before, WEB, GATE)
    for place in (PAY, Place("bank", data.draw(NAMES))):
        after = with_rows(after, data.draw(rows(place)))
        after = replace(after, workloads={**after.workloads, place: data.draw(workloads())})
    space = NamespaceSeen(
        data.draw(st.sampled_from(["", "default", "no-such"])),
        data.draw(st.sampled_from([(), (ROOT,), (OTHER_ROOT,)])),
        data.draw(st.sampled_from(["", "x"])),
        data.draw(st.sampled_from(["", "x"])),
    )
    assert outcome(before, replace(after, namespaces={**after.namespaces, "bank": space}), moved) is PASS


@given(st.sampled_from(EVERYTHING), WORSE, SOURCES, snapshots())
def test_a_moved_row_that_became_worse_is_never_pass(place: Place, how: Outcome, source: Source, noise: Snapshot) -> None:
    """Whatever happens elsewhere, as long as its owner changed nothing."""
    before = start()
    mine = {**noise.workloads, place: before.workloads[place]}
    after = replace(with_rows(noise, bad(place, how, source)), workloads=mine, namespaces=before.namespaces)
    gateways, others = ((place,), ()) if place == GATE else ((), (place,))
    assert outcome(before, after, Moved(workloads=others, gateways=gateways)) is not PASS


@given(st.sampled_from(["Pod", "Namespace", "ConfigMap"]), snapshots(), stages(), st.booleans())
def test_what_could_not_be_read_and_matters_is_never_pass(kind: str, after: Snapshot, moved: Moved, insisting: bool) -> None:  # noqa: FBT001 - drawn
    blind = replace(after, unread=frozenset({kind}))
    assert outcome(start(), blind, moved, require_pass=insisting) is not PASS


@st.composite
def harms(draw: st.DrawFn, seen: Snapshot) -> Snapshot:
    """One thing that is worse than before; which workloads and rows there are stays the same."""
    place = draw(st.sampled_from([one for one in EVERYTHING if one in seen.workloads]))
    there = seen.workloads[place]
    less = tuple(replace(one, count=min(one.count, max(there.ready - 1, 0)), sync=SyncState.REJECTED) for one in there.proxies)
    kinds: list[Snapshot] = [
        with_workload(seen, place, restarts=there.restarts + 1),
        with_workload(seen, place, proxies=tuple(replace(one, sync=SyncState.REJECTED, words="no") for one in there.proxies)),
        with_workload(seen, place, ready=max(there.ready - 1, 0), proxies=less if there.ready > 1 else ()),
        with_rows(seen, bad(place, Outcome.FAIL, draw(SOURCES)), bad(place, Outcome.FAIL, Source.CLIENT)),
        with_space(seen, draw(st.sampled_from(["istio-system", "shop", "edge"])), roots=(OTHER_ROOT,)),
        replace(seen, planes=tuple(replace(one, ready=0) for one in seen.planes)),
        replace(seen, planes=(*seen.planes[:1], plane("1-31", "1.31.0", roots=(OTHER_ROOT,)))),
        replace(seen, webhooks=tuple(replace(one, trouble="they do not answer") for one in seen.webhooks)),
        replace(seen, checks=(*seen.checks, check("CHK005", Outcome.FAIL, error("CHK005")))),
        replace(seen, unread=seen.unread | {"Pod"}),
    ]
    return draw(st.sampled_from(kinds))


@given(st.data(), stages())
def test_making_it_worse_never_makes_the_outcome_better(data: st.DataObject, moved: Moved) -> None:
    before, after = data.draw(snapshots()), data.draw(snapshots())
    worse = data.draw(harms(after))
    assert RANK[outcome(before, worse, moved)] <= RANK[outcome(before, after, moved)]


@given(snapshots(), stages())
def test_a_stage_after_which_all_is_as_it_was_stops_nothing_of_the_mesh(seen: Snapshot, moved: Moved) -> None:
    """Rows, findings, roots and webhooks that are what they were: only what the stage was to reach may be missing."""
    same = replace(seen, unread=frozenset[str]())
    planes = ("1-31",) if "1-31" in {one.revision for one in same.planes} else ()
    target = replace(moved, workloads=(), gateways=(), revision="", version=None, planes=tuple(PlaneMoved(one, NEW) for one in planes))
    assert outcome(same, same, target) is PASS
    assert WebhookSeen("1-31", "1.31.0") in same.webhooks
    assert LOANS in same.workloads
