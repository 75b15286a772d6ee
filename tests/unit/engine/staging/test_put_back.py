"""Somebody puts back what a stage has moved, as a GitOps engine does: what new pods really get is what counts."""

import json
from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine.events import Event, StepDone
from meshinstall.engine.session import Session
from meshinstall.engine.staging import judging
from meshinstall.engine.staging.judging import Checks
from meshinstall.engine.staging.planned import Planned
from meshinstall.engine.staging.terms import End
from meshinstall.engine.upgrade.pieces import Piece
from meshinstall.errors import ClusterError
from meshinstall.model.release import Manifest
from tests.unit.engine.installed import PUBLIC
from tests.unit.engine.staging.living import INGRESS, INJECTORS, LivingKube
from tests.unit.engine.staging.upgrading import FAIL, NEW, OLD, Gates, Upgrade, proxies, start

pytestmark = pytest.mark.anyio

TAG = f"{INJECTORS}/istio-revision-tag-default"


def injecting(kube: LivingKube, space: str) -> None:
    """Dry-run pods of a namespace come back with the proxy that real ones would get."""

    def inject(pod: Manifest) -> Manifest:
        revision, version = kube.injection(space, "")
        proxy = {"name": "istio-proxy", "image": f"istio/proxyv2:{version}"}
        notes = {"sidecar.istio.io/status": json.dumps({"revision": revision})}
        return {**pod, "metadata": {**pod["metadata"], "annotations": notes}, "spec": {"containers": [proxy]}}

    kube.answers[f"/api/v1/namespaces/{space}/pods"] = inject


def by_engine(fields: dict[str, Any]) -> dict[str, Any]:
    """How the API server records that an engine wrote these fields."""
    return {"manager": "argocd-controller", "operation": "Apply", "time": "2026-11-20T01:02:03Z", "fieldsV1": fields}


async def upgraded(*, is_put_back: bool) -> tuple[Upgrade, Any]:
    """An upgrade, perhaps beside an engine that puts the tag default back as soon as it is moved."""
    there = await start()
    assert isinstance(there.kube, LivingKube)
    injecting(there.kube, "shop")
    injecting(there.kube, "lab")
    run = Upgrade(there)

    def put_back(event: Event) -> None:
        if is_put_back and isinstance(event, StepDone) and event.step.name.endswith("default") and TAG in there.kube.objects:
            metadata = there.kube.objects[TAG]["metadata"]
            metadata["labels"]["istio.io/rev"] = "default"
            metadata["managedFields"] = [by_engine({"f:metadata": {"f:labels": {"f:istio.io/rev": {}}}})]

    run.at = put_back
    return run, await run.to(judges=replace(run.gates.judges(), after_moving=judging.after_moving))


async def test_a_tag_that_an_engine_puts_back_at_once_is_seen_and_its_stage_is_taken_back() -> None:
    """GitOps undoes a tag: nobody is told that it was moved."""
    run, result = await upgraded(is_put_back=True)
    assert (result.end, result.stage) == (End.UNDONE, "tags")
    assert "no namespace of these tags gets the new proxy" in result.why
    assert (
        "since the stage made it so, MutatingWebhookConfiguration istio-revision-tag-default was edited by argocd-controller "
        '(Apply, 2026-11-20T01:02:03Z): metadata.labels.istio.io/rev: "default" → "1-31"'
    ) in result.why
    (gate,) = [gate for gate in result.gates if "FAIL" in [check.outcome for check in gate.checks]]
    (check,) = [check for check in gate.checks if check.outcome == "FAIL"]
    assert "gets the proxy of revision default, expected that of Istio 1.31.0" in check.evidence[0]
    assert proxies(run.there)["shop/web"] == [("default", OLD)]


async def test_an_injector_that_an_engine_switches_on_again_is_told_with_who_did_it() -> None:
    """GitOps of the old istiod: its chart has the injector on, and of two that select a pod the last by name wins."""
    there = await start()
    assert isinstance(there.kube, LivingKube)
    injecting(there.kube, "shop")
    injecting(there.kube, "lab")
    run = Upgrade(there)

    async def after_moving(session: Session, planned: Planned, piece: Piece) -> Checks:
        if piece.takes_over:
            live = there.kube.objects[f"{INJECTORS}/istio-sidecar-injector"]
            selector = {"matchLabels": {"istio-injection": "enabled"}}
            live["webhooks"] = [{**hook, "namespaceSelector": selector, "objectSelector": {}} for hook in live["webhooks"]]
            hooks: dict[str, Any] = {f'k:{{"name":"{hook["name"]}"}}': {"f:namespaceSelector": {}} for hook in live["webhooks"]}
            live["metadata"]["managedFields"] = [by_engine({"f:webhooks": hooks})]
        return await judging.after_moving(session, planned, piece)

    result = await run.to(judges=replace(run.gates.judges(), after_moving=after_moving))
    assert (result.end, result.stage) == (End.UNDONE, "tags")
    assert "no namespace of these tags gets the new proxy" in result.why
    assert (
        "since the stage made it so, MutatingWebhookConfiguration istio-sidecar-injector was switched on again "
        "by argocd-controller (Apply, 2026-11-20T01:02:03Z)"
    ) in result.why
    assert proxies(run.there)["shop/web"] == [("default", OLD)]


async def test_an_injector_that_was_not_switched_off_yet_was_not_switched_on_again() -> None:
    there = await start()
    apply = there.kube.apply

    async def refuse(path: str, body: Manifest, **how: Any) -> Manifest:
        if path == TAG and not how.get("dry_run"):
            raise ClusterError("the tag is refused", "")
        return await apply(path, body, **how)

    there.kube.apply = refuse  # type: ignore[method-assign]
    result = await Upgrade(there).to()
    assert (result.end, result.stage) == (End.UNDONE, "tags")
    assert "the tag is refused" in result.why
    assert "switched on again" not in result.why


async def test_a_tag_that_stays_where_it_was_moved_passes() -> None:
    run, result = await upgraded(is_put_back=False)
    assert (result.end, result.stage) == (End.HELD, "workloads")
    assert run.there.kube.objects[TAG]["metadata"]["labels"]["istio.io/rev"] == "1-31"
    assert proxies(run.there)["lab/web"] == [("1-31", NEW)]


async def test_a_gateway_that_an_engine_puts_back_is_told_with_who_did_it() -> None:
    """GitOps undoes a gateway: its new pods go, and the gate sees those of before."""
    there = await start(has_tenants=False)
    run = Upgrade(there, Gates({f"gateways {INGRESS}/Deployment public": FAIL}))

    def put_back(event: Event) -> None:
        if isinstance(event, StepDone) and run.gates.stage == "gateways" and event.step.name == str(PUBLIC):
            item = there.kube.objects[f"/apis/apps/v1/namespaces/{INGRESS}/deployments/public"]
            item["spec"]["template"]["metadata"]["labels"].pop("istio.io/rev", None)
            fields: dict[str, Any] = {"f:spec": {"f:template": {"f:metadata": {"f:labels": {".": {}}}}}}
            item["metadata"]["managedFields"] = [by_engine(fields)]

    run.at = put_back
    result = await run.to()
    assert (result.end, result.stage) == (End.UNDONE, "gateways")
    assert f"since the stage made it so, Deployment {PUBLIC} was edited by argocd-controller" in result.why
