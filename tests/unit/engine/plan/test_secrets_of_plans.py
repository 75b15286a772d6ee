"""No value that leaves the program with a plan is a secret: in steps, reasons, findings, and objects that change."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from meshinstall.checks.ownership import owners
from meshinstall.cli.output.plan_markdown import plan_markdown
from meshinstall.cli.output.printers import dump, plan_json, plan_text
from meshinstall.engine.event_json import event_json
from meshinstall.engine.events import StepStarted
from meshinstall.engine.objects.field_paths import ABSENT
from meshinstall.engine.plan.drift import drift
from meshinstall.engine.plan.drift_findings import drift_findings
from meshinstall.engine.rehearsal.fields import Field, Place, field_changes, leaves, shown
from meshinstall.model.facts import Facts, key_of
from meshinstall.model.release import Manifest, ReleaseKey
from tests.cases import plans

ISTIOD = ReleaseKey("istio-system", "istiod")
HUNTER, OTHER = "hunter2secret", "hunter3secret"

VALUES: list[dict[str, Any]] = [
    {"env": {"DB_PASSWORD": HUNTER}},
    {"pilot": {"podAnnotations": {"example.com/token": HUNTER}}},
    {"extra": {"args": ["--password", HUNTER]}},
    {"extra": {"env": [{"name": "DB_PASSWORD", "value": HUNTER}]}},
    {"extra": {"config": f"user=me\npassword={HUNTER}\n"}},
    {"tokens": {"alice": HUNTER}},
]


@pytest.mark.parametrize("values", VALUES)
def test_a_value_of_a_release_is_not_shown(values: dict[str, Any]) -> None:
    """A person's helm set it; the environment does not have it."""
    case = plans.make({"facts": {"releases": {"istio-system/istiod": {"values": values, "revision": 4}}}})
    record = replace(case.facts.releases[ISTIOD], description="Install complete")
    facts = replace(case.facts, releases={**case.facts.releases, ISTIOD: record})
    plan = replace(case, facts=facts).plan()
    plan = replace(plan, findings=(*plan.findings, *owners(plan, facts)))
    (step,) = [step for step in plan.steps if step.name == str(ISTIOD)]
    assert any(finding.code == "PRE017" and "values that would be lost" in finding.detail for finding in plan.findings)
    told = [plan_text(plan, diff=True), plan_markdown(plan), dump(plan_json(plan)), json.dumps(event_json(StepStarted(step)), default=str)]
    assert "(not shown)" in told[0]
    assert [text for text in told if HUNTER in text] == []


def deployment(**pod: Any) -> dict[str, Any]:
    metadata = {"name": "istiod", "namespace": "istio-system"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": pod}}


def container(**fields: Any) -> dict[str, Any]:
    return deployment(spec={"containers": [{"name": "discovery", "image": "a", **fields}]})


def header(*values: tuple[str, str]) -> dict[str, Any]:
    return {"readinessProbe": {"httpGet": {"httpHeaders": [{"name": name, "value": value} for name, value in values]}}}


# A path that has indexes, as names are there twice.
TWICE = [("X-Other", "1"), ("X-Other", "2")]
OBJECTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (deployment(metadata={"annotations": {"vault-token": "x"}}), deployment(metadata={"annotations": {"vault-token": HUNTER}})),
    (container(**header(*TWICE, ("Authorization", "x"))), container(**header(*TWICE, ("Authorization", HUNTER)))),
    (container(**header(*TWICE, ("X-A", "x"))), container(**header(*TWICE, ("Authorization", HUNTER)))),
    (container(args=["--password", "x"]), container(args=["--password", HUNTER])),
    (container(args=["a", "--password", "x"]), container(args=["a", "--password", HUNTER, "b"])),
    (container(args=["--token=x"]), container(args=[f"--token={HUNTER}"])),
    (
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "istio-system"},
            "data": {"a.conf": "password=x\n"},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "istio-system"},
            "data": {"a.conf": f"user=1\npassword={HUNTER}\n"},
        },
    ),
    (
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "istio-system"},
            "data": {"a": "a: &x 1\nb: *x\n"},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "istio-system"},
            "data": {"a": f"a: &x 1\nb: *x\npassword: {HUNTER}\n"},
        },
    ),
]


def facts(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> Facts:
    return Facts("1.35.0", owned={ISTIOD: (wanted,)}, live={key_of(live): live})


@pytest.mark.parametrize(("wanted", "live"), OBJECTS)
def test_a_reason_does_not_show_what_a_person_edited(wanted: Manifest, live: Manifest) -> None:
    edits = drift(facts(wanted, live), ISTIOD)
    (sentence,) = edits[0].sentences()
    assert "(not shown)" in sentence
    assert HUNTER not in sentence
    admitted = replace(facts(wanted, live), admitted={edits[0].key: frozenset(one.path for one in edits[0].fields)})
    (finding,) = drift_findings(drift(admitted, ISTIOD))
    assert finding.code == "PRE022"
    assert HUNTER not in finding.detail


@pytest.mark.parametrize(("one", "other"), OBJECTS)
def test_the_fields_of_an_object_are_shown_without_it(one: Manifest, other: Manifest) -> None:
    for last, wanted, live in (({}, one, other), (one, other, one), (other, {**one, "spec": {}, "data": {}}, other)):
        found = [shown(live["kind"], field) for field in field_changes(last, wanted, live)]
        assert found
        assert HUNTER not in json.dumps([(field.before, field.after) for field in found])
    assert HUNTER not in json.dumps([shown(other["kind"], field).after for field in leaves(other)])


def test_the_items_of_a_document_in_a_text_keep_their_names() -> None:
    texts = [json.dumps({"http": {"headers": [{"name": "Authorization", "value": value}]}}) for value in (HUNTER, OTHER)]
    before, after = ({"kind": "ConfigMap", "data": {"a": text}} for text in texts)
    (found,) = [shown("ConfigMap", one) for one in field_changes(before, after, before)]
    assert (found.path, found.before, found.after) == ("data.a.http.headers[0].value", "(not shown)", "(not shown)")
    plain = json.loads(json.dumps([before, after]).replace("Authorization", "X-Team"))
    (found,) = [shown("ConfigMap", one) for one in field_changes(plain[0], plain[1], plain[0])]
    assert found.before == HUNTER


def test_a_field_that_goes_back_by_an_index_is_shown_only_where_its_name_is_known() -> None:
    path = ("spec", "headers", 0, "value")
    assert shown("Deployment", Field(Place(path), HUNTER, ABSENT)).before == "(not shown)"
