"""A pod that comes back from a dry run tells which istiod injects, and what to do when it is the wrong one."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from meshinstall.engine.gates.injection import Asked, ask_injection, ask_webhooks, proving_namespace
from meshinstall.errors import ClusterError, ForbiddenError, UnreachableError
from meshinstall.model.gate import WebhookSeen
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.release import Manifest
from tests.fakes import World
from tests.unit.engine.installed import GATEWAYS, PODS, world

pytestmark = pytest.mark.anyio

NEW = IstioVersion(1, 31, 0)
SHOP = "/api/v1/namespaces/shop/pods"
INJECTORS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
LABELS = {"app": "web", "sidecar.istio.io/inject": "true"}
TAGGED = {"matchExpressions": [{"key": "istio-injection", "operator": "In", "values": ["enabled"]}]}


def injecting(
    image: str = "reg:5000/istio/proxyv2:1.31.0-distroless@sha256:0", revision: str | None = "1-31", *, native: bool = True
) -> Any:
    """An API server with an injector."""

    def inject(body: Manifest) -> Manifest:
        proxy = {"name": "istio-proxy", "image": image}
        kept = [one for one in body["spec"]["containers"] if one["name"] != "istio-proxy"]
        spec = {"initContainers": [proxy], "containers": kept} if native else {"containers": [*kept, proxy]}
        notes = {**body["metadata"]["annotations"], "sidecar.istio.io/status": json.dumps({"revision": revision} if revision else {})}
        return {**body, "metadata": {**body["metadata"], "annotations": notes}, "spec": {**body["spec"], **spec}}

    return inject


def keeping(asked: list[Manifest], answer: Callable[[Manifest], Manifest]) -> Callable[[Manifest], Manifest]:
    """The same, which keeps what it is asked."""

    def keep(body: Manifest) -> Manifest:
        asked.append(body)
        return answer(body)

    return keep


def cluster(answer: Callable[[Manifest], Manifest], **labels: str) -> World:
    there = world()
    there.kube.answers[SHOP] = answer
    space = {"name": "shop", "labels": {name.replace("_", "/"): value for name, value in labels.items()}}
    there.kube.objects["/api/v1/namespaces/shop"] = {"kind": "Namespace", "metadata": space}
    return there


def injector(there: World, name: str, revision: str, tag: str = "", selector: Any = None) -> None:
    hook = {"name": "namespace.sidecar-injector.istio.io", "namespaceSelector": selector or TAGGED}
    labels = {"istio.io/rev": revision, **({"istio.io/tag": tag} if tag else {})}
    there.kube.objects[f"{INJECTORS}/{name}"] = {"metadata": {"name": name, "labels": labels}, "webhooks": [hook]}


async def why(there: World, revision: str = "1-31", **more: Any) -> str:
    return (await ask_injection(there.session(), Asked("shop", LABELS, "web", **more), NEW, revision)).why


@pytest.mark.parametrize("native", [True, False])
async def test_a_pod_of_the_workloads_own_labels_comes_back_with_the_right_proxy(native: bool) -> None:  # noqa: FBT001 - a column
    asked: list[Manifest] = []
    inject = injecting(native=native)
    there = cluster(keeping(asked, inject))
    assert await why(there) == ""
    assert asked[0]["metadata"]["labels"] == LABELS
    assert asked[0]["spec"]["serviceAccountName"] == "web"
    assert there.kube.calls == [f"CREATE {SHOP}"]
    assert not [path for path in there.kube.objects if path.startswith(f"{SHOP}/")]


async def test_without_a_revision_in_its_note_it_is_the_default_one() -> None:
    assert await why(cluster(injecting(revision=None)), "default") == ""


async def test_a_gateway_asks_with_its_own_container_and_template() -> None:
    asked: list[Manifest] = []
    inject = injecting(native=False)
    there = cluster(keeping(asked, inject))
    assert await why(there, annotations={"inject.istio.io/templates": "gateway"}) == ""
    (container,) = asked[0]["spec"]["containers"]
    assert (container["name"], container["image"]) == ("istio-proxy", "auto")
    assert asked[0]["metadata"]["annotations"] == {"inject.istio.io/templates": "gateway"}


async def test_of_two_injectors_the_later_by_name_wins_and_is_named() -> None:
    """The tag ``default`` was moved without effect: beside it an istiod without a revision still injects."""
    there = cluster(injecting("proxyv2:1.30.4", "default"), **{"istio-injection": "enabled"})
    injector(there, "istio-sidecar-injector", "default")
    injector(there, "istio-revision-tag-default", "1-31", "default")
    assert await why(there) == (
        "a pod in namespace shop gets the proxy of revision default, expected that of Istio 1.31.0, revision 1-31: the tag default has no "
        "effect: istio-sidecar-injector still selects these pods, and is called later, so revision default injects them; let "
        "istio-sidecar-injector select nothing first, as `istioctl tag set default` does"
    )


async def test_a_namespace_that_no_injector_of_the_target_selects_is_told_so() -> None:
    there = cluster(injecting("proxyv2:1.30.4", "default"), **{"istio-injection": "enabled"})
    injector(there, "istio-sidecar-injector", "default")
    assert (await why(there)).endswith(
        "istio-sidecar-injector selects it, and no injector of revision 1-31 does: move the tag, or the label of the namespace, first"
    )


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("proxyv2:1.30.4", "gets a proxy of Istio 1.30.4, expected that of Istio 1.31.0, revision 1-31"),
        ("proxyv2:latest", "cannot tell which version a pod in namespace shop gets: the tag latest is not a version"),
        ("proxyv2@sha256:0", "cannot tell which version a pod in namespace shop gets: the tag of its image is not a version"),
    ],
)
async def test_another_version_or_none_is_not_the_right_proxy(image: str, words: str) -> None:
    assert words in await why(cluster(injecting(image)))


@pytest.mark.parametrize("status", [None, "not json", "[]"])
async def test_a_container_that_is_called_like_the_proxy_is_none(status: str | None) -> None:
    def pretend(body: Manifest) -> Manifest:
        notes = {"sidecar.istio.io/status": status} if status else {}
        spec = {"containers": [{"name": "istio-proxy", "image": "proxyv2:1.31.0"}]}
        return {**body, "metadata": {**body["metadata"], "annotations": notes}, "spec": spec}

    there = cluster(pretend)
    assert "gets no proxy" in await why(there)
    assert "no injector selects it" in await why(there)
    injector(there, "istio-sidecar-injector-1-31", "1-31", selector={"matchLabels": {"kubernetes.io/metadata.name": "shop"}})
    assert "istio-sidecar-injector-1-31 selects it, and its istiod left it without one" in await why(there)


async def test_injectors_that_cannot_be_read_leave_the_reason_open() -> None:
    there = cluster(lambda body: body)
    there.kube.refusals[f"LIST {INJECTORS}"] = ForbiddenError("no")
    assert (await why(there)).endswith("the injectors could not be read")


def raising(error: ClusterError) -> Callable[[Manifest], Manifest]:
    def refuse(_: Manifest) -> Manifest:
        raise error

    return refuse


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ClusterError('failed calling webhook "x": timeout'), "injection webhook: failed calling webhook"),
        (UnreachableError("no route"), "injection webhook: no route"),
        (ForbiddenError('pods "x" is forbidden: violates PodSecurity'), "the API server refuses a dry-run pod in namespace shop"),
        (ForbiddenError('pods "x" is forbidden: exceeded quota'), "the API server refuses a dry-run pod in namespace shop"),
    ],
)
async def test_what_the_api_server_says_is_passed_on(error: ClusterError, words: str) -> None:
    assert words in await why(cluster(raising(error)))


async def test_a_question_that_is_not_permitted_is_an_error() -> None:
    with pytest.raises(ForbiddenError):
        await why(cluster(raising(ForbiddenError('pods is forbidden: User "ann" cannot create'))))


async def test_an_answer_of_another_shape_is_words_and_no_traceback() -> None:
    assert "cannot be understood" in await why(cluster(lambda _: {"metadata": {}, "spec": {"containers": "x"}}))


OPEN: dict[str, str] = {}


@pytest.mark.parametrize(
    ("spaces", "revision", "expected"),
    [
        ({"istio-system": OPEN, "default": OPEN}, "1-31", "istio-system"),
        ({"istio-system": {"istio-injection": "disabled"}, "default": OPEN}, "1-31", "default"),
        ({"istio-system": {"istio-injection": "disabled"}, "default": {"istio-injection": "enabled"}}, "1-31", ""),
        ({"istio-system": {"istio-injection": "disabled"}, "default": {"istio-injection": "enabled"}}, "default", "default"),
        ({"istio-system": {"istio.io/rev": "x"}, "shop": {"istio.io/rev": "1-31"}}, "1-31", "shop"),
        ({"kube-system": OPEN}, "1-31", ""),
    ],
)
def test_a_revision_is_asked_where_it_may_inject(spaces: dict[str, dict[str, str]], revision: str, expected: str) -> None:
    assert proving_namespace("istio-system", revision, spaces) == expected


SPACES = {"istio-system": OPEN}


async def test_the_webhooks_of_a_revision_answer_as_its_version() -> None:
    there = world()
    there.kube.answers[PODS] = lambda body: injecting()({**body, "metadata": {"annotations": {}, **body["metadata"]}})
    session = there.session()
    assert await ask_webhooks(session, "istio-system", "1-31", NEW, SPACES) == WebhookSeen("1-31", "1.31.0")
    older = await ask_webhooks(session, "istio-system", "1-31", IstioVersion(1, 31, 1), SPACES)
    assert "istiod has not been replaced everywhere yet" in older.trouble
    assert older.asked
    unknown = await ask_webhooks(session, "istio-system", "1-31", None, SPACES)
    assert (unknown.asked, unknown.trouble) == (False, "the version of its istiod is unknown")


async def test_webhooks_that_validate_nothing_are_in_trouble() -> None:
    there = world(webhooks=False)
    hook = {"name": "validation.istio.io", "clientConfig": {"service": {"name": "istiod-1-31", "namespace": "istio-system"}}}
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/istiod-default-validator"
    there.kube.objects[path] = {"metadata": {}, "webhooks": [hook]}
    there.kube.answers[GATEWAYS] = lambda body: body
    found = await ask_webhooks(there.session(), "istio-system", "1-31", NEW, SPACES)
    assert found.trouble == "validation webhook: istiod does not reject an invalid object yet"


async def test_where_no_namespace_can_be_injected_nothing_is_proven() -> None:
    there = world()
    away = {"istio-system": {"istio-injection": "disabled"}}
    there.kube.objects["/api/v1/namespaces/istio-system"] = {"metadata": {"name": "istio-system", "labels": away["istio-system"]}}
    there.kube.answers[PODS] = lambda body: body
    found = await ask_webhooks(there.session(), "istio-system", "1-31", NEW, away)
    assert (found.asked, found.trouble) == (False, "no namespace was found whose pods revision 1-31 may inject")


async def test_a_pod_that_something_else_refuses_leaves_the_version_open() -> None:
    there = world()
    there.kube.answers[PODS] = raising(ForbiddenError('pods "x" is forbidden: violates PodSecurity'))
    found = await ask_webhooks(there.session(), "istio-system", "1-31", NEW, SPACES)
    assert not found.asked
    assert found.trouble.startswith("the API server refuses")


@pytest.mark.parametrize(("revision", "asked"), [("1-31", False), ("default", True)])
async def test_a_version_that_the_image_does_not_say_is_left_open_and_the_wrong_revision_is_not(revision: str, asked: bool) -> None:  # noqa: FBT001 - columns
    there = world()
    inject = injecting("proxyv2:latest", revision)
    there.kube.answers[PODS] = lambda body: inject({**body, "metadata": {"annotations": {}, **body["metadata"]}})
    assert (await ask_webhooks(there.session(), "istio-system", "1-31", NEW, SPACES)).asked is asked
