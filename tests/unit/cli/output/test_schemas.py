"""What the schemas in docs/schemas promise is what programs get."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from meshinstall.cli.output.printers import dump, json_lines, plan_json
from meshinstall.cli.output.saved_plan import document
from meshinstall.cli.output.upgrade_result import result_line
from meshinstall.cli.output.verdict_json import verdict_json
from meshinstall.engine.events import (
    Event,
    GateJudged,
    LockWaiting,
    ProxiesCounted,
    ProxiesOlder,
    RequestsMade,
    RunEnded,
    RunStarted,
    StageEnded,
    StageStarted,
    StageWaiting,
    StepDone,
    StepEnded,
    StepStarted,
    StepWaiting,
)
from meshinstall.engine.staging.terms import End, Result
from meshinstall.model.cluster import Cloud
from meshinstall.model.facts import ObjectKey
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.gate import Gate, GateCheck, GateOutcome
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition
from meshinstall.model.plan import Action, Change, ObjectStep, Plan, ReleaseStep, SweepStep, Target
from meshinstall.model.release import ChartRef, Component, ReleaseKey
from meshinstall.model.request import Request
from meshinstall.model.tally import Counted, ProxyGroup, ProxyTally, Requests
from meshinstall.model.upgrade import UpgradePlan
from tests.fake_kube import NOON
from tests.unit.cli.verdicts import VERDICT

SCHEMAS = Path(__file__).parents[4] / "docs/schemas"
RELEASE = ReleaseStep(
    name="istio-system/istiod",
    action=Action.UPGRADE,
    reasons=("2 values change",),
    changes=(Change("a.b", 1, None, "values.yaml:3"),),
    needs=("namespace/istio-system",),
    release=ReleaseKey("istio-system", "istiod"),
    component=Component.ISTIOD,
    chart=ChartRef("istiod", "1.31.0", "oci://charts", "sha256:" + "0" * 64),
    revision=1,
)
NAMESPACE = ObjectStep(name="namespace/istio-system", action=Action.APPLY, manifest={"kind": "Namespace"})
SWEEP = SweepStep(
    name="root-certificates", action=Action.DELETE, objects=((ObjectKey("v1", "ConfigMap", "shop", "istio-ca-root-cert"), "u"),)
)
TARGET = Target("eks", "c", {"region": "eu-west-1"}, "https://c.example", "0b1c")
PLAN = Plan("dev", "c", "default", "1.31.0", "istio-system", (NAMESPACE, RELEASE), (Finding("PRE001", Severity.ERROR, "no"),))
GATE = Gate("gateways istio-ingress/public", (GateCheck("readiness", GateOutcome.FAIL, "no", ("a", "b")),), 4.0)
TALLY = ProxyTally(NOON, (ProxyGroup("default", "1.30.4", 5),), not_ready=1)
REQUESTS = Requests(14, 1, ("shop/web-1:80 (plaintext): no answer in time",))
EVENTS: tuple[Event, ...] = (
    RunStarted("r", PLAN),
    StepStarted(NAMESPACE),
    StepStarted(RELEASE),
    StepWaiting(RELEASE, "helm upgrade"),
    StepDone(RELEASE, 1.5, "10.0.0.1"),
    StepEnded(RELEASE, 1.5, "no"),
    LockWaiting("bob@desk/8-1 holds the lock of this mesh"),
    RunEnded("r", 2.0, "no"),
    ProxiesOlder("2 proxies are older"),
    StageStarted("gateways", 4, 8, "replaces the gateways one by one", ("Deployment istio-ingress/public",)),
    StageWaiting("gateways", "restarting Deployment shop/web"),
    GateJudged(GATE),
    ProxiesCounted(TALLY),
    RequestsMade(REQUESTS, Requests(40, 3)),
    StageEnded("gateways", 9.0, End.UNDONE, "readiness: no"),
)


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / name).read_text())
    return found


def test_a_plan_fits_its_schema() -> None:
    jsonschema.validate(json.loads(json.dumps(plan_json(PLAN))), schema("plan.json"))
    removal = replace(PLAN, steps=(SWEEP, replace(RELEASE, action=Action.UNINSTALL)), target=TARGET)
    request = Request(environment="dev", cloud=Cloud.EKS, config=Path("here"), sets=("istiod.a=1",), cluster={"region": "eu-west-1"})
    jsonschema.validate(json.loads(dump(document(removal, request))), schema("plan.json"))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_fits_its_schema(event: Event) -> None:
    stream = io.StringIO()
    with json_lines(stream) as emit:
        emit(event)
    jsonschema.validate(json.loads(stream.getvalue()), schema("event.json"))


def test_a_verdict_fits_its_schema() -> None:
    document = json.loads(json.dumps(verdict_json(VERDICT)))
    jsonschema.validate(document, schema("verify.json"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "verdict": "MAYBE"}, schema("verify.json"))


@pytest.mark.parametrize("end", End)
def test_the_end_of_an_upgrade_fits_its_schema(end: End) -> None:
    plan = UpgradePlan("dev", "c", IstioVersion(1, 31, 0), MeshPosition())
    result = Result(plan, end, "workloads", "why", ("Deployment shop/web: 1.30.4 → 1.31.0",), ("Write",), (GATE,))
    jsonschema.validate(json.loads(result_line(result)), schema("upgrade-result.json"))
    counted = json.loads(result_line(replace(result, counted=Counted(TALLY, REQUESTS))))
    jsonschema.validate(counted, schema("upgrade-result.json"))
    assert counted["proxies"]["proxies"] == [{"revision": "default", "version": "1.30.4", "count": 5}]
    assert counted["requests"]["failed"] == 1


def test_the_schemas_refuse_what_they_do_not_know() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**plan_json(PLAN), "more": 1}, schema("plan.json"))
