"""Finding, setting and removing fields of objects, and the patch that does the same on a server."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.engine.objects.field_paths import ABSENT, Item, Path, dotted, field_at, merge_patch, with_field

OBJECT: dict[str, Any] = {"spec": {"replicas": 2, "containers": [{"name": "a", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]}}
ENV: Path = ("spec", "containers", Item("name", "a"), "env", Item("name", "X"))

values = st.recursive(
    st.booleans() | st.integers(0, 9) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
maps = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


def test_a_path_reads_as_people_write_it() -> None:
    assert dotted((*ENV, "value")) == "spec.containers[a].env[X].value"
    assert dotted(("spec", "rules", 1, "from")) == "spec.rules[1].from"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "replicas"), 2),
        ((*ENV, "value"), "1"),
        (("spec", "containers", 1, "name"), "b"),
        (("spec", "containers", 2), ABSENT),
        (("spec", "containers", Item("name", "c")), ABSENT),
        (("spec", "replicas", "x"), ABSENT),
        (("spec", "replicas", 0), ABSENT),
        (("spec", "nothing", "below"), ABSENT),
    ],
)
def test_a_field_is_found_or_absent(path: Path, value: Any) -> None:
    found = field_at(OBJECT, path)
    assert found is ABSENT if value is ABSENT else found == value


@pytest.mark.parametrize("path", [("spec", "replicas"), ENV, (*ENV, "value"), ("spec", "containers", Item("name", "b"))])
def test_what_is_removed_is_absent_and_all_else_stays(path: Path) -> None:
    assert field_at(with_field(OBJECT, path, ABSENT), path) is ABSENT
    assert with_field(with_field(OBJECT, path, ABSENT), path, field_at(OBJECT, path)) == OBJECT


def test_what_is_set_is_there() -> None:
    assert with_field(OBJECT, ("spec", "new", "below"), 1)["spec"]["new"] == {"below": 1}
    assert with_field(OBJECT, (*ENV, "value"), "2")["spec"]["containers"][0]["env"] == [{"name": "X", "value": "2"}]
    assert OBJECT["spec"]["containers"][0]["env"] == [{"name": "X", "value": "1"}]


def test_nothing_is_changed_inside_an_item_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        with_field(OBJECT, ("spec", "containers", Item("name", "c"), "image"), "x")


@given(maps, maps)
def test_a_patch_makes_the_one_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert applied(before, merge_patch(before, after)) == after
    assert merge_patch(before, before) == {}


def applied(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = applied(result.get(name), value)
    return result
