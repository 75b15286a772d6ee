"""The merge of PeerAuthentications, against a second telling of Istio's rules."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.checks.mtls.peer_authentication import Policies
from meshinstall.model.mesh import Dataplane, Mode, PeerPolicy, Place, Pod

ROOT = "istio-system"
START = datetime(2026, 1, 1, tzinfo=UTC)
MODES = st.sampled_from(list(Mode))
LABELS = st.dictionaries(st.sampled_from(["app", "version"]), st.sampled_from(["a", "b"]), max_size=2)


def pod(namespace: str = "shop", **labels: str) -> Pod:
    return Pod(Place(namespace, "web-0"), "Deployment web", Dataplane.SIDECAR, labels=labels)


def policy(
    place: str,
    mode: Mode = Mode.UNSET,
    *,
    age: int = 0,
    ports: dict[int, Mode] | None = None,
    **selector: str,
) -> PeerPolicy:
    """One that is ``age`` days old on the tenth day."""
    return PeerPolicy(Place(*place.split("/")), START + timedelta(days=10 - age), mode, selector, ports or {})


def decided(*policies: PeerPolicy, at: int = 8080, of: Pod | None = None) -> tuple[Mode, str, bool]:
    found = Policies.of(policies, ROOT).merged(of or pod(app="web")).at(at)
    return found.mode, str(found.source.place) if found.source else "", found.port_level


def test_nothing_at_all_is_permissive() -> None:
    assert decided() == (Mode.PERMISSIVE, "", False)


MESH, NAMESPACE, WORKLOAD = (
    policy("istio-system/default", Mode.STRICT),
    policy("shop/default", Mode.PERMISSIVE),
    policy("shop/web", Mode.DISABLE, ports={8080: Mode.STRICT, 9090: Mode.UNSET}, app="web"),
)


@pytest.mark.parametrize(
    ("policies", "port", "expected"),
    [
        ([MESH], 8080, (Mode.STRICT, "istio-system/default", False)),
        ([MESH, NAMESPACE], 8080, (Mode.PERMISSIVE, "shop/default", False)),
        ([MESH, NAMESPACE, WORKLOAD], 1, (Mode.DISABLE, "shop/web", False)),
        ([MESH, NAMESPACE, WORKLOAD], 8080, (Mode.STRICT, "shop/web", True)),
        ([MESH, NAMESPACE, WORKLOAD], 9090, (Mode.DISABLE, "shop/web", False)),
        ([MESH, policy("shop/default")], 8080, (Mode.STRICT, "istio-system/default", False)),
        ([MESH, policy("shop/web", ports={9090: Mode.UNSET}, app="web")], 9090, (Mode.STRICT, "istio-system/default", False)),
        ([MESH, policy("other/default", Mode.DISABLE)], 8080, (Mode.STRICT, "istio-system/default", False)),
        ([MESH, policy("shop/api", Mode.DISABLE, app="api")], 8080, (Mode.STRICT, "istio-system/default", False)),
        # A selector in the root namespace selects nobody, and ports without a selector open nothing.
        ([MESH, policy("istio-system/web", Mode.DISABLE, app="web")], 8080, (Mode.STRICT, "istio-system/default", False)),
        ([MESH, policy("shop/default", Mode.STRICT, ports={8080: Mode.DISABLE})], 8080, (Mode.STRICT, "shop/default", False)),
        # The oldest of a scope decides even when it says nothing; of the same second the first name.
        ([policy("istio-system/a", age=2), policy("istio-system/b", Mode.STRICT, age=1)], 1, (Mode.PERMISSIVE, "", False)),
        ([policy("shop/new", Mode.STRICT, age=1), policy("shop/old", Mode.DISABLE, age=2)], 1, (Mode.DISABLE, "shop/old", False)),
        ([policy("shop/b", Mode.STRICT), policy("shop/a", Mode.DISABLE)], 1, (Mode.DISABLE, "shop/a", False)),
    ],
)
def test_the_nearest_scope_that_says_something_decides(policies: list[PeerPolicy], port: int, expected: tuple[Mode, str, bool]) -> None:
    assert decided(*policies, at=port) == expected


def test_in_the_root_namespace_only_the_mesh_policy_counts() -> None:
    policies = [MESH, policy("istio-system/web", Mode.DISABLE, ports={8080: Mode.DISABLE}, app="web")]
    assert decided(*policies, of=pod(ROOT, app="web")) == (Mode.STRICT, "istio-system/default", False)


def test_shadowed_policies_are_named_with_the_one_that_is_in_effect() -> None:
    policies = [policy("shop/new", Mode.STRICT, age=1), policy("shop/old", Mode.PERMISSIVE, age=2), policy("shop/api", app="api")]
    assert [(new.place.name, old.place.name) for new, old in Policies.of(policies, ROOT).merged(pod()).shadowed] == [("new", "old")]


some_policies = st.lists(
    st.builds(
        PeerPolicy,
        st.builds(Place, st.sampled_from([ROOT, "shop", "other"]), st.sampled_from("abc")),
        st.integers(0, 3).map(lambda day: START + timedelta(days=day)),
        MODES,
        LABELS,
        st.dictionaries(st.sampled_from([1, 2]), MODES, max_size=2),
        st.sampled_from([None, None, "", "default", "canary"]),
    ),
    max_size=6,
    unique_by=lambda found: found.place,
)


def by_elimination(policies: list[PeerPolicy], of: Pod, port: int) -> Mode:
    """Istio's rules read backwards: which policies are beaten by no other, from the nearest question to the farthest."""

    def older(one: PeerPolicy, other: PeerPolicy) -> bool:
        return one.created < other.created or (one.created == other.created and one.place.name < other.place.name)

    def level(found: PeerPolicy) -> str:
        selects = all(of.labels.get(key) == value for key, value in found.selector.items())
        if found.place.namespace == ROOT:
            return "" if found.selector else "mesh"
        if found.place.namespace != of.place.namespace or not selects:
            return ""
        return "workload" if found.selector else "namespace"

    unbeaten = {
        level(found): found
        for found in policies
        if level(found) and not any(older(other, found) for other in policies if level(other) == level(found))
    }
    asked = [unbeaten["workload"].ports.get(port, Mode.UNSET)] if "workload" in unbeaten else []
    asked += [unbeaten[name].mode for name in ("workload", "namespace", "mesh") if name in unbeaten]
    return next((mode for mode in asked if mode is not Mode.UNSET), Mode.PERMISSIVE)


