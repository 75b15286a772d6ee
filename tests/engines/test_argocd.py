"""Argo CD itself keeps a mesh by what ``render --format argocd`` writes."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import yaml

from testbed.waiting import until
from tests.engines.argo_world import PATIENCE, ArgoWorld, argo_world
from tests.engines.git_world import ENVIRONMENT, SITE

_POLICY = "peerauthentications.security.istio.io", "default", "-n", "istio-system"
_VALIDATORS = ("istiod-default-validator", "istio-validator-istio-system")


@pytest.fixture(scope="module")
def world() -> Iterator[ArgoWorld]:
    """A mesh that Argo CD has made."""
    with argo_world(f"argo-{os.getpid()}") as one:
        one.deliver()
        yield one


def test_each_step_waits_for_the_one_before(world: ArgoWorld) -> None:
    made = {one["metadata"]["name"]: one["metadata"]["creationTimestamp"] for one in world.get("applications.argoproj.io", "-A")["items"]}
    found = world.applications()
    steps = [f"{SITE}-{name}" for name in ("mesh-namespaces", "istio-base", "istiod", "istio-ingress", "mesh-policies")]
    assert {*steps, f"mesh-{SITE}"} == found.keys()
    # Seconds are all that Kubernetes tells.
    assert [made[name] for name in steps] == sorted(made[name] for name in steps)
    # An Application is made when the one of the step before is whole: its objects were there before.
    (istiod,) = world.get("pods", "-n", "istio-system")["items"]
    (gateway,) = world.get("pods", "-n", "istio-ingress")["items"]
    assert _ready(istiod) <= made[f"{SITE}-istio-ingress"] <= gateway["metadata"]["creationTimestamp"]
    assert _ready(gateway) <= made[f"{SITE}-mesh-policies"]
    crds = [one["metadata"] for one in world.get("customresourcedefinitions")["items"] if one["metadata"]["name"].endswith(".istio.io")]
    assert crds
    assert max(one["creationTimestamp"] for one in crds) <= made[f"{SITE}-istiod"]


def _ready(pod: Mapping[str, Any]) -> str:
    (since,) = (one["lastTransitionTime"] for one in pod["status"]["conditions"] if one["type"] == "Ready" and one["status"] == "True")
    return str(since)


def test_no_gateway_started_without_its_proxy(world: ArgoWorld) -> None:
    pods = world.get("pods", "-n", "istio-ingress")["items"]
    assert [one["image"].rpartition("/")[2] for pod in pods for one in pod["spec"]["containers"]] == ["proxyv2:1.31.0"]
    events = world.get("events", "-n", "istio-ingress")["items"]
    assert [one["message"] for one in events if one["type"] == "Warning" and "image" in one["message"].lower()] == []


def test_what_is_there_is_what_is_rendered(world: ArgoWorld) -> None:
    world.meshinstall("render", "--format", "manifests", "--out", "../manifests", "--env", ENVIRONMENT)
    folder = world.folder.parent / "manifests"
    flags = ("--server-side", "--force-conflicts", "--recursive")
    assert world.shell.ok("kubectl", "diff", *flags, "-f", str(folder / ENVIRONMENT)) == ""


def test_three_more_comparisons_change_nothing(world: ArgoWorld) -> None:
    """Nothing is told to be ignored, and no operation starts."""
    before, objects = world.applications(), _versions(world)
    assert [one.spec.get("ignoreDifferences") for one in before.values()] == [None] * len(before)
    for hard in (False, False, True):
        world.resync(hard=hard)
        now = world.applications()
        assert all(one.is_well for one in now.values()), world.told()
        assert {name: one.started for name, one in now.items()} == {name: one.started for name, one in before.items()}
        assert _versions(world) == objects
        assert _failure_policies(world) == {"Fail"}


def _versions(world: ArgoWorld) -> dict[str, object]:
    """Every object that the Applications have, with how often it was written, but for what controllers tell in its status."""
    kinds = {f"{one['kind']}.{one.get('group', '')}".rstrip(".") for one in _resources(world) if one["kind"] != "Application"}
    found = world.get(",".join(sorted(kinds)), "-A")["items"]
    names = {(one["kind"], one.get("namespace", ""), one["name"]) for one in _resources(world)}
    about = [((one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]), one) for one in found]
    return {" ".join(name): _without_status(one) for name, one in about if name in names}


def _without_status(manifest: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {name: value for name, value in manifest["metadata"].items() if name not in {"resourceVersion", "managedFields"}}
    return {**{name: value for name, value in manifest.items() if name != "status"}, "metadata": metadata}


def _resources(world: ArgoWorld) -> list[Mapping[str, Any]]:
    return [resource for one in world.applications().values() for resource in one.status["resources"]]


def _failure_policies(world: ArgoWorld) -> set[str]:
    found = world.get("validatingwebhookconfigurations", *_VALIDATORS)["items"]
    assert len(found) == len(_VALIDATORS)
    return {hook["failurePolicy"] for one in found for hook in one["webhooks"]}


def test_an_edit_of_what_git_says_is_taken_back(world: ArgoWorld) -> None:
    _patch(world, {"spec": {"mtls": {"mode": "PERMISSIVE"}}})
    until(lambda: _spec(world) == {"mtls": {"mode": "STRICT"}}, PATIENCE, lambda: f"stays {_spec(world)}\n{world.told()}")
    world.wait_synced()


def test_an_addition_that_voids_a_policy_is_not_seen(world: ArgoWorld) -> None:
    """Why a mesh that Argo CD keeps needs meshinstall's own comparison: the mesh-wide policy is void, and all is Synced."""
    before = world.applications()[f"{SITE}-mesh-policies"].started
    _patch(world, {"spec": {"selector": {"matchLabels": {"app": "nothing"}}}})
    try:
        for hard in (False, True):
            world.resync(hard=hard)
            found = world.applications()[f"{SITE}-mesh-policies"]
            assert (found.is_well, found.started) == (True, before)
        assert _spec(world)["selector"] == {"matchLabels": {"app": "nothing"}}
    finally:
        _patch(world, {"spec": {"selector": None}})


