"""A dry run says of each policy what the cluster says, and never more: what nobody judged is not proven."""

from collections.abc import Sequence
from pathlib import Path

import anyio

from meshinstall.config.policy_files import read_objects
from meshinstall.engine.report.dry_run import Outcome, Tried, try_policies, untried
from meshinstall.engine.report.live_selectors import unmatched_selectors
from meshinstall.engine.report.live_targets import missing_targets
from meshinstall.errors import UnreachableError
from meshinstall.model.paths import object_path
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.trial import Answer, ApiKind, Attempt, Cause, Write
from tests.fake_kube import FakeKube, forbidden

_KINDS = {
    ("security.istio.io/v1", "AuthorizationPolicy"): ApiKind("authorizationpolicies", namespaced=True),
    ("security.istio.io/v1", "PeerAuthentication"): ApiKind("peerauthentications", namespaced=True),
    ("gateway.networking.k8s.io/v1", "Gateway"): ApiKind("gateways", namespaced=True),
}
_WEB = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  rules:
  - from:
    - source: {principal: [a]}
"""
_DENIED = 'admission webhook "validation.istio.io" denied the request: configuration is invalid: DENY action without `rules`'


def refuses_as_istiod(attempt: Attempt) -> Answer | None:
    """The webhook's answer to a DENY without rules."""
    return Answer(400, _DENIED) if attempt.body["spec"] == {"action": "DENY"} else None


def tried(tmp_path: Path, text: str, kube: FakeKube) -> Sequence[Tried]:
    """What comes of a file."""
    (tmp_path / "all.yaml").write_text(text)
    return anyio.run(try_policies, read_objects([tmp_path / "all.yaml"], []), kube)


def cluster(*judges: object) -> FakeKube:
    """A cluster with istiod and other judges, the first of which counts."""
    kube = FakeKube()
    kube.served = _KINDS
    kube.judges += [*judges, refuses_as_istiod]  # type: ignore[list-item]
    return kube


def test_what_istiod_judges_is_accepted_strictly_as_written_and_only_tried(tmp_path: Path) -> None:
    kube = cluster()
    seen: list[Attempt] = []
    kube.judges.insert(0, seen.append)
    (found,) = tried(tmp_path, _WEB, kube)
    assert (found.outcome, found.text) == (Outcome.ACCEPTED, "")
    assert seen[0].write is Write.APPLY
    assert seen[0].force
    assert seen[0].path == "/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies/web"
    assert {call.partition(" ")[0] for call in kube.calls} == {"GET", "ATTEMPT"}


def test_a_refusal_has_the_line_of_its_field_and_the_warnings(tmp_path: Path) -> None:
    text = "failed to create typed patch object: .spec.rules[0].from[0].source.principal: field not declared in schema"
    (found,) = tried(
        tmp_path, _WEB, cluster(lambda attempt: Answer(500, text, warnings=("old version",)) if "web" in attempt.path else None)
    )
    assert (found.outcome, found.place, found.warnings) == (Outcome.REFUSED, (7, 16), ("old version",))
    cause = Cause("FieldValueInvalid", "spec.rules[0]", "portLevelMtls requires selector")
    (found,) = tried(tmp_path, _WEB, cluster(lambda _: Answer(422, "is invalid", (cause,))))
    assert (found.outcome, found.place) == (Outcome.REFUSED, (6, 5))
    (found,) = tried(tmp_path, _WEB, cluster(lambda _: Answer(400, _DENIED)))
    assert (found.outcome, found.place, found.text) == (Outcome.REFUSED, (1, 1), _DENIED)


def test_a_refusal_by_another_webhook_says_nothing_of_istiod(tmp_path: Path) -> None:
    others = 'admission webhook "validate.kyverno.svc-fail" denied the request: a DENY needs rules; not "validation.istio.io"'
    (found,) = tried(tmp_path, _WEB, cluster(lambda attempt: Answer(400, others) if attempt.write is Write.CREATE else None))
    assert found.outcome is Outcome.NOT_PROVEN
    named = _DENIED.replace('"validation', '"rev.validation')
    (found,) = tried(tmp_path, _WEB, cluster(lambda attempt: Answer(400, named) if attempt.write is Write.CREATE else None))
    assert found.outcome is Outcome.ACCEPTED


