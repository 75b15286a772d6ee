"""How a drill ended that was not all as it was: names of tenants are hostile."""

from meshinstall.engine.recovery.terms import REMOVAL, Phase, Result
from meshinstall.model.gate import GateCheck, GateOutcome
from meshinstall.model.plan import Change
from meshinstall.model.restoring import SnapshotContent
from tests.cases import plans

HOSTILE = "<script>alert(1)</script>"
CONTENT = SnapshotContent(
    digest="ab" * 32,
    which="taken 2026-11-30T20:35:10+00:00 by ann@vm; environment prod on first, Istio 1.31.0",
    environment="prod",
    cloud="eks",
    cluster="first",
    istio_version="1.31.0",
    profile="default",
    mesh_namespace="istio-system",
    trust_domain="cluster.local",
)
_RESTART = "kubectl rollout restart -n shop deployment/a-workload-with-a-name-that-is-longer-than-a-line-of-a-terminal-is-wide"
DRILLED = Result(
    plan=plans.load("fresh").plan(),
    content=CONTENT,
    checks=(
        GateCheck(
            "objects",
            GateOutcome.FAIL,
            f"of 3 objects of the snapshot 1 are not as they were {HOSTILE}",
            ("VirtualService shop/web is not there",),
        ),
        GateCheck(
            "gateway istio-ingress/istio-ingress",
            GateOutcome.PASS,
            "it serves all that it served: 1 listener, 1 route",
            ("added: route x",),
        ),
        GateCheck("trust", GateOutcome.FAIL, "it did not come along", ("then: root ab", "now: root cd")),
        GateCheck(
            "mTLS",
            GateOutcome.NOT_PROVEN,
            "it was PASS then, and is PASS now",
            ("shop Deployment web port 8080 is not there yet: it was PASS",),
        ),
        GateCheck("workloads with proxies", GateOutcome.FAIL, "1 came up before istiod, and have none: shop/Deployment web", (_RESTART,)),
    ),
    left=("DNS: istio-ingress/istio-ingress was 10.0.0.1, and has 10.0.0.2",),
    phases=(Phase("plan", 1.5), Phase("control plane", 8.25), Phase(REMOVAL, 15.0)),
    values={
        "istio-ingress/istio-ingress": (
            Change("service.annotations.a/b", "aws", None, ""),
            Change("platform", None, "aks", "values/clouds/aks.yaml:3"),
        )
    },
    accepted=frozenset({"trust"}),
    removed=(GateCheck("taken away again", GateOutcome.PASS, "nothing is left: the same 183 objects of 13 kinds as before"),),
)
