"""One look at a mesh: what it takes, what it finds, and what it says when it may not look."""

import base64
import json

import pytest

from meshinstall.adapters.certificates import read_roots
from meshinstall.engine.mesh.client_dump import CLUSTERS
from meshinstall.engine.mesh.envoy import dump_path
from meshinstall.errors import UnreachableError
from meshinstall.model.mesh import ControlPlane, Dataplane, Mode, Place, SyncState
from meshinstall.model.paths import object_path
from tests.fake_kube import forbidden, now
from tests.unit.engine.mesh.kube_worlds import ENTRY, RULE, metadata, pod
from tests.unit.engine.mesh.survey_world import BRAIN, CLIENT_KINDS, EDGE, FOREIGN, ROOT, ROOT_FACTS, WEB, Asked, Mesh, record

pytestmark = pytest.mark.anyio


# The root of another mesh.

FOREIGN_FACTS = read_roots(FOREIGN.encode())[0]

LISTS = {
    "PeerAuthentication": "/apis/security.istio.io/v1/peerauthentications",
    "DestinationRule": "/apis/networking.istio.io/v1/destinationrules",
    "ServiceEntry": "/apis/networking.istio.io/v1/serviceentries",
    "Sidecar": "/apis/networking.istio.io/v1/sidecars",
    "WorkloadEntry": "/apis/networking.istio.io/v1/workloadentries",
    "VirtualService": "/apis/networking.istio.io/v1/virtualservices",
    "EnvoyFilter": "/apis/networking.istio.io/v1alpha3/envoyfilters",
    "Service": "/api/v1/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/endpointslices",
    "Namespace": "/api/v1/namespaces",
    "ConfigMap": "/api/v1/configmaps",
    "Pod": "/api/v1/pods",
    "Deployment": "/apis/apps/v1/namespaces/istio-system/deployments",
    "MutatingWebhookConfiguration": "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "ValidatingWebhookConfiguration": "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
}

# Of the namespace that the webhook configurations name.
CALLED = "/api/v1/namespaces/istio-system/services"


async def test_a_mesh_is_seen_as_a_whole() -> None:
    mesh = Mesh()
    facts = await mesh.look()
    assert facts.gaps == ()
    assert facts.unread == ()
    assert facts.now == now()
    assert facts.control_planes == (
        ControlPlane(Place("istio-system", "istiod-canary"), "canary", "1.31.0", "istio-system", "corp", domain="mesh.corp"),
    )
    roots = {name: space.roots for name, space in facts.namespaces.items()}
    assert roots == {"shop": (ROOT_FACTS.fingerprint,), "istio-system": (ROOT_FACTS.fingerprint,), "edge": ()}
    kinds = {one.place: one.dataplane for one in facts.pods}
    assert kinds == {WEB: Dataplane.SIDECAR, EDGE: Dataplane.GATEWAY, BRAIN: Dataplane.CONTROL}
    assert [port.number for one in facts.pods if one.place == WEB for port in one.ports] == [5353, 8080, 9090]
    assert [one.ports for one in facts.services if one.place == WEB] == [{80: 8080, 9090: 9090}]
    assert [one.mode for one in facts.policies] == [Mode.STRICT]
    assert [one.host for one in facts.client_rules] == ["web.shop.svc.cluster.local"]
    assert [one.hosts for one in facts.external] == [("pay.example", "*.pay.example")]
    assert facts.authorities == (ROOT_FACTS,)


async def test_each_proxy_is_seen_with_its_chains_certificates_and_sync() -> None:
    facts = await Mesh().look()
    assert facts.proxies.keys() == {WEB, EDGE}
    web = facts.proxies[WEB]
    assert web.version == "1.31.0"
    assert web.sync == SyncState.SYNCED
    assert web.istiod == "istio-system/istiod-1"
    assert web.problem == ""
    assert facts.proxies[EDGE].sync == SyncState.UNKNOWN
    assert facts.proxies[EDGE].istiod == ""
    assert {(chain.tls, chain.client_certificate, chain.roots) for chain in web.inbound} == {
        (True, True, (ROOT_FACTS.fingerprint,)),
        (False, False, ()),
    }
    assert [one.root for one in web.certificates] == [ROOT_FACTS.fingerprint] * 2
    assert web.certificates[0].uris == ("spiffe://cluster.local/ns/shop/sa/default",)
    assert web.roots == (ROOT_FACTS,)


