"""A restore on a cluster in memory: in which order, from wherever it was killed, what stops it, and what a drill takes away again."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshinstall.adapters.recovery.opening import open_snapshot
from meshinstall.checks.recovery import compared
from meshinstall.config.restored import Wishes, restoration
from meshinstall.engine.events import Event, StepDone
from meshinstall.engine.observe.restoration import ca_fingerprints, opened_ca
from meshinstall.engine.recovery.drill import drill
from meshinstall.engine.recovery.looking import look
from meshinstall.engine.recovery.restore import restore
from meshinstall.engine.recovery.terms import Result, Terms
from meshinstall.errors import ClusterError, MeshinstallError, PlanRefusedError, SnapshotError, UsageError
from meshinstall.model.desired import Desired, Policy
from meshinstall.model.gate import GateOutcome
from meshinstall.model.ownership import RESTORED
from meshinstall.model.place import Place
from meshinstall.model.release import Manifest
from meshinstall.model.restoring import SnapshotContent
from meshinstall.model.values import LayerKind, Origin
from tests.fakes import World
from tests.unit.engine.installed import ISTIOD, crd, world
from tests.unit.engine.snapshot.mesh import DESIRED, PLANTED, SYSTEM, PackedCharts, istio, mesh, root_pem, taken
from tests.unit.engine.stages import callbacks

pytestmark = pytest.mark.anyio

SHOP = "/api/v1/namespaces/shop"
WEB = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices/web"
POLICY = "/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies/web"
ROOT = f"{SYSTEM}/configmaps/istio-ca-root-cert"
ALLOWED = frozenset({"kept-policies"})


def authority() -> Manifest:
    """The CA of the mesh as it comes out of a snapshot."""
    texts = {"ca-cert.pem": root_pem(), "ca-key.pem": f"key {PLANTED}"}
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": "cacerts", "namespace": "istio-system"},
        "data": data,
    }


@pytest.fixture
async def kept(tmp_path: Path) -> Path:
    """A snapshot of a mesh that has objects of every sort."""
    there = await mesh(tmp_path)
    await taken(there, tmp_path / "kept")
    return tmp_path / "kept"


@contextmanager
def opened(kept: Path) -> Iterator[SnapshotContent]:
    with open_snapshot(kept, None) as snapshot:
        yield snapshot.content


def home(folder: Path) -> World:
    """A cluster that is empty of Istio; an istiod that comes gives its root to the mesh."""
    there = world()
    there.charts = PackedCharts(folder)
    crds = [crd(f"{plural}.{group}") for group, plural in _KINDS]
    there.helm.brings = {**there.helm.brings, next(iter(there.helm.brings)): tuple(crds)}
    there.helm.after[ISTIOD] = lambda: _roots(there)
    return there


_KINDS = [
    ("networking.istio.io", "gateways"),
    ("networking.istio.io", "virtualservices"),
    ("security.istio.io", "authorizationpolicies"),
    ("security.istio.io", "peerauthentications"),
]


def _roots(there: World) -> None:
    """Istiod signs with the CA that it finds; without one with another, whose root is nobody's."""
    found = f"{SYSTEM}/secrets/cacerts" in there.kube.objects
    data = {"root-cert.pem": root_pem()} if found else {}
    there.kube.objects[ROOT] = {"metadata": {"name": "istio-ca-root-cert", "namespace": "istio-system"}, "data": data}


def _cascading(there: World) -> None:
    """A namespace takes with it what is in it, as a real one does."""
    delete = there.kube.delete

    async def deleted(path: str, *, uid: str = "") -> None:
        await delete(path, uid=uid)
        if path.startswith("/api/v1/namespaces/") and path.count("/") == SHOP.count("/") and path not in there.kube.objects:
            inside = f"/namespaces/{path.rpartition('/')[2]}/"
            for one in [one for one in there.kube.objects if inside in one]:
                del there.kube.objects[one]

    there.kube.delete = deleted  # type: ignore[method-assign] # for this test


