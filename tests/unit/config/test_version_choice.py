"""Which version a minor stands for, by the lock file, by what runs, and by what the source has."""

from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from meshinstall.config.lockfile import Lock
from meshinstall.config.version_choice import Chosen, newest_pinned, of_cluster, of_lock, of_source
from meshinstall.errors import ChartError
from meshinstall.model.release import ChartRef, ReleaseKey, ReleaseRecord, ReleaseStatus
from tests.fakes import record

MINOR = "1.31"
NAMES = frozenset({"base", "istiod", "gateway"})
ISTIOD = ReleaseKey("istio-system", "istiod-1-31")
OLDER = ReleaseKey("istio-system", "istiod")
PATCHES = ("1.30.9", "1.31.0", "1.31.1", "1.31.2", "1.31.10", "1.31.11-rc.1", "1.310.0", "1.32.0", "2.31.5")
some_versions = st.sets(st.sampled_from(PATCHES))
offers = st.fixed_dictionaries(dict.fromkeys(sorted(NAMES), some_versions))


def lock(pinned: Mapping[str, Iterable[str]]) -> Lock:
    return Lock(tuple(ChartRef(name, version, "oci://x", "sha256:0") for name, versions in pinned.items() for version in versions))


def installed(
    version: str, key: ReleaseKey = ISTIOD, status: ReleaseStatus = ReleaseStatus.DEPLOYED, chart: str = "istiod"
) -> ReleaseRecord:
    return record(key, chart, version, status=status)


def right(offered: dict[str, set[str]]) -> str:
    """What a person would choose, by another reading of versions."""
    common = set.intersection(*offered.values())
    fitting = [one for one in map(Version, common) if one.release[:2] == (1, 31) and not one.is_prerelease]
    return str(max(fitting)) if fitting else ""


@given(offers)
def test_of_a_lock_and_of_a_source_it_is_the_newest_that_all_charts_have(offered: dict[str, set[str]]) -> None:
    wanted = right(offered)
    assert newest_pinned(MINOR, NAMES, lock(offered)) == wanted
    if wanted:
        assert of_source(MINOR, offered, "oci://x") == Chosen(wanted, "the newest of oci://x")
        assert of_lock(MINOR, NAMES, lock(offered)) == Chosen(wanted, "the newest in meshinstall.lock")
        return
    with pytest.raises(ChartError, match=r"oci://x has no release 1\.31\.x of all of the charts base, gateway, istiod"):
        of_source(MINOR, offered, "oci://x")
    if any(offered.values()):
        with pytest.raises(ChartError, match=r"meshinstall\.lock pins no release 1\.31\.x of all of the charts base, gateway, istiod"):
            of_lock(MINOR, NAMES, lock(offered))
    else:
        assert of_lock(MINOR, NAMES, lock(offered)) is None


@given(offers, st.sets(st.sampled_from(["cni", "ztunnel"]), min_size=1))
def test_what_a_mesh_does_not_need_does_not_count(offered: dict[str, set[str]], others: set[str]) -> None:
    more = lock({**offered, **{name: {"1.31.99"} for name in others}})
    assert newest_pinned(MINOR, NAMES, more) == right(offered)


@given(st.sampled_from(PATCHES), st.sampled_from(ReleaseStatus))
def test_what_runs_stays_if_it_is_of_the_minor(version: str, status: ReleaseStatus) -> None:
    found = of_cluster(MINOR, ISTIOD, [installed(version, status=status)])
    is_there = version.startswith("1.31.") and status is not ReleaseStatus.UNINSTALLED
    assert (found.version if found else "") == (version if is_there else "")


def test_what_a_run_did_not_end_is_ended_and_not_begun_anew() -> None:
    found = of_cluster(MINOR, ISTIOD, [installed("1.31.1", status=ReleaseStatus.PENDING_UPGRADE)])
    assert found == Chosen("1.31.1", "which a run began and did not end (release istio-system/istiod-1-31: pending-upgrade)")
    assert of_cluster(MINOR, ISTIOD, [installed("1.31.1")]) == Chosen("1.31.1", "which runs")


def test_the_istiod_of_the_mesh_goes_over_another_one_and_the_newer_of_others_over_the_older() -> None:
    mine, newer = installed("1.31.0"), installed("1.31.2", OLDER)
    canary = installed("1.31.1", ReleaseKey("istio-system", "istiod-canary"))
    assert of_cluster(MINOR, ISTIOD, [newer, mine]) == Chosen("1.31.0", "which runs")
    assert of_cluster(MINOR, ISTIOD, [newer, canary]) == Chosen("1.31.2", "which runs")
    assert of_cluster(MINOR, None, [canary]) == Chosen("1.31.1", "which runs")


def test_other_charts_unreadable_records_and_what_is_no_version_do_not_run() -> None:
    assert of_cluster(MINOR, ISTIOD, [installed("1.31.0", chart="base")]) is None
    assert of_cluster(MINOR, ISTIOD, [record(ISTIOD, "istiod", "1.31.0", problem="it is not gzip")]) is None
    assert of_cluster(MINOR, ISTIOD, [installed("1.31.\x1b[2J")]) is None
    assert of_cluster(MINOR, ISTIOD, [installed("1.31.0+0123456789ab")]) == Chosen("1.31.0", "which runs")


def test_a_source_tells_what_it_has_of_the_minor() -> None:
    with pytest.raises(ChartError) as caught:
        of_source(MINOR, {"base": ["1.31.0", "1.31.1-rc.0"], "istiod": ["1.31.2", "1.30.0"]}, "./charts")
    assert caught.value.hint == "it has 1.31.0, 1.31.1-rc.0, 1.31.2, not each of them for every chart, or before the release"