def test_what_istiod_lets_through_or_is_not_asked_is_not_proven(tmp_path: Path) -> None:
    kube = FakeKube()
    kube.served = _KINDS
    (found,) = tried(tmp_path, _WEB, kube)
    assert found.outcome is Outcome.NOT_PROVEN
    assert found.text == "accepted, and istiod's webhook did not judge it: it took an object (AuthorizationPolicy) that istiod refuses"
    away = 'failed calling webhook "validation.istio.io": connection refused'
    (found,) = tried(tmp_path, _WEB, cluster(lambda _: Answer(500, away)))
    assert (found.outcome, found.text) == (Outcome.NOT_PROVEN, away)
    # Of the Gateway API istiod's webhook judges nothing.
    gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: a, namespace: shop}\nspec: {}\n"
    assert [one.outcome for one in tried(tmp_path, gateway, kube)] == [Outcome.ACCEPTED]


_ROUTE = """---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
"""
_PEERS = """---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: web, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""
_PROXY = _ROUTE.replace("networking.istio.io/v1", "networking.istio.io/v1beta1").replace("VirtualService", "ProxyConfig")


def test_a_webhook_without_rules_for_a_kind_has_no_say_about_that_kind_alone(tmp_path: Path) -> None:
    kube = cluster()
    kube.served = {
        **_KINDS,
        ("networking.istio.io/v1", "VirtualService"): ApiKind("virtualservices", namespaced=True),
        ("networking.istio.io/v1beta1", "ProxyConfig"): ApiKind("proxyconfigs", namespaced=True),
        ("networking.istio.io/v1alpha3", "Gateway"): ApiKind("gateways", namespaced=True),
    }
    found = tried(tmp_path, _WEB + _ROUTE + _PEERS + _PROXY, kube)
    outcomes = [(one.policy.kind, one.outcome) for one in found]
    accepted, not_proven = Outcome.ACCEPTED, Outcome.NOT_PROVEN
    kinds = ("AuthorizationPolicy", "VirtualService", "PeerAuthentication", "ProxyConfig")
    assert outcomes == list(zip(kinds, (accepted, not_proven, accepted, not_proven), strict=True))
    kube.judges.append(lambda attempt: Answer(400, _DENIED) if attempt.body["spec"] in ({"hosts": ["trial"]}, {}) else None)
    assert {one.outcome for one in tried(tmp_path, _WEB + _ROUTE + _PEERS + _PROXY, kube)} == {accepted}


def test_each_revision_has_a_webhook_of_its_own(tmp_path: Path) -> None:
    def other(attempt: Attempt) -> Answer | None:
        return Answer(201) if (attempt.body["metadata"].get("labels") or {}).get("istio.io/rev") == "old" else None

    two = f"{_WEB}---\n{_WEB.replace('{name: web', '{labels: {istio.io/rev: old}, name: old')}"
    assert [one.outcome for one in tried(tmp_path, two, cluster(other))] == [Outcome.ACCEPTED, Outcome.NOT_PROVEN]


def test_what_the_caller_may_not_do_and_what_is_not_served_is_not_proven(tmp_path: Path) -> None:
    text = 'authorizationpolicies.security.istio.io is forbidden: User "ann" cannot patch resource "authorizationpolicies"'
    (found,) = tried(tmp_path, _WEB, cluster(lambda _: Answer(403, text)))
    assert (found.outcome, found.text) == (Outcome.NOT_PROVEN, text)
    (found,) = tried(tmp_path, _WEB.replace("AuthorizationPolicy", "RequestAuthentication"), cluster())
    assert found.text == "the API server does not serve RequestAuthentication of security.istio.io/v1"
    kube = cluster()
    kube.refusals["ATTEMPT /apis/security.istio.io/v1/namespaces/shop/authorizationpolicies/web"] = UnreachableError("it is away")
    (found,) = tried(tmp_path, _WEB, kube)
    assert (found.outcome, found.text) == (Outcome.NOT_PROVEN, "it is away")


def test_in_a_namespace_that_is_missing_it_is_tried_in_another(tmp_path: Path) -> None:
    def missing(attempt: Attempt) -> Answer | None:
        return Answer(404, 'namespaces "shop" not found') if "/shop/" in attempt.path else None

    (found,) = tried(tmp_path, _WEB, cluster(missing))
    assert (found.outcome, found.text) == (Outcome.ACCEPTED, "namespace shop does not exist; tried in default")

    def quota(attempt: Attempt) -> Answer | None:
        return missing(attempt) or (Answer(403, "exceeded quota") if "web" in attempt.path else None)

    (found,) = tried(tmp_path, _WEB, cluster(quota))
    assert found.outcome is Outcome.NOT_PROVEN


def test_other_kinds_are_left_out_and_nothing_is_asked_for_nothing(tmp_path: Path) -> None:
    kube = cluster()
    assert tried(tmp_path, "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n", kube) == ()
    assert kube.calls == []
    (tmp_path / "all.yaml").write_text(_WEB)
    (found,) = untried(read_objects([tmp_path / "all.yaml"], []), "no cluster")
    assert (found.outcome, found.text) == (Outcome.NOT_PROVEN, "no cluster")


def test_a_hostile_name_stays_a_name(tmp_path: Path) -> None:
    kube = cluster()
    tried(tmp_path, _WEB.replace("name: web", "name: '../../secrets/x?a=b'"), kube)
    assert not any("/secrets/" in call for call in kube.calls)
    assert [one.outcome for one in tried(tmp_path, _WEB.replace("{name: web, namespace: shop}", "3"), kube)] == [Outcome.NOT_PROVEN]


_CHOSEN = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
"""
_MACHINES = {**_KINDS, ("networking.istio.io/v1", "WorkloadEntry"): ApiKind("workloadentries", namespaced=True)}