def wanted(content: SnapshotContent, there: World, ca: Manifest | None = None, **wishes: Any) -> Desired:
    prints = ca_fingerprints(ca, there.session()) if ca else ()
    return replace(DESIRED, restored=restoration(content, DESIRED, Wishes(**wishes), prints))


async def restored(
    folder: Path, there: World, events: list[Event], ca: Manifest | None = None, allow: frozenset[str] = frozenset(), **wishes: Any
) -> Result:
    run = drill if wishes.get("drill") else restore
    with opened(folder) as content:
        terms = Terms(content=content, allow=allow, prove=False, authority=ca)
        return await run(wanted(content, there, ca, **wishes), there.session(), terms, callbacks(events))


def done(events: list[Event]) -> list[str]:
    return [event.step.name for event in events if isinstance(event, StepDone)]


async def test_policies_come_before_labels_and_these_before_routes(kept: Path, tmp_path: Path) -> None:
    there, events = home(tmp_path), list[Event]()
    await restored(kept, there, events, authority())
    order = [name for name in done(events) if "shop" in name]
    assert order == ["namespace/shop", "AuthorizationPolicy/shop/web", "labels/shop", "Gateway/shop/web", "VirtualService/shop/web"]
    assert there.kube.objects[WEB]["spec"] == {"hosts": ["shop.example"]}
    assert there.kube.objects[WEB]["metadata"]["annotations"] == {"team.example/owner": "a"}
    assert there.kube.objects[SHOP]["metadata"]["labels"].keys() == {"istio-injection", RESTORED}


async def test_the_ca_is_there_before_istiod_is(kept: Path, tmp_path: Path) -> None:
    there, seen = home(tmp_path), list[bool]()

    async def note() -> None:
        seen.append(f"{SYSTEM}/secrets/cacerts" in there.kube.objects)

    there.helm.before[ISTIOD] = note
    result = await restored(kept, there, [], authority())
    assert seen == [True]
    assert {one.name: one.outcome for one in result.checks}["trust"] is GateOutcome.PASS


@pytest.mark.parametrize("text", ["", "hello"])
async def test_what_was_sealed_has_to_be_the_ca_that_the_snapshot_names(kept: Path, tmp_path: Path, text: str) -> None:
    session = home(tmp_path).session()
    other = {**authority(), "data": {"ca-cert.pem": base64.b64encode(text.encode()).decode()}}
    with opened(kept) as content:
        assert opened_ca(authority(), content.authority, session) == content.authority
        with pytest.raises(SnapshotError, match="not the CA"):
            opened_ca(other, content.authority, session)
        with pytest.raises(SnapshotError, match="not the CA"):
            opened_ca(authority(), ("ab" * 32,), session)


async def test_what_others_keep_is_left_to_them_and_restored_by_word(kept: Path, tmp_path: Path) -> None:
    there = home(tmp_path)
    result = await restored(kept, there, [], authority())
    assert f"{WEB[:-3]}argo" not in there.kube.objects
    assert "Argo CD Application shop has to make its objects again" in result.left
    again = home(tmp_path)
    await restored(kept, again, [], authority(), kept=True)
    assert f"{WEB[:-3]}argo" in again.kube.objects
    # A controller makes its own again, and nobody else may.
    assert f"{WEB[:-3]}owned" not in again.kube.objects


async def test_nothing_is_left_to_do_the_second_time(kept: Path, tmp_path: Path) -> None:
    there = home(tmp_path)
    await restored(kept, there, [], authority())
    events: list[Event] = []
    again = await restored(kept, there, events, authority())
    assert [(step.name, step.reasons) for step in again.plan.pending] == []
    assert done(events) == []


