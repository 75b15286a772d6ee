"""Building parts: each once for its pins, whole or not at all, in the order of their needs."""

import re
import threading
from pathlib import Path

import pytest

from meshinstall.catalog import minor_of
from testbed.build import catalog
from testbed.build.builder import build
from testbed.build.istio import PREVIOUS, RELEASE, Istio
from testbed.build.part import Part, closure, keys
from testbed.build.workshop import Workshop
from testbed.errors import TestbedError


def quiet(_: str) -> None:
    """Say nothing."""


class Counter:
    """A build that counts its runs and writes one file."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, _: Workshop, out: Path) -> None:
        """Count and write."""
        self.runs += 1
        (out / "made").write_text("")


def test_a_part_is_built_once_for_its_inputs(tmp_path: Path) -> None:
    make = Counter()
    parts = {"a": Part("a", make, ("1.0",))}
    first = build(parts, ("a",), tmp_path, quiet).part("a")
    assert build(parts, ("a",), tmp_path, quiet).part("a") == first
    assert make.runs == 1

    newer = build({"a": Part("a", make, ("1.1",))}, ("a",), tmp_path, quiet).part("a")
    assert make.runs == 2
    assert newer != first


def test_only_what_is_wanted_is_built(tmp_path: Path) -> None:
    wanted, other = Counter(), Counter()
    build({"a": Part("a", wanted, ()), "b": Part("b", other, ())}, ("a",), tmp_path, quiet)
    assert wanted.runs == 1
    assert other.runs == 0


def test_needs_are_built_first_and_change_the_key(tmp_path: Path) -> None:
    def read(shop: Workshop, out: Path) -> None:
        (out / "made").write_text((shop.part("tool") / "made").read_text())

    def parts(version: str) -> dict[str, Part]:
        return {"user": Part("user", read, (), needs=("tool",)), "tool": Part("tool", Counter(), (version,))}

    assert (build(parts("1"), ("user",), tmp_path, quiet).part("user") / "made").exists()
    assert keys(parts("1"))["user"] != keys(parts("2"))["user"]


def test_a_failed_build_leaves_nothing_and_is_taken_up_again(tmp_path: Path) -> None:
    def fail_half_way(shop: Workshop, out: Path) -> None:
        (out / "half").write_text("")
        shop.run("a", ["false"])

    with pytest.raises(TestbedError, match="building a failed: false ended with 1"):
        build({"a": Part("a", fail_half_way, ())}, ("a",), tmp_path, quiet)
    folder = build({"a": Part("a", Counter(), ())}, ("a",), tmp_path, quiet).part("a")
    assert [file.name for file in folder.iterdir()] == ["made"]


def test_two_builds_at_once_do_the_work_once(tmp_path: Path) -> None:
    started, go = threading.Event(), threading.Event()
    make = Counter()

    def slow(shop: Workshop, out: Path) -> None:
        started.set()
        go.wait(10)
        make(shop, out)

    parts = {"a": Part("a", slow, ())}
    threads = [threading.Thread(target=build, args=(parts, ("a",), tmp_path, quiet)) for _ in range(2)]
    for thread in threads:
        thread.start()
    started.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert make.runs == 1


def test_the_demo_builds_no_simulator_no_peer_and_no_second_helm() -> None:
    assert closure(catalog.PARTS, catalog.DEMO).isdisjoint({"kwok", "istioctl", "helm3", "kubectl", "registry", "istio-restamp"})


def test_the_second_istio_is_built_for_those_alone_who_ask_for_it() -> None:
    # Tests of upgrades are cluster tests: their parts are built before any worker begins.
    of_tests = set(catalog.TESTS["cluster"]) - set(catalog.UPGRADES)
    assert set(catalog.UPGRADES) < set(catalog.TESTS["cluster"])
    kinds = (catalog.DEMO, catalog.SHELL, catalog.TESTS["tools"], tuple(sorted(of_tests)), *catalog.CLUSTERS.values())
    assert [name for parts in kinds for name in closure(catalog.PARTS, parts) if name.startswith(("istio-", "istioctl-", "envoy-"))] == []


@pytest.mark.parametrize("istio", [RELEASE, PREVIOUS], ids=lambda istio: istio.version)
def test_a_module_holds_the_minor_that_the_pins_say(istio: Istio) -> None:
    required = re.findall(r"^\tistio\.io/(?:api|client-go) v(\S+)", istio.pinned[0].read_text(), re.MULTILINE)
    assert {minor_of(version) for version in required} == {minor_of(istio.version)}


def test_every_need_is_a_part() -> None:
    assert closure(catalog.PARTS, tuple(catalog.PARTS)) == set(catalog.PARTS)
