"""What a night decides where the files, the tables and what runs disagree."""

from dataclasses import replace
from datetime import UTC, date, datetime
from random import Random

import pytest

from meshinstall.catalog.upgrades import Fix, KnownBad
from meshinstall.engine.nightly.choice import Decision, Kind, Known, Offer, decide
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition
from tests.unit.engine.nightly.year import World, carry_out, nothing_ends, plan_to, restarted, start

TODAY = date(2026, 11, 30)
V301, V302, V303, V310, V311 = (IstioVersion(1, *one) for one in ((30, 1), (30, 2), (30, 3), (31, 0), (31, 1)))
FAULT = KnownBad("a fault", "istio/istio#1", "1.30.9")
KNOWN = Known({"1.30": 3, "1.31": 1}, {}, (), nothing_ends, TODAY)


def decided(offer: Offer, position: MeshPosition, known: Known = KNOWN) -> Decision:
    return decide(offer, position, lambda version: plan_to(position, version), known, TODAY)


def exactly(version: IstioVersion) -> Offer:
    return Offer((version,), "meshinstall.lock", is_exact=True)


def source(*versions: IstioVersion) -> Offer:
    return Offer(versions, "oci://charts")


def at(version: IstioVersion, *, stages: int = 99) -> MeshPosition:
    """A mesh that was upgraded to a version, or by the first stages of it, and all of whose owners restarted their workloads."""
    plan, random = plan_to(start(), version), Random(0)  # noqa: S311 - a test that can be repeated
    position = carry_out(World(random), start(), replace(plan, stages=plan.stages[:stages]), datetime.now(UTC))
    return restarted(position, random, 1.0) if stages > len(plan.stages) else position


def test_the_newest_of_the_source_is_taken() -> None:
    found = decided(source(V301, V303, V302), start())
    assert found.kind is Kind.MOVE
    assert found.plan is not None
    assert found.plan.target == V303


def test_the_next_best_is_taken_where_the_newest_has_a_fault_and_the_reason_is_kept() -> None:
    found = decided(source(V302, V303), start(), replace(KNOWN, bad={"1.30.3": FAULT}))
    assert found.plan is not None
    assert found.plan.target == V302
    assert found.passed == ("1.30.3 has a known fault: a fault (istio/istio#1)",)


def test_the_lock_has_no_next_best() -> None:
    found = decided(exactly(V303), start(), replace(KNOWN, bad={"1.30.3": FAULT}))
    assert found.kind is Kind.REFUSED
    assert found.why == "meshinstall.lock: 1.30.3 has a known fault: a fault (istio/istio#1)"


@pytest.mark.parametrize("offer", [exactly(V302), source(V302), source(V301)])
def test_a_mesh_that_is_where_it_was_to_be_has_nothing_to_do_whatever_became_known_of_it(offer: Offer) -> None:
    known = Known({"1.30": 2}, {"1.30.2": FAULT}, (), {"1.30": date(2026, 1, 1)}.get, TODAY)
    assert decided(offer, at(V302), known).kind is Kind.NOTHING


def test_half_an_upgrade_is_continued_though_its_support_ended_and_it_lacks_a_fix() -> None:
    fix = Fix("one", "a hole", "a page", {"1.30": 1, "1.31": 9})
    known = Known({"1.30": 3, "1.31": 1}, {}, (fix,), {"1.31": date(2026, 1, 1)}.get, TODAY)
    assert decided(exactly(V310), start(), known).kind is Kind.REFUSED
    found = decided(exactly(V310), at(V310, stages=2), known)
    assert found.kind is Kind.MOVE
    assert found.is_begun


def test_half_an_upgrade_to_what_has_a_fault_is_not_continued() -> None:
    found = decided(exactly(V310), at(V310, stages=2), replace(KNOWN, bad={"1.31.0": FAULT}))
    assert found.kind is Kind.REFUSED
    fixed = decided(exactly(V311), at(V310, stages=2), replace(KNOWN, bad={"1.31.0": FAULT}))
    assert fixed.kind is Kind.MOVE


def test_another_minor_waits_for_the_one_in_progress() -> None:
    found = decided(exactly(IstioVersion(1, 32, 0)), at(V310, stages=2), replace(KNOWN, newest={"1.32": 0}))
    assert found.kind is Kind.REFUSED
    assert "waits for the upgrade to 1.31.0 that is in progress" in found.why


@pytest.mark.parametrize(
    ("version", "why"),
    [
        (IstioVersion(1, 30, 0), "is older than what runs (1.30.1)"),
        (IstioVersion(1, 30, 4), "is not known to this meshinstall"),
        (IstioVersion(1, 33, 0), "is not known to this meshinstall"),
        (IstioVersion(1, 31, 0, "rc", 1), "is not known to this meshinstall"),
    ],
)
def test_what_is_refused_says_why(version: IstioVersion, why: str) -> None:
    found = decided(exactly(version), start())
    assert found.kind is Kind.REFUSED
    assert why in found.why