def _spec(world: ArgoWorld) -> dict[str, Any]:
    found: dict[str, Any] = world.get(*_POLICY)["spec"]
    return found


def _patch(world: ArgoWorld, patch: Mapping[str, Any]) -> None:
    world.shell.ok("kubectl", "patch", *_POLICY, "--type=merge", "-p", json.dumps(patch))


def test_a_policy_comes_and_goes_with_its_file(world: ArgoWorld) -> None:
    world.shut_gateway()
    world.wait_synced()
    assert world.shell.run("kubectl", "get", "authorizationpolicies", "-n", "istio-ingress", "shut").returncode == 0
    world.open_gateway()
    world.wait_synced()
    assert world.get("authorizationpolicies", "-A")["items"] == []


def test_without_the_value_that_decides_argo_cd_and_istiod_fight(world: ArgoWorld) -> None:
    """Istiod sets Fail, Argo CD puts Ignore back, in which a mistaken policy is taken: so the value is needed, and no rule to ignore."""
    _change(world, "Without the value")
    _wait_for_a_fight(world)
    _as_rendered(world)


def test_rules_to_ignore_instead_of_the_value_are_a_trap(world: ArgoWorld) -> None:
    """One without its group ignores nothing; one with it is forgotten by the next sync, unless Argo CD is told to respect it."""
    rule = {"kind": "ValidatingWebhookConfiguration", "jqPathExpressions": [".webhooks[]?.failurePolicy"]}
    _change(world, "A rule without its group", rules=[rule])
    _wait_for_a_fight(world)
    rules = [{"group": "admissionregistration.k8s.io", **rule}]
    _change(world, "A rule", rules=rules)
    world.wait_synced()
    until(lambda: _failure_policies(world) == {"Fail"}, PATIENCE, lambda: "failurePolicy stays Ignore")
    before = _generation(world)
    world.resync()
    assert (_failure_policies(world), _generation(world)) == ({"Fail"}, before)
    _change(world, "A rule, and something else", rules=rules, puller="one")
    world.wait_synced()
    assert _generation(world) > before
    respecting = ["RespectIgnoreDifferences=true"]
    _change(world, "A rule that is respected", rules=rules, puller="one", options=respecting)
    world.wait_synced()
    until(lambda: _failure_policies(world) == {"Fail"}, PATIENCE, lambda: "failurePolicy stays Ignore")
    before = _generation(world)
    _change(world, "A rule that is respected, and something else", rules=rules, puller="two", options=respecting)
    world.wait_synced()
    assert (_failure_policies(world), _generation(world)) == ({"Fail"}, before)
    _as_rendered(world)


