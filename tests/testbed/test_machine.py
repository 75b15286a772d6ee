"""The one clear sentence that a machine which cannot carry the testbed gets."""

import dataclasses

import pytest

from testbed.machine import GIB, Machine, objection

GOOD = Machine("Linux", "x86_64", has_apt=True, is_root=True, memory=4 * GIB, free_disk=15 * GIB, cached=False)


def test_a_good_machine_gets_no_objection() -> None:
    assert objection(GOOD) is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"system": "Darwin", "has_apt": False}, "needs Debian or Ubuntu on x86-64"),
        ({"architecture": "aarch64"}, "this is Linux on aarch64"),
        ({"has_apt": False}, "without apt-get"),
        ({"is_root": False}, "needs root: run it again with sudo"),
        ({"memory": 2 * GIB}, "needs 4 GB of memory; this machine has 2.0 GB"),
        ({"free_disk": 14 * GIB}, "there are 14.0 GB"),
    ],
)
def test_what_is_missing_is_named(change: dict[str, object], sentence: str) -> None:
    answer = objection(dataclasses.replace(GOOD, **change))  # type: ignore[arg-type]  # one field at a time, by name
    assert answer is not None
    assert sentence in answer
    assert "\n" not in answer


def test_a_built_cache_needs_no_free_disk() -> None:
    assert objection(dataclasses.replace(GOOD, free_disk=GIB, cached=True)) is None