@given(some_policies, st.sampled_from([ROOT, "shop"]), LABELS, st.integers(1, 3))
def test_the_merge_is_istios(policies: list[PeerPolicy], namespace: str, labels: dict[str, str], port: int) -> None:
    of = pod(namespace, **labels)
    assert decided(*policies, of=of, at=port)[0] is by_elimination(policies, of, port)


@given(some_policies, st.sampled_from(["default", "canary"]), LABELS)
def test_an_istiod_takes_part_in_nothing_that_another_revision_is_for(
    policies: list[PeerPolicy], revision: str, labels: dict[str, str]
) -> None:
    """The same as if the others did not exist."""
    of = pod(**labels)
    there = [one for one in policies if one.revision in {None, revision}]
    assert Policies.of(policies, ROOT, revision).merged(of) == Policies.of(there, ROOT).merged(of)


@given(some_policies, st.permutations(range(6)), LABELS)
def test_the_order_of_a_list_decides_nothing(policies: list[PeerPolicy], order: list[int], labels: dict[str, str]) -> None:
    shuffled = [policies[index] for index in order if index < len(policies)]
    of = pod(**labels)
    assert [decided(*shuffled, of=of, at=port) for port in (1, 2, 3)] == [decided(*policies, of=of, at=port) for port in (1, 2, 3)]


@given(some_policies, LABELS)
def test_the_source_is_one_that_says_the_mode(policies: list[PeerPolicy], labels: dict[str, str]) -> None:
    merged = Policies.of(policies, ROOT).merged(pod(**labels))
    for port, found in product((1, 2, 3), [merged]):
        mode, source, port_level = found.at(port)
        said = (source.ports[port] if port_level else source.mode) if source else Mode.PERMISSIVE
        assert said is mode