def _change(world: ArgoWorld, message: str, *, rules: Sequence[Any] = (), puller: str = "", options: Sequence[str] = ()) -> None:
    """Take the value out of what was rendered, add this, and commit it; ``puller`` changes an object that is no webhook."""
    world.render()
    for name in ("istio-base", "istiod"):
        path = f"dev/local/applications/{name}.yaml"
        application = world.read(path)
        spec = application["spec"]
        values = spec["source"]["helm"]["valuesObject"]
        assert values.pop("base")["validationFailurePolicy"] == "Fail"
        if puller and name == "istio-base":
            values.setdefault("global", {})["imagePullSecrets"] = [puller]
        spec["syncPolicy"]["syncOptions"] += options
        if rules:
            spec["ignoreDifferences"] = list(rules)
        world.write(f"argocd/{path}", yaml.safe_dump(application))
    world.commit(message)
    world.refresh()


def _wait_for_a_fight(world: ArgoWorld) -> None:
    starts: dict[str, set[str]] = {f"{SITE}-istio-base": set(), f"{SITE}-istiod": set()}

    def has_fought() -> bool:
        for name, one in world.applications().items():
            starts.get(name, set()).add(one.started)
        # The operation before, that of the commit, and two that nobody asked for.
        return any(len(times) >= 4 for times in starts.values())

    until(has_fought, PATIENCE, lambda: f"no fight: {starts}\n{world.told()}")


def _as_rendered(world: ArgoWorld) -> None:
    world.render()
    world.commit("As it is rendered")
    world.wait_synced()
    until(lambda: _failure_policies(world) == {"Fail"}, PATIENCE, lambda: "failurePolicy stays Ignore")


def _generation(world: ArgoWorld) -> int:
    """How often the validator of base was written; istiod puts Fail back at once, so the field itself does not tell."""
    return int(world.get("validatingwebhookconfiguration", _VALIDATORS[0])["metadata"]["generation"])


def test_kinds_that_leave_the_chart_stay_in_the_cluster(world: ArgoWorld) -> None:
    """With a kind, all its objects would go."""
    path, kind = "dev/local/applications/istio-base.yaml", "wasmplugins.extensions.istio.io"
    application = world.read(path)
    application["spec"]["source"]["helm"]["valuesObject"].setdefault("base", {})["excludedCRDs"] = [kind]
    world.write(f"argocd/{path}", yaml.safe_dump(application))
    world.commit("Without a kind")
    world.wait_synced()
    assert kind not in {one["name"] for one in world.applications()[f"{SITE}-istio-base"].status["resources"]}
    assert world.get("customresourcedefinition", kind)["metadata"].get("deletionTimestamp") is None
    world.render()
    world.commit("With the kind again")
    world.wait_synced()


def test_kinds_stay_when_an_application_is_deleted_with_all_it_has(world: ArgoWorld) -> None:
    """As by the button of Argo CD, which adds the finalizer; the parent makes the Application again."""
    before = _istio_kinds(world)
    name = f"applications.argoproj.io/{SITE}-istio-base"
    finalizer = {"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}}
    account = ("serviceaccount", "istio-reader-service-account", "-n", "istio-system", "-o", "jsonpath={.metadata.uid}")
    uid = world.shell.ok("kubectl", "get", *account)
    world.shell.ok("kubectl", "patch", "-n", "argocd", name, "--type=merge", "-p", json.dumps(finalizer))
    world.shell.ok("kubectl", "delete", "-n", "argocd", name)
    until(lambda: world.shell.run("kubectl", "get", *account).stdout not in {uid, ""}, PATIENCE, lambda: "the account was not made again")
    world.wait_synced()
    assert _istio_kinds(world) == before


def _istio_kinds(world: ArgoWorld) -> dict[str, str]:
    """The kinds of Istio, and who they are: one that was deleted and made again is another."""
    found = (one["metadata"] for one in world.get("customresourcedefinitions")["items"])
    return {one["name"]: one["uid"] for one in found if one["name"].endswith(".istio.io")}


def test_a_mesh_outlives_its_application_set(world: ArgoWorld) -> None:
    """The Application that it made goes with it; those of the mesh stay, and so does all that they made."""
    before, applications = _versions(world), world.applications().keys()
    parent = f"mesh-{SITE}"
    world.shell.ok("kubectl", "delete", "-n", "argocd", "applicationsets.argoproj.io/meshes")
    until(lambda: parent not in world.applications(), PATIENCE, lambda: "the parent stays")
    world.resync()
    assert world.applications().keys() == applications - {parent}
    assert all(one.is_well for one in world.applications().values()), world.told()
    assert _versions(world) == before
    world.deliver()
