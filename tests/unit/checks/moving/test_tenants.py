"""What one tenant does during an upgrade neither stops it for the others nor sends them back."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from meshinstall.model.gate import Moved, NamespaceSeen, Snapshot
from meshinstall.model.mesh import Dataplane, SyncState
from meshinstall.model.place import Place
from meshinstall.model.verdict import Outcome, Source
from tests.unit.checks.moving.gate_worlds import (
    FAIL,
    GATE,
    IN_PLACE,
    MTLS,
    PASS,
    PAY,
    PLANE,
    READY,
    WEB,
    bad,
    gate,
    moved_to_new,
    moving,
    outcome,
    plane,
    proxies,
    row,
    start,
    with_rows,
    with_space,
    with_workload,
    without_workload,
    workload,
)

START = start()
CRASHING = {"pods": 3, "ready": 0, "restarts": 50, "proxies": ()}
NEW = Place("bank", "Deployment new")
# A name that Kubernetes would refuse, and a reader might not.
HOSTILE = Place("bank", "Pod ::error::x\nPASS \x1b[2J" + "x" * 5000)

Change = Callable[[Snapshot], Snapshot]

# What the owner of ``bank`` may do at any time, whatever else is moved.
NEIGHBOURS: dict[str, Change] = {
    "scales up, and no node has room": lambda seen: with_workload(seen, PAY, pods=100, wanted=100, ready=2),
    "scales down": lambda seen: with_workload(seen, PAY, pods=1, wanted=1, ready=1),
    "scales to nothing": lambda seen: with_workload(seen, PAY, pods=0, wanted=0, ready=0, proxies=()),
    "removes a workload": lambda seen: without_workload(seen, PAY),
    "lets a workload crash": lambda seen: with_workload(with_rows(seen, bad(PAY, Outcome.NOT_PROVEN)), PAY, **CRASHING),
    "makes pods that crash": lambda seen: with_workload(with_rows(seen, bad(NEW, Outcome.NOT_PROVEN)), NEW, **CRASHING),
    "makes a pod without a proxy": lambda seen: with_workload(with_rows(seen, bad(NEW)), NEW, dataplane=Dataplane.NONE, proxies=()),
    "makes a pod with UID 1337": lambda seen: with_workload(with_rows(seen, bad(NEW)), NEW, is_aside=True),
    "makes a pod with a hostile name": lambda seen: with_workload(with_rows(seen, bad(HOSTILE)), HOSTILE, **CRASHING),
    "puts UID 1337 into what runs": lambda seen: with_workload(
        with_rows(seen, bad(PAY)), PAY, is_aside=True, recipes=frozenset("x"), labelled=frozenset("x")
    ),
    "stops its proxy": lambda seen: with_workload(
        with_rows(seen, bad(PAY, Outcome.NOT_PROVEN)), PAY, is_aside=True, proxies=(proxies(problem="it does not answer"),)
    ),
    "lets its proxy reject everything": lambda seen: with_workload(seen, PAY, proxies=(proxies(sync=SyncState.REJECTED),)),
    "opens its ports by a policy": lambda seen: with_space(with_rows(seen, bad(PAY, Outcome.FAIL, Source.POLICY)), "bank", policies="x"),
    "flushes iptables": lambda seen: with_rows(seen, bad(PAY, Outcome.FAIL, Source.WIRE)),
    "sends plaintext": lambda seen: with_rows(seen, bad(PAY, Outcome.FAIL, Source.CLIENT)),
    "writes another root": lambda seen: with_space(seen, "bank", roots=("c" * 64,)),
    "makes a namespace": lambda seen: with_space(with_rows(seen, bad(Place("new", "Deployment x"))), "new", selector="no-such"),
    "removes its namespace": lambda seen: replace(
        without_workload(seen, PAY), namespaces={name: space for name, space in seen.namespaces.items() if name != "bank"}
    ),
    "asks for another revision": lambda seen: with_space(seen, "bank", selector="no-such"),
}
STAGES: dict[str, tuple[Snapshot, Moved]] = {
    "crds": (START, Moved()),
    "a second istiod": (moved_to_new(START), PLANE),
    "an istiod in place": (
        replace(START, planes=(plane(version="1.31.0"),), webhooks=(replace(START.webhooks[0], version="1.31.0"),)),
        IN_PLACE,
    ),
    "a gateway": (moved_to_new(START, GATE), moving(gateways=[GATE])),
    "a tag": (moved_to_new(START), Moved(namespaces=("shop",), revision="1-31")),
    "a workload": (moved_to_new(START, WEB), moving(WEB)),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("change", NEIGHBOURS)
def test_a_neighbour_stops_nothing(stage: str, change: str) -> None:
    after, moved = STAGES[stage]
    assert outcome(START, NEIGHBOURS[change](after), moved) is PASS


# The same by the owner of what the stage moves: it is his, and no fault of the stage.
OWNERS: dict[str, Change] = {
    "scales up, and no node has room": NEIGHBOURS["scales up, and no node has room"],
    "scales down": NEIGHBOURS["scales down"],
    "scales to nothing": NEIGHBOURS["scales to nothing"],
    "removes a workload": NEIGHBOURS["removes a workload"],
    "makes pods that crash": NEIGHBOURS["makes pods that crash"],
    "makes a pod with UID 1337": NEIGHBOURS["makes a pod with UID 1337"],
    "makes a pod with a hostile name": NEIGHBOURS["makes a pod with a hostile name"],
    "puts UID 1337 into what runs": NEIGHBOURS["puts UID 1337 into what runs"],
    "brings a new image that crashes": lambda seen: with_workload(
        with_rows(seen, bad(PAY, Outcome.NOT_PROVEN)), PAY, recipes=frozenset("xr"), **CRASHING
    ),
    "opens its ports by a policy": NEIGHBOURS["opens its ports by a policy"],
}


@pytest.mark.parametrize("moved", [moving(PAY), Moved(namespaces=("bank",), revision="1-31")], ids=["restarted", "tagged"])
@pytest.mark.parametrize("change", OWNERS)
def test_what_its_owner_changed_meanwhile_does_not_count(change: str, moved: Moved) -> None:
    assert outcome(START, OWNERS[change](moved_to_new(START, PAY)), moved) is PASS


def test_what_does_not_count_is_listed() -> None:
    after = OWNERS["brings a new image that crashes"](moved_to_new(START, PAY))
    found = gate(START, after, moving(PAY))
    assert found[READY].evidence == ("bank/Deployment pay does not count: its owner changed it during this run",)
    assert found[MTLS].evidence == (
        "bank/Deployment pay port 8080 is NOT PROVEN, and does not count: its owner changed it during this run",
    )


def test_a_workload_of_which_pods_cannot_be_made_is_not_one_that_was_removed() -> None:
    after = with_workload(without_workload(moved_to_new(START, PAY), PAY), PAY, pods=0, ready=0, wanted=2, proxies=())
    assert gate(START, after, moving(PAY))[READY].outcome is FAIL
    blind = replace(without_workload(moved_to_new(START, PAY), PAY), unread=frozenset({"Deployment"}))
    assert gate(START, blind, moving(PAY))[READY].outcome is not PASS


def test_policies_of_the_mesh_itself_excuse_nothing() -> None:
    after = with_space(
        with_rows(moved_to_new(START, PAY), bad(PAY, Outcome.FAIL, Source.POLICY)), "istio-system", policies="x", objects="x"
    )
    assert outcome(START, after, moving(PAY)) is FAIL


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("DestinationRule bank/plain", PASS),  # a neighbour's, which is new
        ("ServiceEntry new/steals", PASS),  # a new namespace's
        ("DestinationRule istio-system/plain", FAIL),
        ("DestinationRule loan/plain", FAIL),  # nobody changed anything there
        ("Pod shop/web-1", FAIL),
        ("", FAIL),
    ],
)
def test_objects_that_a_tenant_made_do_not_send_others_back(where: str, expected: object) -> None:
    after = with_rows(moved_to_new(START, WEB), bad(WEB, Outcome.FAIL, Source.CLIENT, where))
    after = with_space(with_space(after, "bank", objects="x"), "new", objects="x")
    assert outcome(START, with_space(after, "istio-system", objects="x"), moving(WEB)) is expected


def test_a_rule_beside_a_gateway_that_lets_it_send_plaintext_counts_against_the_gateway() -> None:
    """It is new, in the namespace of the gateway, and what the gateway calls was not moved."""
    after = with_space(moved_to_new(START, GATE), "edge", objects="x")
    reached = bad(WEB, Outcome.FAIL, Source.CLIENT, "DestinationRule edge/plain")
    assert outcome(START, replace(after, reached=(reached,)), moving(gateways=[GATE])) is FAIL
    # Of the same in a tenant's namespace the gateway knows nothing that a tenant did not do.
    theirs = bad(WEB, Outcome.FAIL, Source.CLIENT, "DestinationRule bank/plain")
    after = with_space(after, "bank", objects="x")
    assert outcome(START, replace(after, reached=(theirs,)), moving(gateways=[GATE])) is PASS


def test_new_objects_of_a_tenant_whose_istiod_was_moved_excuse_its_rows() -> None:
    after, moved = STAGES["an istiod in place"]
    both = with_rows(after, bad(PAY), bad(WEB))
    assert outcome(START, both, moved) is FAIL
    assert outcome(START, with_space(both, "bank", policies="x"), moved) is PASS
    assert outcome(START, with_space(both, "bank", objects="x"), moved) is PASS


def test_of_several_reasons_one_that_is_nobodys_counts() -> None:
    both = row(
        WEB,
        *(one for place in ("DestinationRule bank/x", "Pod shop/web-1") for one in bad(WEB, Outcome.FAIL, Source.CLIENT, place).evidence),
    )
    after = with_space(with_rows(moved_to_new(START, WEB), replace(both, outcome=Outcome.FAIL)), "bank", objects="x")
    assert outcome(START, after, moving(WEB)) is FAIL


def test_hostile_names_do_not_write_lines_of_ours() -> None:
    before = with_workload(with_rows(START, row(HOSTILE)), HOSTILE)
    after = with_workload(with_rows(before, bad(HOSTILE)), HOSTILE, ready=0)
    for check in gate(before, after, moving(HOSTILE)).values():
        for text in (check.words, *check.evidence):
            assert text.isprintable()
            assert len(text) < 4100
            assert "::error" not in text


def test_a_gateway_belongs_to_nobody_and_what_is_changed_there_counts() -> None:
    after = with_workload(with_rows(moved_to_new(START, GATE), bad(GATE)), GATE, recipes=frozenset("x"), labelled=frozenset("x"))
    after = with_space(after, "edge", policies="x", objects="x")
    assert outcome(START, after, moving(gateways=[GATE])) is FAIL


def test_a_namespace_of_its_own_is_to_blame_and_no_other() -> None:
    after = with_rows(moved_to_new(START, WEB, PAY), bad(PAY))
    assert gate(START, after, moving(WEB, PAY))[MTLS].namespaces == ("bank",)
    assert workload().ready == 2
    assert START.namespaces["bank"] == NamespaceSeen("default", ("a" * 64,))
