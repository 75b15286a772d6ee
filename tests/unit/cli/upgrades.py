"""Ends of an upgrade that has four stages: done, held for the owners of workloads, and taken back at the second."""

from dataclasses import replace

from meshinstall.engine.staging.terms import End, Result
from meshinstall.model.gate import Gate, GateCheck, GateOutcome
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition
from meshinstall.model.tally import Counted, ProxyGroup, ProxyTally, Requests
from meshinstall.model.upgrade import Hop, Move, Part, Stage, StageName, Strategy, UpgradePlan, Way
from tests.fake_kube import NOON

_OLD, _NEW = IstioVersion(1, 30, 4), IstioVersion(1, 31, 0)


def _stage(name: StageName, does: str, part: Part, what: str) -> Stage:
    return Stage(name, does, (Move(part, what, "1.30.4", "1.31.0"),))


PLAN = UpgradePlan(
    "dev",
    "eks-1",
    _NEW,
    MeshPosition(),
    hops=(Hop(_OLD, _NEW, Way.CANARY),),
    strategy=Strategy(Way.CANARY, "1-31", "1.31 is the next minor"),
    stages=(
        _stage(StageName.CRDS, "applies the CRDs of the new version", Part.CRDS, "istio-base"),
        _stage(StageName.GATEWAYS, "replaces the gateways one by one", Part.GATEWAY, "Deployment istio-ingress/istio-ingress"),
        _stage(StageName.WORKLOADS, "leaves workloads to their owners", Part.PROXIES, "Deployment shop/web"),
        _stage(StageName.RETIRE, "removes the old istiod", Part.PLANE, "istiod"),
    ),
)
_READY = GateCheck("readiness and restarts", GateOutcome.PASS, "2 pods are ready")
_MTLS = GateCheck("mTLS", GateOutcome.FAIL, "1 row became worse", ("istio-ingress/istio-ingress:8080: PASS → FAIL, it sends plaintext",))
_CRDS = Gate("crds istio-system/istio-base", (_READY,), 1.2)
_GATEWAY = Gate("gateways Deployment istio-ingress/istio-ingress", (_READY,), 4.5)
_COUNTED = Counted(ProxyTally(NOON, (ProxyGroup("default", "1.30.4", 5), ProxyGroup("1-31", "1.31.0", 3)), not_ready=1), Requests(42))

DONE = Result(PLAN, End.DONE, gates=(_CRDS, _GATEWAY), counted=_COUNTED, to_write=('istio: {version: "1.31.0", revisions: true}',))
HELD = replace(
    DONE, end=End.HELD, stage="workloads", why="their owners restart them", left=("Deployment shop/web: 1.30.4 → 1.31.0",), to_write=()
)
UNDONE = replace(
    DONE,
    end=End.UNDONE,
    stage="gateways",
    why="mTLS: 1 row became worse",
    gates=(_CRDS, _GATEWAY, replace(_GATEWAY, checks=(_READY, _MTLS))),
    to_write=(),
)