async def test_the_requests_do_not_depend_on_how_much_there_is_but_for_one_to_each_proxy_and_istiod() -> None:
    mesh = Mesh()
    mesh.add("v1", "pods", *(pod(name=f"web-{number}") for number in range(20)), pod(name="off", inits=[]))
    judged = [EDGE, WEB, *(Place("shop", f"web-{number}") for number in range(20))]
    for place in judged:
        mesh.sends(place)
    await mesh.look()
    gets = ["/apis/security.istio.io/v1", *["/apis/networking.istio.io/v1"] * 5, "/apis/networking.istio.io/v1alpha3"]
    gets += [f"/apis/gateway.networking.k8s.io/{version}" for version in ("v1", "v1alpha3")]
    gets += ["/api/v1/namespaces/istio-system/configmaps/istio-canary"]
    gets += [f"/api/v1/namespaces/istio-system/secrets/{name}" for name in ("cacerts", "istio-ca-secret")]
    assert sorted(mesh.kube.calls) == sorted([f"LIST {path}" for path in (*LISTS.values(), CALLED)] + [f"GET {path}" for path in gets])
    assert sorted(place for place, path in mesh.asked.asked if path == dump_path()) == sorted(judged)


async def test_one_of_those_that_hold_the_same_is_asked_what_it_would_send() -> None:
    mesh = Mesh()
    mesh.add("v1", "pods", *(pod(name=f"web-{number}", labels={"app": "web"}) for number in range(20)))
    mesh.istiod.records["istiod-1"] = [record(), *(record(f"web-{number}.shop") for number in range(20))]
    mesh.sends(WEB)
    facts = await mesh.look()
    assert facts.clients
    (group,) = [group for group in facts.clients.groups if WEB in group.pods]
    assert len(group.pods) == 21
    assert group.asked == WEB
    assert sorted(place for place, path in mesh.asked.asked if path == CLUSTERS) == [EDGE, EDGE, WEB]
    (gateway,) = [group for group in facts.clients.groups if EDGE in group.pods]
    assert gateway.problem == "no port-forward to pod edge/gate"