@pytest.mark.parametrize("number", range(12))
async def test_a_restore_that_was_killed_anywhere_goes_on(kept: Path, tmp_path: Path, number: int) -> None:
    """Between two steps as well as in one: whatever write is the last one, policies are there before routes and labels."""
    there = home(tmp_path)
    writes = 0
    store = there.kube._store  # noqa: SLF001 - every write goes through it

    def dies(path: str, item: dict[str, Any]) -> dict[str, Any]:
        nonlocal writes
        if not path.endswith("leases/meshinstall"):
            writes += 1
            if writes > number:
                raise ClusterError("killed")
        return store(path, item)

    there.kube._store = dies  # type: ignore[method-assign] # noqa: SLF001 - for this run
    with pytest.raises(MeshinstallError):
        await restored(kept, there, [], authority())
    assert not {WEB, f"{WEB[:-3]}argo"} & there.kube.objects.keys() or POLICY in there.kube.objects
    assert (
        "istio-injection" not in (there.kube.objects.get(SHOP, {}).get("metadata", {}).get("labels") or {}) or POLICY in there.kube.objects
    )
    there.kube._store = store  # type: ignore[method-assign] # noqa: SLF001 - the machine is back
    result = await restored(kept, there, [], authority())
    assert {WEB, POLICY} <= there.kube.objects.keys()
    assert {one.name: one.outcome for one in result.checks}["trust"] is GateOutcome.PASS


def codes(error: PlanRefusedError) -> set[str]:
    return {line.partition(":")[0] for line in error.message.splitlines()}


async def refused(folder: Path, there: World, **given: Any) -> set[str]:
    before = set(there.kube.objects)
    with pytest.raises(PlanRefusedError) as error:
        await restored(folder, there, [], **given)
    assert set(there.kube.objects) == before
    return codes(error.value)


async def test_another_root_is_accepted_by_word_alone(kept: Path, tmp_path: Path) -> None:
    assert await refused(kept, home(tmp_path)) == {"PRE059"}
    result = await restored(kept, home(tmp_path), [], allow=frozenset({"new-root"}))
    trust = next(one for one in result.checks if one.name == "trust")
    assert trust.outcome is not GateOutcome.PASS
    assert trust not in result.counted


async def test_where_the_roots_are_unknown_the_ca_of_then_says_whether_another_comes(kept: Path, tmp_path: Path) -> None:
    there = home(tmp_path)
    with opened(kept) as whole:
        content = replace(whole, roots=())
        terms = Terms(content=content, prove=False)
        with pytest.raises(PlanRefusedError, match="PRE059"):
            await restore(wanted(content, there), there.session(), terms, callbacks([]))
        desired = wanted(content, there, authority())
        await restore(desired, there.session(), replace(terms, authority=authority()), callbacks([]))


async def test_a_ca_that_is_there_is_never_replaced(kept: Path, tmp_path: Path) -> None:
    import trustme

    there = home(tmp_path)
    other = base64.b64encode(trustme.CA().cert_pem.bytes()).decode()
    there.kube.objects[f"{SYSTEM}/secrets/cacerts"] = {"metadata": {"name": "cacerts"}, "data": {"ca-cert.pem": other}}
    assert await refused(kept, there, ca=authority()) == {"PRE059"}


async def test_a_cluster_with_a_mesh_is_refused(kept: Path, tmp_path: Path) -> None:
    there = await mesh(tmp_path)
    assert "PRE061" in await refused(kept, there, ca=authority())


async def test_an_object_of_istio_that_is_not_of_the_snapshot_is_somebodys(kept: Path, tmp_path: Path) -> None:
    there = home(tmp_path)
    there.kube.put(crd("virtualservices.networking.istio.io"), istio("VirtualService", "strange", {"hosts": ["x"]}))
    assert "PRE061" in await refused(kept, there, ca=authority())


