"""PeerAuthentications that do nothing: each is named with its reason, and none that does something."""

import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.checks.mtls.idle_policies import Idle, idle_objects, idle_policies
from meshinstall.checks.mtls.peer_authentication import policies_by_revision, revision_of
from meshinstall.model.finding import Severity
from meshinstall.model.mesh import ControlPlane, Dataplane, Labelled, Machine, MeshFacts, Mode, PeerPolicy, Place, Pod, Port, ServiceFacts
from tests.cases import verdicts

ROOT = "istio-system"
START = datetime(2026, 1, 1, tzinfo=UTC)
WEB = Pod(Place("shop", "web-0"), "Deployment web", Dataplane.SIDECAR, labels={"app": "web"}, ports=(Port(8080),))
SERVICE = ServiceFacts(Place("shop", "web"), {"app": "web"}, {80: 8080})


def plane(revision: str = "default", root: str = ROOT) -> ControlPlane:
    return ControlPlane(Place(root, f"istiod-{revision}"), revision, "1.31.0", root, "cluster.local")


def policy(
    place: str, mode: Mode = Mode.STRICT, *, age: int = 0, revision: str | None = None, ports: Any = None, **selector: str
) -> PeerPolicy:
    return PeerPolicy(Place(*place.split("/")), START - timedelta(days=age), mode, selector, ports or {}, revision)


def mesh(*policies: PeerPolicy, **differs: Any) -> MeshFacts:
    told = {"control_planes": (plane(),), "pods": (WEB,), "services": (SERVICE,), **differs}
    return MeshFacts(START, policies=policies, **told)


def said(facts: MeshFacts) -> list[tuple[str, str, Severity]]:
    return [(str(one.policy.place), one.why, one.severity) for one in idle_policies(facts)]


@pytest.mark.parametrize(
    ("found", "why", "severity"),
    [
        (
            policy("shop/x", revision="stable"),
            "its label istio.io/rev is stable, and no istiod has that revision (revisions: default; ",
            Severity.ERROR,
        ),
        (policy("shop/x", revision=""), "its label istio.io/rev is empty, and no istiod has that revision", Severity.ERROR),
        (policy("istio-system/x", app="web"), "it has a selector and is in the root namespace", Severity.ERROR),
        (policy("shop/x", ports={8080: Mode.STRICT}), "its portLevelMtls has no effect without a selector", Severity.ERROR),
        (policy("shop/x", Mode.UNSET), "it sets no mode", Severity.INFO),
        (policy("shop/x", Mode.UNSET, ports={8080: Mode.UNSET}, app="web"), "it sets no mode", Severity.INFO),
        (
            policy("shop/x", app="wbe"),
            "its selector matches no pod: none in namespace shop has app=wbe; pods there have app=web",
            Severity.WARNING,
        ),
        (policy("empty/x", app="web"), "its selector matches no pod: none in namespace empty has app=web", Severity.WARNING),
        (
            policy("shop/x", ports={80: Mode.STRICT}, app="web"),
            "its portLevelMtls is for port 80, but takes ports of the pods; 80 is a port of Service shop/web, which sends to port 8080 of",
            Severity.ERROR,
        ),
        (policy("shop/x", ports={80: Mode.DISABLE}, app="web"), "its portLevelMtls is for port 80, but takes ports", Severity.ERROR),
        (
            policy("shop/x", ports={9999: Mode.STRICT}, app="web"),
            "its portLevelMtls is for port 9999, which its pods do not declare",
            Severity.WARNING,
        ),
    ],
    ids=lambda value: str(value.place) if isinstance(value, PeerPolicy) else "",
)
def test_a_policy_without_effect_is_named_with_the_reason(found: PeerPolicy, why: str, severity: Severity) -> None:
    ((place, words, how),) = said(mesh(found))
    assert words.startswith(why)
    assert (place, how) == (str(found.place), severity)


@pytest.mark.parametrize(
    "found",
    [
        policy("istio-system/default"),
        policy("shop/default"),
        # For what is to come.
        policy("empty/default"),
        policy("shop/web", app="web"),
        policy("shop/web", revision="default", app="web"),
        policy("shop/web", Mode.UNSET, ports={8080: Mode.DISABLE}, app="web"),
        # It opens what is closed otherwise, if anything listens there: MTL003 says so.
        policy("shop/web", ports={9999: Mode.DISABLE}, app="web"),
    ],
)
def test_a_policy_with_an_effect_is_not_named(found: PeerPolicy) -> None:
    assert said(mesh(found)) == []


TYPO = policy("shop/x", app="wbe")


@pytest.mark.parametrize(
    ("found", "differs"),
    [
        (TYPO, {"unread": ("Pod",)}),
        (TYPO, {"unread": ("WorkloadEntry",)}),
        (policy("shop/x", ports={80: Mode.STRICT}, app="web"), {"unread": ("Service",)}),
        (policy("shop/x", revision="stable"), {"unread": ("Deployment",)}),
        (policy("shop/x", revision="stable"), {"control_planes": ()}),
        (policy("shop/x", revision="canary"), {"control_planes": (plane(), plane("canary"))}),
        # The namespace is the root of one of two, so its selector counts for the other.
        (
            policy("istio-system/x", app="web"),
            {"control_planes": (plane(), plane("canary", "other")), "pods": (replace(WEB, place=Place(ROOT, "web-0")),)},
        ),
    ],
)
def test_what_is_not_known_is_not_said(found: PeerPolicy, differs: dict[str, Any]) -> None:
    assert said(mesh(found, **differs)) == []