async def test_a_silent_client_that_has_ended_since_is_none() -> None:
    class Ending(Asked):
        """The gateway's pod ends while it is asked."""

        async def get(self, namespace: str, pod: str, port: int, path: str) -> bytes:
            """No answer."""
            if pod == EDGE.name:
                mesh.kube.objects[object_path("v1", "pods", *EDGE)]["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
            return await super().get(namespace, pod, port, path)

    mesh = Mesh()
    mesh.sends(WEB)
    facts = await mesh.look()
    assert facts.clients
    assert {place for group in facts.clients.groups if not group.asked for place in group.pods} == {EDGE}
    answers, mesh.pods = mesh.pods.answers, Ending()
    mesh.pods.answers = answers
    facts = await mesh.look()
    assert facts.clients
    assert [group for group in facts.clients.groups if not group.asked] == []


async def test_of_other_namespaces_pods_are_clients_alone() -> None:
    mesh = Mesh()
    there = Place("elsewhere", "web")
    mesh.add("v1", "pods", pod(namespace="elsewhere"))
    facts = await mesh.look("shop")
    assert facts.judged == frozenset({"shop"})
    assert facts.proxies.keys() == {WEB}
    assert facts.proxies[WEB].sync is SyncState.SYNCED
    assert facts.clients
    assert {place for group in facts.clients.groups for place in group.pods} == {WEB, EDGE, there}
    assert [call for call in mesh.kube.calls if call.endswith("/pods")] == ["LIST /api/v1/pods"]


@pytest.mark.parametrize(("kind", "path"), LISTS.items(), ids=LISTS)
async def test_a_list_that_is_refused_is_a_gap(kind: str, path: str) -> None:
    mesh = Mesh()
    mesh.kube.refusals[f"LIST {path}"] = forbidden(kind)
    facts = await mesh.look()
    many = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    assert facts.gaps == (f'{many} could not be listed: {kind} is forbidden: User "ann" cannot do it',)
    assert facts.unread == (kind,)


async def test_an_api_server_that_is_gone_is_no_gap() -> None:
    for refused in (f"LIST {LISTS['Service']}", "GET /apis/security.istio.io/v1"):
        mesh = Mesh()
        mesh.kube.refusals[refused] = UnreachableError("the API server is gone")
        with pytest.raises(UnreachableError):
            await mesh.look()


@pytest.mark.parametrize(("version", "older"), [("v1beta1", True), ("v1alpha3", True), ("v2", False)])
async def test_istios_kinds_are_listed_in_a_version_that_the_cluster_knows(version: str, older: bool) -> None:  # noqa: FBT001 - a column
    mesh = Mesh()
    mesh.serves("networking.istio.io/v1", **{kind: {"metadata": metadata()} for kind in CLIENT_KINDS})
    others = {"envoyfilters": {"metadata": metadata()}} if version == "v1alpha3" else {}
    mesh.serves(f"networking.istio.io/{version}", destinationrules=RULE, serviceentries=ENTRY, **others)
    facts = await mesh.look()
    assert (len(facts.client_rules), len(facts.external)) == ((1, 1) if older else (0, 0))
    assert facts.unread == (() if older else ("DestinationRule", "ServiceEntry"))
    words = "could not be listed: the cluster does not know the kind"
    assert facts.gaps == (() if older else (f"DestinationRules {words}", f"ServiceEntries {words}"))


async def test_an_object_that_is_not_understood_is_a_gap_and_the_others_stay() -> None:
    mesh = Mesh()
    for name in ("one", "two"):
        mesh.add("security.istio.io/v1", "peerauthentications", {"metadata": metadata(name), "spec": {"mtls": {"mode": "MAYBE"}}})
    facts = await mesh.look()
    assert len(facts.policies) == 1
    assert facts.gaps == ("PeerAuthentications that could not be parsed: 2, such as shop/one: 'MAYBE' is not a valid Mode",)
    assert facts.unread == ("PeerAuthentication",)


async def test_without_a_mesh_configuration_istiods_defaults_are_assumed_and_said() -> None:
    mesh = Mesh()
    del mesh.kube.objects["/api/v1/namespaces/istio-system/configmaps/istio-canary"]
    facts = await mesh.look()
    (plane,) = facts.control_planes
    assert plane.trust_domain == "cluster.local"
    assert plane.root_namespace == "istio-system"
    assert plane.auto_mtls is True
    assert facts.gaps == ("ConfigMap istio-system/istio-canary does not exist; istiod's defaults are assumed",)
    assert facts.unread == ("MeshConfig",)

    mesh.configure("a: {")
    facts = await mesh.look()
    (gap,) = facts.gaps
    assert gap.startswith("ConfigMap istio-system/istio-canary could not be read: not YAML")
    assert facts.unread == ("MeshConfig",)


async def test_a_cluster_without_istio_has_no_control_plane() -> None:
    mesh = Mesh()
    mesh.kube.objects.clear()
    facts = await mesh.look()
    assert facts.control_planes == ()
    assert facts.pods == ()
    assert facts.proxies == {}
    kinds = {"DestinationRule", "EnvoyFilter", "PeerAuthentication", "ServiceEntry", "Sidecar", "VirtualService", "WorkloadEntry"}
    assert set(facts.unread) == kinds


async def test_the_authority_that_istiod_signs_with_is_told_by_its_certificates_alone() -> None:
    mesh = Mesh()
    texts = {"ca-cert.pem": FOREIGN, "ca-key.pem": "PLANTED KEY", "root-cert.pem": ROOT}
    data = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
    mesh.add("v1", "secrets", {"metadata": metadata("cacerts", "istio-system"), "data": data})
    facts = await mesh.look()
    assert [(one.fingerprint, one.root) for one in facts.authorities] == [
        (ROOT_FACTS.fingerprint, ROOT_FACTS.fingerprint),
        (FOREIGN_FACTS.fingerprint, ""),
    ]
    assert not any(b"PLANTED" in pem for pem in mesh.certificates.chains)
    assert "GET /api/v1/namespaces/istio-system/secrets/istio-ca-secret" not in mesh.kube.calls


async def test_secrets_that_may_not_be_read_are_gaps() -> None:
    mesh = Mesh()
    for name in ("cacerts", "istio-ca-secret"):
        mesh.kube.refusals[f"GET /api/v1/namespaces/istio-system/secrets/{name}"] = forbidden("secrets")
    facts = await mesh.look()
    words = 'could not be read: secrets is forbidden: User "ann" cannot do it'
    assert facts.gaps == tuple(f"Secret istio-system/{name} {words}" for name in ("cacerts", "istio-ca-secret"))
    assert facts.authorities == (ROOT_FACTS,)


async def test_a_root_that_somebody_put_into_a_namespace_is_no_authority_of_the_mesh() -> None:
    mesh = Mesh()
    mesh.trust("shop", FOREIGN)
    facts = await mesh.look()
    assert facts.namespaces["shop"].roots == (FOREIGN_FACTS.fingerprint,)
    assert facts.authorities == (ROOT_FACTS,)


async def test_roots_that_the_mesh_configuration_names_are_its_own() -> None:
    mesh = Mesh()
    mesh.configure(json.dumps({"caCertificates": [{"pem": FOREIGN}]}))
    assert {one.fingerprint for one in (await mesh.look()).authorities} == {ROOT_FACTS.fingerprint, FOREIGN_FACTS.fingerprint}


async def test_roots_that_are_not_understood_are_gaps_and_leave_the_others_useful() -> None:
    mesh = Mesh()
    mesh.trust("shop", "no PEM")
    mesh.configure("caCertificates: [{pem: neither}]")
    facts = await mesh.look()
    assert [gap.partition(" could not be parsed: not a certificate")[0] for gap in facts.gaps] == [
        "ConfigMap shop/istio-ca-root-cert",
        "a root in the mesh configuration",
    ]
    assert facts.proxies[WEB].certificates[0].root == ROOT_FACTS.fingerprint


async def test_a_proxy_that_trusts_another_root_leads_to_its_own() -> None:
    mesh = Mesh()
    for space in ("shop", "istio-system"):
        mesh.trust(space, FOREIGN)
    web = (await mesh.look()).proxies[WEB]
    assert web.roots == (ROOT_FACTS,)
    assert web.certificates[0].root == ROOT_FACTS.fingerprint
