"""JSON Patch over values that know their lines: python-json-patch, which knows none, is the referee of the values."""

from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.config.json_patch import Operation, PatchError, bare, grow, node_at, pointer, run, same
from meshinstall.model.values import KeyPath, LayerKind, Origin

KEYS = st.sampled_from(["a", "b", "0", "1", "-", "x/y", "~z"])
VALUES = st.recursive(
    st.sampled_from([None, 2, 3, "t", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
PATHS = st.lists(st.sampled_from(["a", "b", "0", "1", "2", "-", "x/y", "~z", "01"]), min_size=1, max_size=3).map(tuple)
OPERATIONS = st.tuples(st.sampled_from(["test", "add", "replace", "remove", "move", "copy"]), PATHS, PATHS, VALUES)


def below(path: KeyPath) -> Origin:
    return Origin(LayerKind.PROJECT, "below", len(path) + 1)


def written(path: KeyPath) -> Origin:
    return Origin(LayerKind.ENVIRONMENT, "patch", len(path) + 1)


def text(path: KeyPath) -> str:
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in path)


def ours(document: Any, operations: list[tuple[str, KeyPath, KeyPath, Any]]) -> Any:
    root = grow(document, below)
    for op, path, start, value in operations:
        run(root, Operation(op, path, grow(value, written) if op in {"test", "add", "replace"} else None, start))
    return bare(root)


def theirs(document: Any, operations: list[tuple[str, KeyPath, KeyPath, Any]]) -> Any:
    made = []
    for op, path, start, value in operations:
        more = {"value": value} if op in {"test", "add", "replace"} else {"from": text(start)} if op in {"move", "copy"} else {}
        made.append({"op": op, "path": text(path), **more})
    return jsonpatch.apply_patch(document, made)


def is_for_the_referee(operation: tuple[str, KeyPath, KeyPath, Any]) -> bool:
    """It takes "-" and leading zeros where RFC 6901 knows no value, and moves a value into itself."""
    op, path, start, _ = operation
    used = (path, start) if op in {"move", "copy"} else (path,)
    odd = any(part in {"-", "01"} for one in used for part in one)
    return not odd and not (op == "move" and path[: len(start)] == start)


@given(st.dictionaries(KEYS, VALUES, max_size=3), st.lists(OPERATIONS.filter(is_for_the_referee), min_size=1, max_size=4))
def test_values_are_those_of_the_referee(document: Any, operations: list[tuple[str, KeyPath, KeyPath, Any]]) -> None:
    try:
        wanted = theirs(document, operations)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException):
        with pytest.raises(PatchError):
            ours(document, operations)
        return
    assert same(ours(document, operations), wanted)


@given(st.dictionaries(KEYS, VALUES, max_size=3), OPERATIONS)
def test_what_cannot_be_done_changes_nothing(document: Any, operation: tuple[str, KeyPath, KeyPath, Any]) -> None:
    root = grow(document, below)
    op, path, start, value = operation
    try:
        run(root, Operation(op, path, grow(value, written), start))
    except PatchError:
        assert same(bare(root), document)
    else:
        assert op != "test" or same(bare(root), document)


def test_what_a_patch_writes_has_its_line_and_all_else_keeps_its_own() -> None:
    root = grow({"rules": [{"a": 1}, {"b": 2}]}, below)
    run(root, Operation("add", ("rules", "0"), grow({"c": [3]}, written)))
    lines = {path: str(node.origin) for path in [("rules", "0", "c", "0"), ("rules", "1", "a")] if (node := node_at(root, path))}
    assert lines == {("rules", "0", "c", "0"): "patch:3", ("rules", "1", "a"): "below:4"}


def test_a_value_cannot_be_moved_into_itself() -> None:
    with pytest.raises(PatchError, match="there is nothing here"):
        ours({"a": {"b": 1}}, [("move", ("a", "b"), ("a",), None)])
    assert ours({"a": [1, 2]}, [("move", ("a", "1"), ("a", "1"), None)]) == {"a": [1, 2]}


def test_trees_that_one_operation_changed_share_nothing() -> None:
    operation = Operation("add", ("a",), grow({"b": 1}, written))
    first, second = grow({}, below), grow({}, below)
    run(first, operation)
    run(second, operation)
    run(first, Operation("remove", ("a", "b")))
    assert (bare(first), bare(second)) == ({"a": {}}, {"a": {"b": 1}})


@pytest.mark.parametrize("one", ["", "a", "/~2", "/a~"])
def test_what_is_not_a_pointer_is_refused(one: str) -> None:
    with pytest.raises(PatchError):
        pointer(one)


def test_true_is_not_one() -> None:
    assert same({"a": [1]}, {"a": [1.0]})
    assert not same({"a": True}, {"a": 1})
    with pytest.raises(PatchError, match="has another value here"):
        ours({"a": True}, [("test", ("a",), (), 1)])
