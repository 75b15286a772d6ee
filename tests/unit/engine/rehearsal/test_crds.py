"""What a plan does to CRDs: new ones, those whose schema changes in more than words, and those that go with all of their objects."""

from typing import Any

import pytest
import yaml

from meshinstall.engine.objects.release_manifest import crd_texts
from meshinstall.engine.rehearsal.crds import crd_changes
from meshinstall.model.diff import Verb
from meshinstall.model.release import ReleaseKey

BASE = ReleaseKey("istio-system", "istio-base")


def crd(name: str, properties: dict[str, Any], *, annotations: dict[str, str] | None = None, served: bool = True) -> str:
    """One as a chart has it."""
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}}
    return yaml.safe_dump(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": name, "annotations": annotations or {}},
            "spec": {"group": "example.io", "versions": [{"name": "v1", "served": served, "storage": True, "schema": schema}]},
        }
    )


def changed(last: str, made: str, *live: str) -> dict[str, tuple[Verb, list[str]]]:
    """By name what happens, and the fields without what all have in common."""
    found = crd_changes(BASE, crd_texts(last), crd_texts(made), live)
    return {one.key.name: (one.verb, [field.path.rpartition("spec.properties.")[2] for field in one.fields]) for one in found}


OLD = crd("a.example.io", {"port": {"type": "integer"}, "host": {"type": "string", "description": "A host."}})


def test_a_schema_that_changes_is_told_by_its_fields() -> None:
    new = crd(
        "a.example.io", {"port": {"type": "string"}, "path": {"type": "string"}, "host": {"type": "string", "description": "A host."}}
    )
    verb, fields = changed(OLD, new, "a.example.io")["a.example.io"]
    assert verb is Verb.CHANGE
    assert {path.split(".")[0] for path in fields} == {"port", "path"}
    gone = crd("a.example.io", {"host": {"type": "string"}})
    assert any(path.startswith("port") for path in changed(OLD, gone, "a.example.io")["a.example.io"][1])


def test_a_version_that_is_no_longer_served_is_told() -> None:
    new = crd("a.example.io", {"port": {"type": "integer"}, "host": {"type": "string"}}, served=False)
    assert any("served" in path for path in changed(OLD, new, "a.example.io")["a.example.io"][1])


def test_words_of_a_schema_and_labels_are_no_change() -> None:
    new = crd(
        "a.example.io", {"port": {"type": "integer"}, "host": {"type": "string", "description": "Other words."}}, annotations={"x": "y"}
    )
    assert changed(OLD, new, "a.example.io") == {"a.example.io": (Verb.CHANGE, [])}


def test_new_ones_and_those_that_go_are_told_and_kept_ones_stay() -> None:
    kept = crd("kept.example.io", {}, annotations={"helm.sh/resource-policy": "keep"})
    last = f"{OLD}---\n{kept}"
    made = crd("b.example.io", {})
    assert changed(last, made, "a.example.io", "kept.example.io") == {"b.example.io": (Verb.CREATE, []), "a.example.io": (Verb.DELETE, [])}


@pytest.mark.parametrize(
    "broken",
    [
        "kind: CustomResourceDefinition\nmetadata:\n  name: a.example.io\nspec: [",
        "kind: CustomResourceDefinition\nmetadata:\n  name: a.example.io\nspec: 3",
    ],
)
def test_one_that_cannot_be_read_stops_nothing(broken: str) -> None:
    assert changed(OLD, broken, "a.example.io")["a.example.io"][0] is Verb.CHANGE
    assert changed(broken, OLD, "a.example.io")["a.example.io"][0] is Verb.CHANGE
