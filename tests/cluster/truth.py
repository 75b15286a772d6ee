"""The situations of ``situations``, by name."""

import json
from typing import Any

from tests.cluster.mesh import namespace
from tests.cluster.situations import CONFIG, TRAFFIC, Manifest, Right, Situation, client, istio, peer, server, service, space, web

WEB = "Deployment web"
_SOUND = Right(WEB, 8080, "PASS", "PASS")


def _rule(place: str, **spec: Any) -> Manifest:
    where, _, name = place.partition("/")
    return istio("DestinationRule", place, {"host": f"{name}.{where}.svc.cluster.local", **spec})


def _gateway(place: str) -> Manifest:
    """A gateway of its own, which the webhook makes of a pod."""
    where, _, name = place.partition("/")
    labels = {"istio": "test-egress", "app": name}
    proxy = {"name": "istio-proxy", "image": "auto", "imagePullPolicy": "IfNotPresent", "ports": [{"containerPort": 8080}]}
    metadata = {"labels": labels, "annotations": {"inject.istio.io/templates": "gateway"}}
    template = {"metadata": metadata, "spec": {"terminationGracePeriodSeconds": 1, "containers": [proxy]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": where}, "spec": spec}


_PORT = {"tls": {"mode": "DISABLE"}, "portLevelSettings": [{"port": {"number": 80}, "connectionPool": {"tcp": {"maxConnections": 100}}}]}

CLIENTS = (
    # istio/istio#56084: clients choose by the policy of the namespace, not by that of the workload.
    Situation(
        "namespace-disable",
        (*web("namespace-disable"), peer("namespace-disable/default", "DISABLE"), peer("namespace-disable/web", "STRICT", app="web")),
        (Right(WEB, 8080, "PASS", "FAIL", (("MTL015", "PeerAuthentication namespace-disable/default"),)),),
        (_SOUND,),
        advice=(("MTL015", "PeerAuthentication namespace-disable/default"),),
    ),
    # istio/istio#41978: a Sidecar object that does not list the server's namespace.
    Situation(
        "hidden",
        (
            *web("hidden"),
            space("hidden-client"),
            client("hidden-client/client"),
            istio("Sidecar", "hidden-client/default", {"egress": [{"hosts": ["./*", "istio-system/*"]}]}),
        ),
        (Right(WEB, 8080, "PASS", "FAIL", (("MTL016", "Sidecar hidden-client/default"),)),),
        (_SOUND,),
        mend=(
            istio(
                "Sidecar",
                "hidden-client/default",
                {"egress": [{"hosts": ["./*", "istio-system/*"]}], "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}},
            ),
        ),
    ),
    # istio/istio#49584: a headless Service, and one of its pods has no proxy.
    Situation(
        "headless",
        (
            space("headless"),
            server("headless/db", 5432, kind="StatefulSet", labels={"tier": "db"}),
            server("headless/db-old", 5432, labels={"tier": "db"}, inject="false"),
            service("headless/db", 5432, 5432, headless=True, tier="db"),
        ),
        (
            Right("StatefulSet db", 5432, "PASS", "FAIL", (("MTL015", "Service headless/db"),)),
            Right("Deployment db-old", 5432, "FAIL", None, (("MTL020", "Deployment headless/db-old"),)),
        ),
        (Right("StatefulSet db", 5432, "PASS", "PASS"), Right("Deployment db-old", 5432, "PASS", "PASS")),
        advice=(("MTL020", "Deployment headless/db-old"),),
    ),
    # istio/istio#25570: a machine of the mesh that clients reach in plaintext.
    Situation(
        "machine",
        (
            space("machine"),
            namespace("machine-out"),
            istio(
                "ServiceEntry",
                "machine/vm",
                {
                    "hosts": ["vm.machine.internal"],
                    "location": "MESH_INTERNAL",
                    "resolution": "DNS",
                    "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                    "workloadSelector": {"labels": {"app": "vm"}},
                },
            ),
            istio("WorkloadEntry", "machine/vm-1", {"address": "legacy.machine-out.svc.cluster.local", "labels": {"app": "vm"}}),
            server("machine-out/legacy"),
            service("machine-out/legacy"),
        ),
        (
            Right(
                "WorkloadEntry vm-1",
                80,
                "NOT PROVEN",
                "FAIL",
                (("MTL015", "WorkloadEntry machine/vm-1"), ("MTL018", "WorkloadEntry machine/vm-1")),
            ),
        ),
        (Right("WorkloadEntry vm-1", 80, "NOT PROVEN", "PASS", (("MTL018", "WorkloadEntry machine/vm-1"),)),),
        advice=(("MTL015", "WorkloadEntry machine/vm-1"),),
    ),
    # istio/istio#5408, istio/istio#31079: connections that never enter the client's own proxy.
    Situation(
        "past",
        (
            *web("past"),
            space("past-client"),
            client("past-client/leet", user=1337),
            client("past-client/excluded", annotations={f"{TRAFFIC}/excludeOutboundPorts": "80"}),
        ),
        (
            Right(
                WEB,
                8080,
                "PASS",
                "FAIL",
                (("MTL014", "Deployment past-client/leet"), ("MTL014", "Deployment past-client/excluded")),
            ),
        ),
        (_SOUND,),
        advice=(("MTL014", "Deployment past-client/excluded"),),
        mend=(client("past-client/leet", user=1000),),
    ),
    # istio/istio#23910: gateways have no part in automatic mTLS.
    Situation(
        "egress",
        (
            space("egress"),
            namespace("egress-out"),
            _gateway("egress/egress"),
            service("egress/egress"),
            istio(
                "Gateway",
                "egress/egress",
                {
                    "selector": {"istio": "test-egress"},
                    "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["ext.egress.test"]}],
                },
            ),
            istio(
                "ServiceEntry",
                "egress/ext",
                {
                    "hosts": ["ext.egress.test"],
                    "location": "MESH_EXTERNAL",
                    "resolution": "DNS",
                    "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                    "endpoints": [{"address": "plain.egress-out.svc.cluster.local"}],
                },
            ),
            istio(
                "VirtualService",
                "egress/ext",
                {
                    "hosts": ["ext.egress.test"],
                    "gateways": ["mesh", "egress/egress"],
                    "http": [
                        {
                            "match": [{"gateways": ["mesh"], "port": 80}],
                            "route": [{"destination": {"host": "egress.egress.svc.cluster.local", "port": {"number": 80}}}],
                        },
                        {
                            "match": [{"gateways": ["egress/egress"], "port": 80}],
                            "route": [{"destination": {"host": "ext.egress.test", "port": {"number": 80}}}],
                        },
                    ],
                },
            ),
        ),
        (Right("Deployment egress", 8080, "PASS", "FAIL", (("MTL015", "VirtualService egress/ext"),)),),
        (Right("Deployment egress", 8080, "PASS", "PASS"),),
        advice=(("MTL015", "VirtualService egress/ext"),),
    ),
    # istio/istio#34508, istio/istio#60792: settings of a port that say nothing of TLS.
    Situation(
        "port-settings",
        (*web("port-settings"), _rule("port-settings/web", trafficPolicy=_PORT)),
        (Right(WEB, 8080, "PASS", "FAIL", (("MTL010", "DestinationRule port-settings/web"),)),),
        (_SOUND,),
        mend=(_rule("port-settings/web", trafficPolicy={"portLevelSettings": _PORT["portLevelSettings"]}),),
    ),
    Situation(
        "port-subset",
        (
            *web("port-subset"),
            _rule("port-subset/web", subsets=[{"name": "v1", "labels": {"app": "web"}, "trafficPolicy": _PORT}]),
        ),
        (Right(WEB, 8080, "PASS", "FAIL", (("MTL010", "DestinationRule port-subset/web"),)),),
        (_SOUND,),
        mend=(_rule("port-subset/web", subsets=[{"name": "v1", "labels": {"app": "web"}}]),),
    ),
    # istio/istio#60122: istiod makes a DestinationRule of it, for sidecars too.
    Situation(
        "backend-tls",
        (
            *web("backend-tls"),
            istio(
                "BackendTLSPolicy",
                "backend-tls/web",
                {
                    "targetRefs": [{"group": "", "kind": "Service", "name": "web"}],
                    "validation": {"wellKnownCACertificates": "System", "hostname": "web.example"},
                },
                "gateway.networking.k8s.io/v1",
            ),
        ),
        (Right(WEB, 8080, "PASS", "FAIL", (("MTL011", "BackendTLSPolicy backend-tls/web"),)),),
        (_SOUND,),
        advice=(("MTL011", "BackendTLSPolicy backend-tls/web"),),
    ),
)
_METRICS = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/metrics"}
_SECURE = {"ENVOY_SECURE_METRICS_PORT": "15091", "ENVOY_SECURE_MERGED_METRICS_PORT": "15092"}
_HOOK = {
    "name": "hook.webhook.test",
    "clientConfig": {"service": {"namespace": "webhook", "name": "web", "path": "/validate", "port": 443}},
    "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
    "namespaceSelector": {"matchLabels": {"webhook-test": "yes"}},
    "failurePolicy": "Fail",
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}

SERVERS = (
    # istio/istio#40326: a second interface that istio-iptables leaves alone.
    Situation(
        "interface",
        web("interface", annotations={f"{TRAFFIC}/excludeInterfaces": "net1"}),
        (Right(WEB, 8080, "NOT PROVEN", "PASS", (("MTL029", "Deployment interface/web"),)),),
        (_SOUND,),
        mend=(server("interface/web", annotations={f"{TRAFFIC}/excludeInterfaces": ""}),),
    ),
    # istio/istio#36629, istio/istio#48551: istio-iptables never redirects 15008.
    Situation(
        "tunnel-port",
        web("tunnel-port", 15008),
        (Right(WEB, 15008, "FAIL", "PASS", (("MTL021", "Deployment tunnel-port/web"),)),),
        (_SOUND,),
        mend=web("tunnel-port")[1:],
    ),
    # istio/istio#27328, istio/istio#40666: the agent hands out the application's metrics to everybody.
    Situation(
        "metrics",
        web("metrics", annotations=_METRICS),
        (Right(WEB, 8080, "PASS", "PASS", (("MTL057", "Deployment metrics/web"),)),),
        (_SOUND,),
        mend=(server("metrics/web", annotations={"prometheus.io/scrape": "false"}),),
    ),
    # istio/istio#51582: istiod takes only what has its own revision, and a tag is none.
    Situation(
        "label-open",
        (*web("label-open"), peer("label-open/default", "PERMISSIVE", revision="stable")),
        (_SOUND,),
        (_SOUND,),
        findings=(("MTL005", "PeerAuthentication label-open/default"),),
    ),
    Situation(
        "label-strict",
        (
            *web("label-strict"),
            peer("label-strict/default", "PERMISSIVE"),
            peer("label-strict/web", "STRICT", app="web", revision="stable"),
        ),
        (Right(WEB, 8080, "FAIL", "PASS", (("MTL001", "PeerAuthentication label-strict/default"),)),),
        (_SOUND,),
        advice=(("MTL001", "PeerAuthentication label-strict/default"),),
        findings=(("MTL005", "PeerAuthentication label-strict/web"),),
    ),
    # kiali/kiali#2086: a selector that no pod has.
    Situation(
        "typo",
        (*web("typo"), peer("typo/default", "PERMISSIVE"), peer("typo/web", "STRICT", app="wbe")),
        (Right(WEB, 8080, "FAIL", "PASS", (("MTL001", "PeerAuthentication typo/default"),)),),
        (_SOUND,),
        advice=(("MTL001", "PeerAuthentication typo/default"),),
        findings=(("MTL005", "PeerAuthentication typo/web"),),
    ),
    # istio/istio#49098: the port of the Service instead of the pod's.
    Situation(
        "wrong-port",
        (*web("wrong-port"), peer("wrong-port/web", "PERMISSIVE", {"80": "STRICT"}, app="web")),
        (Right(WEB, 8080, "FAIL", "PASS", (("MTL001", "PeerAuthentication wrong-port/web"),)),),
        (_SOUND,),
        advice=(("MTL001", "PeerAuthentication wrong-port/web"),),
        findings=(("MTL005", "PeerAuthentication wrong-port/web"),),
    ),
    # istio/istio#60391: ports that Envoy itself holds, with mTLS.
    Situation(
        "secure-metrics",
        web(
            "secure-metrics",
            annotations={CONFIG: json.dumps({"proxyMetadata": _SECURE}), f"{TRAFFIC}/excludeInboundPorts": "15091,15092"},
        ),
        (_SOUND, Right(WEB, 15091, "PASS", None), Right(WEB, 15092, "PASS", None)),
        (_SOUND,),
    ),
    # istio/istio#34543: the API server is a client without an identity of the mesh.
    Situation(
        "webhook",
        (
            *web("webhook", 9443)[:2],
            service("webhook/web", 9443, 443),
            peer("webhook/web", "STRICT", {"9443": "PERMISSIVE"}, app="web"),
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": "webhook-test"},
                "webhooks": [_HOOK],
            },
        ),
        (Right(WEB, 9443, "FAIL", "PASS", (("MTL003", "PeerAuthentication webhook/web"),)),),
        (Right(WEB, 9443, "FAIL", "PASS", (("MTL003", "PeerAuthentication webhook/web"),)),),
    ),
    # istio/istio#43063: Envoy's admin interface is elsewhere.
    Situation("admin-port", web("admin-port", annotations={CONFIG: '{"proxyAdminPort": 15999}'}), (_SOUND,), (_SOUND,)),
)
SITUATIONS = (*CLIENTS, *SERVERS)