async def test_what_was_changed_since_is_not_overwritten(kept: Path, tmp_path: Path) -> None:
    there = home(tmp_path)
    await restored(kept, there, [], authority())
    there.kube.objects[WEB]["spec"] = {"hosts": ["other.example"]}
    del there.kube.objects[POLICY]
    assert await refused(kept, there, ca=authority()) == {"PRE033"}
    await restored(kept, there, [], authority(), left_out=frozenset({"VirtualService/shop/web"}))
    assert there.kube.objects[WEB]["spec"] == {"hosts": ["other.example"]}
    assert POLICY in there.kube.objects


@pytest.mark.parametrize("part", ["labels", "annotations"])
async def test_what_somebody_noted_on_an_object_is_not_overwritten(kept: Path, tmp_path: Path, part: str) -> None:
    there = home(tmp_path)
    await restored(kept, there, [], authority())
    there.kube.objects[WEB]["metadata"][part] = {"team.example/owner": "b"}
    given: dict[str, Any] = {"ca": authority()}
    if part == "annotations":
        assert await refused(kept, there, **given) == {"PRE033"}
    else:
        # What is only more is nobody's business.
        there.kube.objects[WEB]["metadata"]["annotations"] = {"team.example/owner": "a", "more": "c"}
        await restored(kept, there, [], authority())
    assert there.kube.objects[WEB]["metadata"][part]["team.example/owner"] == "b"


async def test_other_labels_of_a_namespace_are_somebodys_word(kept: Path, tmp_path: Path) -> None:
    there = home(tmp_path)
    there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"istio-injection": "disabled"}}})
    assert await refused(kept, there, ca=authority()) == {"PRE063"}


async def test_a_label_too_many_is_somebodys_word_as_well(kept: Path, tmp_path: Path) -> None:
    there = home(tmp_path)
    labels = {"istio-injection": "enabled", "istio.io/dataplane-mode": "ambient"}
    there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}})
    assert await refused(kept, there, ca=authority()) == {"PRE063"}


async def test_a_namespace_that_is_being_deleted_stops_it(kept: Path, tmp_path: Path) -> None:
    there = home(tmp_path)
    gone = {"name": "shop", "labels": {}, "deletionTimestamp": "2026-11-30T00:00:00Z", "finalizers": ["kubernetes"]}
    there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": gone})
    assert await refused(kept, there, ca=authority()) == {"PRE062"}


async def test_namespaces_come_for_what_files_describe_as_well(kept: Path, tmp_path: Path) -> None:
    """A layer's policy for a namespace that has neither labels nor objects of its own."""
    there, events = home(tmp_path), list[Event]()
    policy = istio("AuthorizationPolicy", "layer", {"rules": [{}]}, "security.istio.io/v1")
    metadata = {"name": "layer", "namespace": "stock"}
    layered = (Policy({**{key: policy[key] for key in ("apiVersion", "kind", "spec")}, "metadata": metadata}, Origin(LayerKind.FILE, "a")),)
    with opened(kept) as content:
        desired = replace(wanted(content, there, authority()), layered=layered)
        terms = Terms(content=content, prove=False, authority=authority())
        await restore(desired, there.session(), terms, callbacks(events))
    order = [name for name in done(events) if "stock" in name]
    assert order == ["namespace/stock", "AuthorizationPolicy/stock/layer"]


async def test_a_kind_of_the_gateway_api_has_to_be_served_in_the_version_of_the_object(tmp_path: Path) -> None:
    there = await mesh(tmp_path)
    spec = {"parentRefs": [{"name": "api"}]}
    there.kube.put(crd("httproutes.gateway.networking.k8s.io"), istio("HTTPRoute", "web", spec, "gateway.networking.k8s.io/v1"))
    await taken(there, tmp_path / "kept")
    new = home(tmp_path)
    new.kube.objects["/apis/gateway.networking.k8s.io/v1beta1"] = {"metadata": {"name": ""}, "resources": [{"name": "httproutes"}]}
    assert await refused(tmp_path / "kept", new, ca=authority()) == {"PRE062"}


