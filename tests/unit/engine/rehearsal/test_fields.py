"""What changes in an object is what is sent and is not there so, and what was sent before and no longer is."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.engine.objects.field_paths import ABSENT, Item
from meshinstall.engine.rehearsal.fields import Field, Place, field_changes, shown
from meshinstall.model.diff import FieldChange
from meshinstall.model.secrets import HIDDEN

_KEYS = st.sampled_from(["a", "b", "c"])
_LEAVES = st.integers(1, 3) | st.sampled_from(["x", "y"])
_SPECS = st.dictionaries(_KEYS, _LEAVES | st.dictionaries(_KEYS, _LEAVES, min_size=1, max_size=3), max_size=3)


def told(last: Mapping[str, Any], wanted: Mapping[str, Any], live: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Path, before and after of each field."""
    found = [shown("ConfigMap", one) for one in field_changes(last, wanted, live)]
    return [(one.path, one.before, one.after) for one in found]


def applied(live: Any, last: Any, wanted: Any) -> Any:
    """What helm makes of maps: what is wanted is there, what only the last has goes, all else stays."""
    if not isinstance(wanted, Mapping):
        return wanted
    here, before = (one if isinstance(one, Mapping) else {} for one in (live, last))
    stays = {key: value for key, value in here.items() if key not in before or key in wanted}
    return stays | {key: applied(here.get(key), before.get(key), value) for key, value in wanted.items()}


@given(last=_SPECS, wanted=_SPECS, added=_SPECS)
def test_when_all_is_told_that_changes_nothing_changes_after_it(
    last: dict[str, Any], wanted: dict[str, Any], added: dict[str, Any]
) -> None:
    live = {"spec": applied(added, {}, last)}
    after = {"spec": applied(live["spec"], last, wanted)}
    said = bool(told({"spec": last}, {"spec": wanted}, live))
    assert said == (live != after)
    assert told({"spec": wanted}, {"spec": wanted}, after) == []


def test_what_the_server_adds_is_no_change() -> None:
    assert (
        told({}, {"spec": {"ports": [{"name": "a", "port": 1}]}}, {"spec": {"ports": [{"name": "a", "port": 1, "nodePort": 30000}]}}) == []
    )


def test_an_item_that_goes_is_one_field() -> None:
    one, other = ({"name": name, "value": "1"} for name in ("A", "B"))
    found = told({"env": [one, other]}, {"env": [one]}, {"env": [one, other]})
    assert found == [("env[B]", other, None)]


def test_of_a_document_in_a_text_its_fields_are_told() -> None:
    before, after = "trustDomain: a\nx: 1\n", "trustDomain: b\nx: 1\n"
    wanted, live = ({"data": {"mesh": text}} for text in (after, before))
    assert told(live, wanted, live) == [("data.mesh.trustDomain", "a", "b")]


@pytest.mark.parametrize("text", ["a: [1\nb", "- one\n- two\n", "&a [*a]\n", "\n" + "x: 1\n" * 100_000])
def test_a_text_that_is_no_document_is_told_as_it_is(text: str) -> None:
    assert told({}, {"data": {"mesh": text}}, {"data": {"mesh": "x: 1\n"}}) == [("data.mesh", "x: 1\n", text)]


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Secret", ("data", "ca"), "aGVsbG8="),
        ("Secret", ("stringData",), {"ca": "hello"}),
        ("Deployment", ("spec", "env", Item("name", "DB_PASSWORD"), "value"), "hunter2"),
        ("Deployment", ("spec", "env", Item("name", "DB_PASSWORD")), {"name": "DB_PASSWORD", "value": "hunter2"}),
        ("ConfigMap", ("data", "password"), "hunter2"),
        ("ConfigMap", ("data", "notes"), "ghp_" + "a" * 36),
    ],
)
def test_a_secret_is_not_shown(kind: str, path: Any, value: Any) -> None:
    found = shown(kind, Field(Place(path), value, ABSENT))
    assert (found.before, found.after) == (HIDDEN, None)


def test_a_number_with_such_a_name_is_no_secret() -> None:
    assert shown("ConfigMap", Field(Place(("data", "token")), ABSENT, 3)) == FieldChange("data.token", None, 3)