def unmatched(tmp_path: Path, text: str, kube: FakeKube) -> list[str]:
    (tmp_path / "all.yaml").write_text(text)
    kube.served = _MACHINES
    found = anyio.run(unmatched_selectors, read_objects([tmp_path / "all.yaml"], []), None, kube)
    assert {one.code for one in found} <= {"POL052"}
    return [one.title for one in found]


def having(*there: tuple[str, str, dict[str, str]]) -> FakeKube:
    """A cluster with pods, or WorkloadEntries, of a namespace and with labels."""
    kube = FakeKube()
    for kind, namespace, labels in there:
        if kind == "Pod":
            pod = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a", "namespace": namespace, "labels": labels}}
            kube.objects[object_path("v1", "pods", namespace, "a")] = pod
        else:
            metadata = {"name": "a", "namespace": namespace}
            kube.put({"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": {"labels": labels}})
    return kube


def test_a_selector_that_neither_files_nor_cluster_have_a_workload_for_is_named(tmp_path: Path) -> None:
    told = ["its selector matches nothing: neither these files nor the cluster have a pod of shop with app=web"]
    assert unmatched(tmp_path, _CHOSEN, having()) == told
    assert unmatched(tmp_path, _CHOSEN, having(("Pod", "shop", {"app": "cart"}), ("Pod", "bank", {"app": "web"}))) == told
    for kind in ("Pod", "WorkloadEntry"):
        assert unmatched(tmp_path, _CHOSEN, having((kind, "shop", {"app": "web", "tier": "front"}))) == []


def test_a_selector_of_the_root_namespace_is_for_pods_of_all_and_what_files_tell_is_not_asked_for(tmp_path: Path) -> None:
    kube = having()
    root = _CHOSEN.replace("namespace: shop", "namespace: istio-system")
    assert unmatched(tmp_path, root, kube) == ["its selector matches nothing: neither these files nor the cluster have a pod with app=web"]
    assert unmatched(tmp_path, root, having(("Pod", "bank", {"app": "web"}))) == []
    kube.calls.clear()
    template = "{template: {metadata: {labels: {app: x}}}}"
    workload = f"---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: shop}}\nspec: {template}\n"
    assert unmatched(tmp_path, _CHOSEN + workload, kube) == []
    assert unmatched(tmp_path, _CHOSEN.replace("app: web", '"a,b": "c=d"'), kube) == []
    assert kube.calls == []


def test_pods_that_may_not_be_listed_are_told(tmp_path: Path) -> None:
    kube = FakeKube()
    kube.refusals["LIST /api/v1/namespaces/shop/pods"] = forbidden("pods")
    (told,) = unmatched(tmp_path, _CHOSEN, kube)
    assert told.startswith("cannot tell whether a pod of shop has app=web: ")


_ATTACHED = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: edge, namespace: shop}
spec:
  targetRefs:
  - {group: gateway.networking.k8s.io, kind: Gateway, name: edge}
"""


def test_a_target_that_neither_files_nor_cluster_have_is_named(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(_ATTACHED)
    objects, kube = read_objects([tmp_path / "all.yaml"], []), cluster()
    (found,) = anyio.run(missing_targets, objects, kube)
    assert (found.code, found.title) == ("POL034", "nothing enforces it: neither the files nor the cluster have Gateway shop/edge")
    assert found.origin.endswith("all.yaml:6:55")
    kube.refusals["GET /apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways/edge"] = forbidden("gateways")
    (found,) = anyio.run(missing_targets, objects, kube)
    assert found.title.startswith("cannot tell whether Gateway shop/edge is there: ")
    kube.refusals.clear()
    gateway = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "edge", "namespace": "shop"}}
    kube.put(gateway)
    assert anyio.run(missing_targets, objects, kube) == ()
    kube.calls.clear()
    assert anyio.run(missing_targets, (*objects, PolicyObject("x.yaml", gateway, {})), kube) == ()
    assert kube.calls == []