async def test_addresses_of_gateways_of_the_gateway_api_are_looked_at(kept: Path, tmp_path: Path) -> None:
    there = home(tmp_path)
    await restored(kept, there, [], authority())
    labels = {"gateway.networking.k8s.io/gateway-name": "api"}
    metadata = {"name": "api-istio", "namespace": "shop", "labels": labels}
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}
    there.kube.put({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "status": status})
    with opened(kept) as content:
        now = await look(wanted(content, there), there.session(), content)
    assert now.addresses["shop/api-istio"] == ("192.0.2.9",)


POD = {"name": "web-1", "namespace": "shop", "annotations": {}, "labels": {}}
PROXY = {"sidecar.istio.io/status": "{}"}


@pytest.mark.parametrize(
    ("namespace", "pod", "is_bare"),
    [
        ({"istio-injection": "enabled"}, {}, True),
        ({"istio-injection": "enabled"}, {"annotations": PROXY}, False),
        ({"istio-injection": "enabled"}, {"labels": {"sidecar.istio.io/inject": "false"}}, False),
        ({"istio-injection": "enabled"}, {"deletionTimestamp": "x"}, False),
        ({"istio.io/rev": "stable"}, {}, True),
        ({}, {}, False),
        # Pods may ask for a proxy themselves.
        ({}, {"labels": {"sidecar.istio.io/inject": "true"}}, True),
        ({}, {"labels": {"istio.io/rev": "stable"}}, True),
        ({"istio-injection": "disabled"}, {"labels": {"sidecar.istio.io/inject": "true"}}, False),
    ],
)
async def test_pods_that_should_have_a_proxy_are_known_by_what_the_webhooks_select(
    kept: Path, tmp_path: Path, namespace: dict[str, str], pod: Manifest, *, is_bare: bool
) -> None:
    assert bool(await _bare(kept, tmp_path, namespace, {"metadata": {**POD, **pod}, "spec": {}})) is is_bare


async def test_pods_in_the_network_of_their_node_get_no_proxy(kept: Path, tmp_path: Path) -> None:
    pod = {"metadata": POD, "spec": {"hostNetwork": True}}
    assert await _bare(kept, tmp_path, {"istio-injection": "enabled"}, pod) == ()


async def _bare(kept: Path, tmp_path: Path, labels: dict[str, str], pod: Manifest) -> tuple[Place, ...]:
    there = home(tmp_path)
    await restored(kept, there, [], authority())
    there.kube.objects[SHOP]["metadata"]["labels"] = labels
    there.kube.objects[f"{SHOP}/pods/web-1"] = dict(pod)
    with opened(kept) as content:
        return (await look(wanted(content, there), there.session(), content)).bare


async def test_routes_do_not_come_without_the_policies_that_somebody_keeps(tmp_path: Path) -> None:
    there = await mesh(tmp_path)
    marks = {"argocd.argoproj.io/tracking-id": "shop:x"}
    there.kube.put(istio("AuthorizationPolicy", "argos", {"rules": [{}]}, "security.istio.io/v1", annotations=marks))
    await taken(there, tmp_path / "kept")
    kept = tmp_path / "kept"
    assert await refused(kept, home(tmp_path), ca=authority()) == {"PRE064"}
    both = home(tmp_path)
    await restored(kept, both, [], authority(), kept=True)
    assert f"{POLICY[:-3]}argos" in both.kube.objects
    await restored(kept, home(tmp_path), [], authority(), allow=ALLOWED)


async def test_routes_do_not_come_without_a_policy_that_the_snapshot_left_out(kept: Path, tmp_path: Path) -> None:
    there = home(tmp_path)
    with opened(kept) as whole:
        content = replace(whole, left_out=("AuthorizationPolicy/shop/token", "EnvoyFilter/shop/lua", "release istiod"))
        desired = wanted(content, there, authority())
        terms = Terms(content=content, prove=False, authority=authority())
        with pytest.raises(PlanRefusedError, match=r"PRE064(.*)AuthorizationPolicy shop/token") as error:
            await restore(desired, there.session(), terms, callbacks([]))
        assert "EnvoyFilter" not in error.value.message
        await restore(desired, there.session(), replace(terms, allow=ALLOWED), callbacks([]))


