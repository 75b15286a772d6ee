"""Tables that are tried on a cluster in memory: who calls, whom, what is judged, and what is left behind."""

from dataclasses import replace

import anyio
import pytest

from meshinstall.engine.gates.authz import Tokens, sources_of
from meshinstall.engine.probe import callers
from meshinstall.errors import ClusterError, ForbiddenError, UsageError
from meshinstall.model.authz import Http, Outcome, Token, Workload
from meshinstall.model.ownership import HOLDER
from meshinstall.model.place import Place
from meshinstall.model.release import Manifest
from meshinstall.model.wire import PROBE_LABEL, Call, End, Reply, Way
from tests.unit.engine.gates.calling_world import CART, DENIED, GOOD, READY, TOKENS, Shop, row
from tests.unit.engine.mesh.kube_worlds import init

pytestmark = pytest.mark.anyio

PLAIN = Reply(End.RESET, "reset")


@pytest.fixture
def shop() -> Shop:
    """A cluster with a workload."""
    return Shop()


async def test_a_row_is_called_by_a_pod_with_the_callers_account_in_its_namespace(shop: Shop) -> None:
    pods, filters = [], []

    def replies(call: Call) -> Reply:
        pods.extend(shop.made("Pod"))
        filters.extend(shop.made("EnvoyFilter"))
        assert call.way is Way.MESH_HTTP
        return GOOD

    shop.replies = replies
    (tried,) = (await shop.call(row())).tried
    assert tried.verdict.outcome is Outcome.ALLOW
    assert tried.verdict.reason == "pod web-1: what is behind the proxy answered HTTP 200"
    (pod,), (how,) = pods, filters
    name = pod["metadata"]["name"]
    assert pod["spec"]["serviceAccountName"] == "cart"
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["activeDeadlineSeconds"] == 900
    assert pod["metadata"]["labels"][PROBE_LABEL] == name
    assert how["spec"]["workloadSelector"]["labels"] == {PROBE_LABEL: name}
    assert [container["name"] for container in pod["spec"]["containers"]] == ["istio-proxy"]
    assert shop.callers.talks == [("shop", name)]
    assert shop.calls[0].data == b"GET /api HTTP/1.1\r\nhost: 10.0.0.8:8080\r\nconnection: close\r\n\r\n"


async def test_what_it_makes_belongs_to_its_own_namespace_which_a_later_run_would_remove(shop: Shop) -> None:
    owners: list[bool] = []

    def replies(_: Call) -> Reply:
        (space,) = [one for one in shop.nodes.objects.values() if HOLDER in one["metadata"].get("annotations", {})]
        made = [*shop.made("Pod"), *shop.made("EnvoyFilter")]
        owners.extend(owner["name"] == space["metadata"]["name"] for one in made for owner in one["metadata"]["ownerReferences"])
        return GOOD

    shop.replies = replies
    await shop.call(row())
    assert owners == [True, True]
    assert shop.left() == []


async def test_two_rows_of_one_caller_share_a_pod(shop: Shop) -> None:
    await shop.call(row(), row(), row(principal="cluster.local/ns/pay/sa/books"))
    assert len(set(shop.callers.talks)) == 2
    assert shop.left() == []


@pytest.mark.parametrize(("reply", "expected", "is_met"), [(DENIED, Outcome.DENY, True), (DENIED, Outcome.ALLOW, False)])
async def test_a_refusal_is_compared_with_what_the_row_wants(shop: Shop, reply: Reply, expected: Outcome, is_met: bool) -> None:  # noqa: FBT001
    shop.replies = lambda _: reply
    (tried,) = (await shop.call(row(expected))).tried
    assert tried.is_met is is_met


async def test_plaintext_is_sent_by_a_pod_of_its_own_namespace_alone(shop: Shop) -> None:
    shop.replies = lambda _: PLAIN
    await shop.call(row(Outcome.DENY, principal=""))
    assert [pod for _, pod in shop.callers.talks] == ["client"]
    assert shop.calls[0].way is Way.PLAIN
    assert shop.left() == []


