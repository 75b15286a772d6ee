"""Who is a control plane: what Istio's webhook configurations call, and nobody who only looks like it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.engine.mesh.control_planes import Planes, control_planes, istiods, of_kube
from meshinstall.engine.mesh.reader import Asker
from meshinstall.errors import ClusterError, ForbiddenError
from meshinstall.model.istio import VOUCHING_KINDS
from meshinstall.model.mesh import Dataplane, Place, Pod
from tests.fake_kube import FakeKube, forbidden, vouch

pytestmark = pytest.mark.anyio

LABELS = {"app": "istiod", "istio": "pilot"}
HOOKS = {
    "MutatingWebhookConfiguration": "rev.namespace.sidecar-injector.istio.io",
    "ValidatingWebhookConfiguration": "rev.validation.istio.io",
}


def deployment(namespace: str = "istio-system", name: str = "istiod", *, container: str = "discovery", **labels: str) -> dict[str, Any]:
    """A Deployment that looks like istiod's."""
    spec = {"template": {"metadata": {"labels": {**LABELS, **labels}}, "spec": {"containers": [{"name": container}]}}}
    metadata = {"name": name, "namespace": namespace, "labels": {**LABELS, "istio.io/rev": "default"}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def configuration(kind: str, hook: str = "", **client: Any) -> dict[str, Any]:
    """A webhook configuration that calls ``client``."""
    version = "admissionregistration.k8s.io/v1"
    webhooks = [{"name": hook or HOOKS[kind], "clientConfig": client}]
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, "webhooks": webhooks}


def service(namespace: str = "istio-system", name: str = "istiod", **selector: str) -> dict[str, Any]:
    """A Service."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": selector}}


def cluster(*objects: dict[str, Any]) -> FakeKube:
    """A cluster with one control plane, and ``objects``."""
    kube = FakeKube()
    kube.put(deployment(), *objects)
    vouch(kube, deployment())
    return kube


async def look(kube: FakeKube) -> Planes:
    """What is found, with nothing missing."""
    asker = Asker(kube)
    found = await control_planes(asker.facts)
    assert asker.gaps == []
    assert found == await control_planes(of_kube(kube))
    return found


def places(planes: Planes) -> list[Place]:
    return [plane.istiod.place for plane in planes.found]


@pytest.mark.parametrize("kind", VOUCHING_KINDS)
async def test_a_control_plane_is_what_a_webhook_of_istio_calls(kind: str) -> None:
    kube = FakeKube()
    kube.put(deployment(), service(app="istiod"), configuration(kind, service={"namespace": "istio-system", "name": "istiod"}))
    found = await look(kube)
    assert places(found) == [Place("istio-system", "istiod")]
    assert found.namespaces == {"istio-system"}
    assert found.elsewhere == ()


@pytest.mark.parametrize(
    "objects",
    [
        (deployment("aaa"),),
        (deployment("aaa"), service("aaa", app="istiod")),
        (
            deployment("aaa"),
            service("aaa", app="istiod"),
            configuration("ValidatingWebhookConfiguration", "x.example", service={"namespace": "aaa", "name": "istiod"}),
        ),
        (deployment(name="web", container="app"),),
        (deployment(name="other", app="other"),),
        (deployment(name="other", app="other"), service(name="others", app="other")),
        (
            deployment(name="other", app="other"),
            service(name="empty"),
            configuration("ValidatingWebhookConfiguration", service={"namespace": "istio-system", "name": "empty"}),
        ),
        (configuration("ValidatingWebhookConfiguration", service={"namespace": "gone", "name": "istiod"}),),
    ],
    ids=[
        "a tenant's Deployment",
        "with a Service",
        "and a webhook that is not Istio's",
        "beside istiod, of another container",
        "beside istiod, not selected",
        "behind a Service that nothing calls",
        "behind a Service without a selector",
        "behind a Service that is gone",
    ],
)
async def test_what_only_looks_like_a_control_plane_is_none(objects: tuple[dict[str, Any], ...]) -> None:
    assert places(await look(cluster(*objects))) == [Place("istio-system", "istiod")]


async def test_another_control_plane_is_one_by_its_own_webhooks() -> None:
    other = deployment("istio-other")
    kube = cluster(other)
    vouch(kube, other)
    assert places(await look(kube)) == [Place("istio-other", "istiod"), Place("istio-system", "istiod")]


async def test_an_istiod_behind_a_url_is_not_in_the_cluster() -> None:
    found = await look(cluster(configuration("MutatingWebhookConfiguration", url="https://istiod.example/inject")))
    assert found.elsewhere == ("x",)
    assert len(found.found) == 1


async def test_an_istiod_that_is_asked_is_in_a_namespace_of_istiods() -> None:
    def one(namespace: str, **changes: Any) -> Pod:
        given = {"dataplane": Dataplane.CONTROL, "labels": {"app": "istiod"}, "running": True, **changes}
        return Pod(place=Place(namespace, "istiod-1"), workload="Deployment istiod", **given)

    home = one("istio-system")
    others = [one("aaa"), one("kube-system"), one("istio-system", labels={}), one("istio-system", dataplane=Dataplane.NONE)]
    assert istiods([*others, home, one("istio-system", running=False)], frozenset({"istio-system"})) == [home]


REFUSED = [
    *(f"/apis/admissionregistration.k8s.io/v1/{kind.lower()}s" for kind in VOUCHING_KINDS),
    "/api/v1/namespaces/istio-system/services",
    "/apis/apps/v1/namespaces/istio-system/deployments",
]


@pytest.mark.parametrize("path", REFUSED)
async def test_what_may_not_be_listed_is_kept_or_raised(path: str) -> None:
    kube = cluster()
    kube.refusals[f"LIST {path}"] = forbidden("it")
    asker = Asker(kube)
    await control_planes(asker.facts)
    (gap,) = asker.gaps
    assert gap.endswith('could not be listed: it is forbidden: User "ann" cannot do it')
    with pytest.raises(ForbiddenError):
        await control_planes(of_kube(kube))


async def test_a_webhook_configuration_that_is_not_understood_is_kept_or_raised() -> None:
    kube = cluster({**configuration("MutatingWebhookConfiguration"), "webhooks": "none"})
    asker = Asker(kube)
    assert places(await control_planes(asker.facts)) == [Place("istio-system", "istiod")]
    assert asker.unread == {"MutatingWebhookConfiguration"}
    with pytest.raises(ClusterError, match="MutatingWebhookConfigurations could not be parsed"):
        await control_planes(of_kube(kube))


NAMES = st.sampled_from(["istiod", "istiod-canary", "istio-system", "web"])
TENANTS = st.sampled_from(["aaa", "kube-syste", "istio-system-2"])


@given(st.lists(st.tuples(TENANTS, NAMES, st.booleans())))
async def test_nothing_that_tenants_make_in_their_namespaces_is_trusted(made: list[tuple[str, str, bool]]) -> None:
    objects = [(deployment if is_plane else service)(namespace, name, app="istiod") for namespace, name, is_plane in made]
    assert await look(cluster(*objects)) == await look(cluster())
