"""Layers on top of each other: who wins, and who else spoke."""

from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import Layer, LayerKind, Values


def layer(kind: LayerKind, values: Values) -> Layer:
    return Layer(kind, f"{kind.name.lower()}.yaml", values, {(key,): (line, 1) for line, key in enumerate(values, start=1)})


def said(stack: ValuesStack, *path: str) -> list[str]:
    return [f"{spoken.origin} {spoken.value}{' wins' if spoken.wins else ''}" for spoken in stack.explain(path)]


def test_maps_merge_and_lists_replace() -> None:
    stack = ValuesStack(
        (
            layer(LayerKind.COMPONENT, {"map": {"a": 1, "b": 1}, "list": [1, 2]}),
            layer(LayerKind.PROFILE, {"map": {"b": 2}, "list": [3]}),
        )
    )
    assert stack.merged() == {"map": {"a": 1, "b": 2}, "list": [3]}


def test_a_null_is_sent_so_that_helm_deletes_the_charts_default() -> None:
    stack = ValuesStack((layer(LayerKind.COMPONENT, {"a": {"b": 1}}), layer(LayerKind.PROFILE, {"a": None})))
    assert stack.merged() == {"a": None}


def test_the_charts_own_layers_are_not_sent() -> None:
    stack = ValuesStack((layer(LayerKind.CHART, {"a": 1}), layer(LayerKind.CHART_PROFILE, {"b": 1}), layer(LayerKind.FLAG, {"c": 1})))
    assert stack.merged() == {"c": 1}
    assert stack.effective() == {"a": 1, "b": 1, "c": 1}


def test_explain_names_every_layer_that_spoke_lowest_first() -> None:
    stack = ValuesStack(
        (
            layer(LayerKind.CHART, {"x": 0, "replicas": 1}),
            layer(LayerKind.PROFILE, {"replicas": 2}),
            layer(LayerKind.CLOUD, {"other": 1}),
            layer(LayerKind.FLAG, {"replicas": 3}),
        )
    )
    assert said(stack, "replicas") == ["chart.yaml:2 1", "profile.yaml:1 2", "flag.yaml:1 3 wins"]


def test_a_null_at_a_parent_speaks_about_everything_below() -> None:
    stack = ValuesStack((layer(LayerKind.CHART, {"a": {"b": 1}}), layer(LayerKind.PROFILE, {"a": None})))
    last = stack.explain(("a", "b"))[-1]
    assert last.wins is True
    assert last.deletes is True
    assert str(last.origin) == "profile.yaml:1"


def test_each_leaf_of_what_is_sent_has_its_winner() -> None:
    stack = ValuesStack(
        (
            layer(LayerKind.CHART, {"z": 1}),
            layer(LayerKind.COMPONENT, {"a": {"b": 1, "c": 1}, "list": [1], "empty": {}}),
            layer(LayerKind.FLAG, {"a": {"c": None}}),
        )
    )
    winners = {".".join(path): (spoken.origin.kind, spoken.value) for path, spoken in stack.winners().items()}
    assert winners == {
        "a.b": (LayerKind.COMPONENT, 1),
        "a.c": (LayerKind.FLAG, None),
        "list": (LayerKind.COMPONENT, [1]),
        "empty": (LayerKind.COMPONENT, {}),
    }


def test_what_is_merged_shares_nothing_with_the_layers() -> None:
    values = {"list": [{"a": 1}]}
    ValuesStack((layer(LayerKind.FILE, values),)).merged()["list"][0]["a"] = 2
    assert values == {"list": [{"a": 1}]}


def test_a_null_that_is_not_sent_takes_the_maps_with_it_that_held_nothing_else() -> None:
    layers = (
        layer(LayerKind.COMPONENT, {"a": {"b": {"c": 1}}, "d": {"e": 1, "f": {}}}),
        layer(LayerKind.PROFILE, {"a": {"b": {"c": None}}, "d": {"e": None}, "g": {"h": None}}),
    )
    stack = ValuesStack(layers, frozenset({("a", "b", "c"), ("d", "e")}))
    assert stack.merged() == {"d": {"f": {}}, "g": {"h": None}}
    assert stack.explain(("a", "b", "c"))[-1].deletes
    assert ValuesStack(layers).merged()["d"] == {"e": None, "f": {}}