async def test_every_pod_of_a_workload_counts_and_the_worst_is_told(shop: Shop) -> None:
    for name in ("web-2", "web-3", "web-4"):
        shop.put_web(name, status={"phase": "Running", "podIP": f"10.0.1.{name[-1]}", "conditions": [{"type": "Ready", "status": "True"}]})
    shop.replies = lambda call: DENIED if call.target.pod.name == "web-2" else GOOD
    (tried,) = (await shop.call(row())).tried
    assert tried.verdict.outcome is Outcome.DENY
    assert tried.verdict.reason.startswith("pod web-2: its proxy answered HTTP 403")
    assert tried.verdict.reason.endswith("; 3 of 4 pods were called")


async def test_one_pod_that_is_not_known_keeps_a_row_from_passing(shop: Shop) -> None:
    shop.put_web("web-2")
    shop.replies = lambda call: Reply(End.FAILED, "connection refused") if call.target.pod.name == "web-2" else GOOD
    (tried,) = (await shop.call(row())).tried
    assert tried.verdict.outcome is Outcome.UNDECIDED


async def test_what_cannot_be_tried_makes_nothing(shop: Shop) -> None:
    before = dict(shop.nodes.objects)
    found = await shop.call(row(http=Http(token=Token({"sub": "ann"}))), row(app="gone"), row(principal="cluster.local/x"))
    reasons = [tried.verdict.reason for tried in found.tried]
    assert [tried.verdict.outcome for tried in found.tried] == [Outcome.UNDECIDED] * 3
    assert "cannot be signed" in reasons[0]
    assert reasons[1] == "no pod of shop that is Ready has these labels"
    assert shop.nodes.objects == before
    assert shop.calls == []


@pytest.mark.parametrize(
    ("pod", "why"),
    [
        ({"inits": []}, "has no sidecar"),
        ({"spec": {"hostNetwork": True}}, "may pass its proxy by"),
        ({"exclude": "8080"}, "may pass its proxy by"),
    ],
)
async def test_a_pod_whose_proxy_may_not_be_met_is_not_called(shop: Shop, pod: dict[str, object], why: str) -> None:
    proxy = {"name": "istio-proxy", "args": ["proxy", "sidecar"], "restartPolicy": "Always"}
    more = {"inits": [init("*", str(pod["exclude"])), proxy]} if "exclude" in pod else pod
    shop.put_web("past", {"app": "past"}, **more)
    (tried,) = (await shop.call(row(app="past"))).tried
    assert tried.verdict.outcome is Outcome.UNDECIDED
    assert why in tried.verdict.reason
    assert shop.calls == []


async def test_a_proxy_that_is_silent_proves_nothing(shop: Shop) -> None:
    shop.callers.silent = True
    (tried,) = (await shop.call(row())).tried
    assert tried.verdict.outcome is Outcome.UNDECIDED
    assert "could not be asked who answers" in tried.verdict.reason


@pytest.mark.parametrize("collection", ["pods", "envoyfilters"])
async def test_whoever_may_not_create_in_a_namespace_proves_nothing_for_its_accounts(shop: Shop, collection: str) -> None:
    group = "/api/v1" if collection == "pods" else "/apis/networking.istio.io/v1alpha3"
    shop.kube.refusals[f"CREATE {group}/namespaces/pay/{collection}"] = ForbiddenError(f"{collection} is forbidden")
    books = row(principal="cluster.local/ns/pay/sa/books")
    mine, theirs = (await shop.call(row(), books)).tried
    assert mine.verdict.outcome is Outcome.ALLOW
    assert theirs.verdict.outcome is Outcome.UNDECIDED
    assert "no pod could be started as pay/books" in theirs.verdict.reason
    assert shop.left() == []