async def test_what_is_ours_is_restored_where_no_file_describes_it(tmp_path: Path) -> None:
    """A snapshot that was taken without the files: otherwise a policy of theirs would be missing."""
    there = await mesh(tmp_path)
    labels = {"app.kubernetes.io/managed-by": "meshinstall", "meshinstall.dev/policy": "layers", "team": "a"}
    there.kube.put(istio("AuthorizationPolicy", "ours", {"action": "DENY"}, "security.istio.io/v1", labels=labels))
    await taken(there, tmp_path / "kept")
    for described in (True, False):
        there = home(tmp_path)
        result = await restored(tmp_path / "kept", there, [], authority(), described=described)
        live = there.kube.objects.get(f"{POLICY[:-3]}ours")
        assert (live is not None) is not described
        outcomes = {one.name: one.outcome for one in result.checks}
        assert outcomes["objects"] is (GateOutcome.FAIL if described else GateOutcome.PASS)
    # Nobody's of ours, so that no run of other files deletes it.
    assert live is not None
    assert live["metadata"]["labels"] == {"team": "a"}
    assert done([]) == []


async def test_a_name_to_leave_out_has_to_be_there(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--leave-out VirtualService/shop/nobody"):
        await restored(kept, home(tmp_path), [], authority(), left_out=frozenset({"VirtualService/shop/nobody"}))


async def test_a_drill_leaves_nothing(kept: Path, tmp_path: Path) -> None:
    there = home(tmp_path)
    _cascading(there)
    before = set(there.kube.objects)
    result = await restored(kept, there, [], authority(), drill=True)
    assert [(one.name, one.outcome, one.evidence) for one in result.removed or ()] == [("taken away again", GateOutcome.PASS, ())]
    # CRDs of the fake's charts stay with helm, as real ones do; the removal asks for them by name.
    assert {path for path in set(there.kube.objects) - before if "istio" in path or "shop" in path} == set()


async def test_a_drill_never_takes_down_a_mesh_that_was_restored_for_good(kept: Path, tmp_path: Path) -> None:
    there = home(tmp_path)
    await restored(kept, there, [], authority())
    assert "PRE061" in await refused(kept, there, ca=authority(), drill=True)
    with pytest.raises(UsageError, match="--allow occupied"):
        await restored(kept, there, [], authority(), allow=frozenset({"occupied"}), drill=True)
    assert WEB in there.kube.objects


async def test_a_drill_that_fails_is_taken_away(kept: Path, tmp_path: Path) -> None:
    there = home(tmp_path)
    there.kube.refusals[f"APPLY {WEB}"] = ClusterError("the webhook refuses it")
    with pytest.raises(MeshinstallError, match="the webhook refuses it"):
        await restored(kept, there, [], authority(), drill=True)
    assert f"{SYSTEM[:-13]}/istio-system" not in there.kube.objects
    assert SHOP not in there.kube.objects


async def test_what_is_not_as_it_was_fails(kept: Path, tmp_path: Path) -> None:
    there = home(tmp_path)
    with opened(kept) as content:
        desired = wanted(content, there, authority())
        await restored(kept, there, [], authority())
        there.kube.objects[POLICY]["spec"] = {"rules": []}
        del there.kube.objects[WEB]
        now = await look(desired, there.session(), content)
        (objects, *_) = compared(content, now, desired, (), None)
    assert objects.outcome is GateOutcome.FAIL
    assert "AuthorizationPolicy shop/web differs in spec" in objects.evidence
    assert "VirtualService shop/web is not there" in objects.evidence