def test_a_workload_entry_is_matched_as_a_pod_is() -> None:
    vm = Machine(Place("shop", "vm-1"), {"app": "vm", "team": "a"})
    found = policy("shop/x", app="vm")
    assert said(mesh(found, machines=(vm,))) == []
    # Where it listens is not known.
    assert said(mesh(policy("shop/x", ports={9999: Mode.STRICT}, app="vm"), machines=(vm,))) == []
    for machine in (Machine(Place("crm", "vm-1"), vm.labels), Machine(vm.place, {"team": "a"})):
        assert [severity for _, _, severity in said(mesh(found, machines=(machine,)))] == [Severity.WARNING]


def test_a_pod_that_does_not_run_is_matched() -> None:
    assert said(mesh(policy("shop/web", app="web"), pods=(replace(WEB, running=False),))) == []


def test_the_newer_of_one_scope_is_named_with_the_older_and_its_pods() -> None:
    (one,) = idle_policies(mesh(policy("shop/old", Mode.UNSET, age=2), policy("shop/new", age=1)))
    assert isinstance(one, Idle)
    assert (one.policy.place.name, one.older and one.older.place.name) == ("new", "old")
    assert one.why == "only the oldest policy for the same pods counts: UNSET of shop/old; pods: shop/web-0"


def test_one_of_another_revision_is_not_in_the_way() -> None:
    two = (policy("shop/old", age=2, revision="canary"), policy("shop/new", age=1))
    assert said(mesh(*two, control_planes=(plane(), plane("canary")))) == []


def test_a_ports_fix_moves_what_closes_and_asks_about_what_opens() -> None:
    (closing,) = idle_policies(mesh(policy("shop/x", ports={80: Mode.STRICT}, app="web")))
    (opening,) = idle_policies(mesh(policy("shop/x", ports={80: Mode.PERMISSIVE}, app="web")))
    assert shlex.split(closing.fix)[-1] == '{"spec":{"portLevelMtls":{"80":null,"8080":{"mode":"STRICT"}}}}'
    assert opening.fix.startswith("kubectl edit peerauthentication x -n shop")


def test_objects_of_a_revision_that_no_istiod_has_are_named() -> None:
    labelled = (Labelled("Sidecar", Place("shop", "b"), "stable"), Labelled("DestinationRule", Place("shop", "a"), "default"))
    (finding,) = idle_objects(mesh(labelled=labelled))
    assert (finding.code, finding.object) == ("MTL008", "Sidecar shop/b")
    assert finding.hint.splitlines()[0] == "kubectl delete sidecar b -n shop  # if nothing needs it"
    assert list(idle_objects(mesh(labelled=labelled, control_planes=()))) == []
    assert list(idle_objects(mesh(labelled=labelled), ["other"])) == []


def test_a_verdict_of_some_namespaces_names_what_is_idle_there_and_in_the_root_namespace() -> None:
    policies = {f"{space}/x": {"created": "2026-02-01T00:00:00Z", "revision": "stable"} for space in ("shop", "istio-system", "legacy")}
    labelled = [["Sidecar", [space, "y"], "stable"] for space in ("shop", "istio-system", "legacy")]
    case = verdicts.make({"facts": {"policies": policies, "labelled": labelled, "judged": ["shop"]}})
    assert {one.object for one in case.verdict().findings} == {
        *("PeerAuthentication shop/x", "PeerAuthentication istio-system/x", "Sidecar shop/y", "Sidecar istio-system/y")
    }


MODES = st.sampled_from(list(Mode))
LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from("ab"), max_size=2)
PORTS = st.sampled_from([80, 8080, 9999])
some_policies = st.lists(
    st.builds(
        PeerPolicy,
        st.builds(Place, st.sampled_from([ROOT, "shop"]), st.sampled_from("abc")),
        st.integers(0, 3).map(lambda day: START + timedelta(days=day)),
        MODES,
        LABELS,
        st.dictionaries(PORTS, MODES, max_size=2),
        st.sampled_from([None, "default", "canary", "stable"]),
    ),
    max_size=5,
    unique_by=lambda found: found.place,
)
some_pods = st.lists(
    st.builds(
        lambda name, labels, revision: replace(WEB, place=Place("shop", name), labels=labels, revision=revision),
        st.sampled_from("xyz"),
        LABELS,
        st.sampled_from(["", "default", "canary"]),
    ),
    max_size=3,
    unique_by=lambda pod: pod.place,
)


def modes(facts: MeshFacts) -> list[Mode]:
    """What every pod does at every port that it has."""
    merged = [policies_by_revision(facts)[revision_of(pod, facts)].merged(pod) for pod in facts.pods]
    return [one.at(port).mode for one in merged for port in (1, 8080)]


@given(some_policies, some_pods, st.booleans())
def test_without_a_policy_that_is_wholly_idle_nothing_changes(policies: list[PeerPolicy], pods: list[Pod], two: bool) -> None:  # noqa: FBT001
    planes = (plane(), plane("canary")) if two else (plane(),)
    facts = mesh(*policies, pods=tuple(pods), control_planes=planes)
    for one in idle_policies(facts):
        if "portLevelMtls" not in one.why and not one.older:
            rest = tuple(policy for policy in policies if policy is not one.policy)
            assert modes(replace(facts, policies=rest)) == modes(facts), one.why


@given(some_policies, some_pods)
def test_a_policy_that_no_pod_would_miss_is_named(policies: list[PeerPolicy], pods: list[Pod]) -> None:
    """One with a selector that takes part for no pod."""
    facts = mesh(*policies, pods=tuple(pods))
    named = {one.policy.place for one in idle_policies(facts)}
    for one in policies:
        if one.selector and not any(one.selector.items() <= pod.labels.items() and one.revision in {None, "default"} for pod in pods):
            assert one.place in named or (one.mode is Mode.UNSET and set(one.ports.values()) <= {Mode.UNSET})
