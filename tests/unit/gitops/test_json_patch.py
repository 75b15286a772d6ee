"""Patches between two objects: RFC 6902 as its library applies them, and refused where what they change is something else by now."""

from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as some

from meshinstall.gitops.json_patch import operations

keys = some.text(some.characters(codec="ascii", exclude_categories=["C"]), max_size=6) | some.sampled_from(["a/b", "~", "~1", "/", ""])
leaves = some.none() | some.booleans() | some.integers(-3, 3) | some.floats(-2, 2) | some.text(max_size=4)
values = some.recursive(leaves, lambda inner: some.lists(inner, max_size=3) | some.dictionaries(keys, inner, max_size=3), max_leaves=10)
objects = some.dictionaries(keys, values, max_size=4)


@given(objects, objects)
def test_a_patch_makes_the_one_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    made = jsonpatch.apply_patch(before, list(operations(before, after)))
    assert list(operations(made, after)) == []
    assert made == after


@given(objects)
def test_what_is_the_same_needs_no_patch(value: dict[str, Any]) -> None:
    assert list(operations(value, value)) == []


def test_true_is_not_1() -> None:
    assert [one["op"] for one in operations({"a": True}, {"a": 1})] == ["test", "replace"]


def test_what_changed_meanwhile_is_not_overwritten() -> None:
    patch = list(operations({"mode": "STRICT"}, {"mode": "PERMISSIVE"}))
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch({"mode": "DISABLE"}, patch)


def test_a_list_of_another_length_is_tested_and_replaced_as_a_whole() -> None:
    assert list(operations({"rules": [1, 2]}, {"rules": [2]})) == [
        {"op": "test", "path": "/rules", "value": [1, 2]},
        {"op": "replace", "path": "/rules", "value": [2]},
    ]
