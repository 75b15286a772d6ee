"""What is ridden out, and when a write counts as done."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from meshinstall.adapters.kube.patience import LONGEST, Trouble, is_done, pause, trouble

LEADER = "etcdserver: leader changed"
TIMED_OUT = "etcdserver: request timed out, possibly due to previous leader failure"


@pytest.mark.parametrize(
    ("status", "message", "found"),
    [
        (200, "", None),
        (404, "", None),
        (409, "", None),
        (429, "", Trouble.REFUSED),
        (500, "failed calling webhook", None),
        (500, LEADER, Trouble.UNKNOWN),
        (500, TIMED_OUT, Trouble.UNKNOWN),
        (500, "rpc error: code = Unavailable desc = transport is closing", Trouble.UNKNOWN),
        (502, "", Trouble.UNKNOWN),
        (503, "", Trouble.UNKNOWN),
        (504, "", Trouble.UNKNOWN),
    ],
)
def test_what_an_answer_is_a_sign_of(status: int, message: str, found: Trouble | None) -> None:
    assert trouble("PATCH", "/api/v1/pods/a", status, {"message": message}) is found


@given(some.integers(1, 1000), some.floats(0, 1e6), some.none() | some.floats(0, 1e9))
def test_no_pause_ends_after_the_longest_time(tries: int, passed: float, after: float | None) -> None:
    found = pause(tries, passed, after)
    assert found is None or passed + found <= LONGEST
    assert after is None or found in {None, after}


SENT: dict[str, Any] = {"kind": "Lease", "metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"holder": "me", "ports": [{"port": 1}]}}


def live(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "a", "uid": "7", "resourceVersion": "9", "labels": {"x": "y", "z": ""}}
    return {"metadata": metadata, "spec": {"holder": "me", "ports": [{"port": 1, "protocol": "TCP"}], **spec}, "status": {}}


@pytest.mark.parametrize("exactly", [True, False])
def test_what_the_server_adds_makes_no_difference(exactly: bool) -> None:  # noqa: FBT001
    assert is_done(SENT, live(more=1), exactly=exactly)
    assert not is_done(SENT, live(holder="somebody else"), exactly=exactly)
    assert not is_done(SENT, {}, exactly=exactly)


def test_a_list_counts_where_it_can() -> None:
    assert not is_done(SENT, live(ports=[{"port": 2}]), exactly=True)
    assert not is_done(SENT, live(ports=[{"port": 1}, {"port": 2}]), exactly=True)
    assert is_done(SENT, live(ports=[{"port": 2}]), exactly=False)


def test_what_was_sent_as_null_must_be_gone() -> None:
    assert is_done({"spec": {"old": None}}, live(), exactly=True)
    assert not is_done({"spec": {"old": None}}, live(old=1), exactly=True)


def test_a_version_is_not_what_was_wanted() -> None:
    assert is_done({**SENT, "metadata": {"name": "a", "resourceVersion": "8"}}, live(), exactly=True)


json_values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=8,
)


@given(some.dictionaries(some.text(), json_values, max_size=4), some.dictionaries(some.text(), json_values, max_size=4))
def test_any_objects_are_compared(sent: dict[str, Any], held: dict[str, Any]) -> None:
    is_done({"spec": sent}, {"spec": held}, exactly=True)