async def test_without_an_istiod_nothing_is_proven(shop: Shop) -> None:
    await shop.kube.delete("/apis/apps/v1/namespaces/istio-system/deployments/istiod")
    (tried,) = (await shop.call(row())).tried
    assert tried.verdict.outcome is Outcome.UNDECIDED
    assert "the cluster has no istiod" in tried.verdict.reason


async def test_what_could_not_be_removed_is_told(shop: Shop) -> None:
    def replies(_: Call) -> Reply:
        for path in shop.left():
            if "/namespaces/shop/pods/" in path:
                shop.kube.refusals[f"DELETE {path}"] = ClusterError("busy")
        return GOOD

    shop.replies = replies
    found = await shop.call(row())
    (gap,) = found.gaps
    assert gap.startswith("pods shop/meshinstall-probe-")
    assert gap.endswith("could not be removed: busy")


@pytest.mark.parametrize("kind", ["pods", "envoyfilters"])
async def test_a_run_that_is_ended_waits_for_what_the_api_server_was_asked_to_make(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It may make the object also after the run looked for what is left."""
    create = shop.kube.create

    async def slowly(path: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        if not path.endswith(f"/namespaces/shop/{kind}"):
            return await create(path, body, dry_run=dry_run)
        scope.cancel()
        await anyio.sleep(0.01)
        arrived.append(path)
        return await create(path, body, dry_run=dry_run)

    arrived: list[str] = []
    monkeypatch.setattr(shop.kube, "create", slowly)
    with anyio.CancelScope() as scope:
        await shop.call(row())
    assert len(arrived) == 1
    assert shop.left() == []


async def test_of_two_ip_families_the_second_may_pass_the_proxy_by(shop: Shop) -> None:
    status = {**READY, "podIPs": [{"ip": "10.0.0.8"}, {"ip": "fd00::8"}]}
    shop.put_web("web-1", status=status)
    (tried,) = (await shop.call(row())).tried
    assert tried.verdict.outcome is Outcome.UNDECIDED
    assert "may pass its proxy by" in tried.verdict.reason


async def test_a_row_for_a_gateway_of_the_gateway_api_is_one_for_a_gateway(shop: Shop) -> None:
    front = {"gateway.networking.k8s.io/gateway-name": "edge"}
    shop.put_web("web-1", front)
    called = replace(row(), workload=Workload("shop", front))
    (tried,) = (await shop.call(replace(called, request=replace(called.request, principal="")))).tried
    assert tried.verdict.reason == "pod shop/web-1 is not a gateway"
    (tried,) = (await shop.call(called)).tried
    assert tried.verdict.reason.startswith("a client shows a gateway no certificate of the mesh")


async def test_what_was_not_removed_in_time_is_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API server that does not answer leaves no caller behind in silence."""
    delete = shop.kube.delete

    async def slowly(path: str, *, uid: str = "") -> None:
        if "/namespaces/shop/" in path:
            await anyio.sleep_forever()
        await delete(path, uid=uid)

    monkeypatch.setattr(shop.kube, "delete", slowly)
    monkeypatch.setattr(callers, "_CLEAN_UP", 0.05)
    found = await shop.call(row())
    assert [gap.partition(" shop/")[0] for gap in found.gaps] == ["pods", "envoyfilters"]
    assert all(gap.endswith("could not be removed: not in time") for gap in found.gaps)


def test_a_table_that_is_too_large_is_a_mistake() -> None:
    many = [row(principal=f"cluster.local/ns/shop/sa/a{index}") for index in range(21)]
    with pytest.raises(UsageError, match="501 rows and 1 service accounts"):
        sources_of([row()] * 501, TOKENS)
    with pytest.raises(UsageError, match="21 rows and 21 service accounts"):
        sources_of(many, TOKENS)
    assert sources_of([*many[:1], row(principal=""), replace(row(), request=replace(row().request, principal=CART))], TOKENS) == (
        Place("shop", "a0"),
        Place("shop", "cart"),
    )


def test_tokens_are_never_shown() -> None:
    assert "secret" not in repr(Tokens({"ANN": "secret"}))
