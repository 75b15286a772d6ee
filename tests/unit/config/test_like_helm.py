"""Our merge, our ``--set`` and our YAML are helm's: each property asks helm itself, many cases a process."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from meshinstall.config.flags import parse_set
from meshinstall.config.source import parse
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import Layer, LayerKind

pytestmark = pytest.mark.tools

# Renders a chart with the given defaults, -f files (as values) and other arguments; returns what templates see.
Render = Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]], Sequence[str]], Any]

# A twenty-fifth of the usual examples, each of many cases: a helm process takes a tenth of a second. For the same reason a failure
# is not shrunk; pytest shows the cases that differ.
few = settings(
    max_examples=settings().max_examples // 25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
CASES = 60

keys = st.sampled_from("abc")
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", "true", "1"])
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3), max_leaves=6)
maps = st.dictionaries(keys, trees, max_size=3)


@pytest.fixture(scope="module")
def render(helm4: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    chart = tmp_path_factory.mktemp("chart")
    (chart / "templates").mkdir()
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 0.1.0\n")
    (chart / "templates/values.yaml").write_text("{{ .Values | toJson }}\n")

    def run(defaults: Mapping[str, Any], files: Sequence[Mapping[str, Any]], arguments: Sequence[str]) -> Any:
        (chart / "values.yaml").write_text(json.dumps(defaults))
        argv = [str(helm4), "template", "tiny", str(chart), *arguments]
        for number, values in enumerate(files):
            (chart / f"{number}.json").write_text(json.dumps(values))
            argv += ["-f", str(chart / f"{number}.json")]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env={"HOME": str(chart)})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def stack(*values: Mapping[str, Any]) -> ValuesStack:
    return ValuesStack(tuple(Layer(LayerKind.FILE, f"{number}", each) for number, each in enumerate(values)))


def side_by_side(values: Sequence[Any]) -> dict[str, Any]:
    return {f"case{number}": each for number, each in enumerate(values)}


@few
@given(cases=st.lists(st.tuples(maps, maps, maps), min_size=CASES, max_size=CASES))
def test_merged_layers_are_what_helm_makes_of_several_files(render: Render, cases: list[tuple[Any, Any, Any]]) -> None:
    files = [side_by_side([case[number] for case in cases]) for number in range(3)]
    assert stack(*files).merged() == render({}, files, [])


@few
@given(cases=st.lists(st.tuples(maps, maps, maps), min_size=CASES, max_size=CASES))
def test_sending_them_merged_changes_a_charts_defaults_as_sending_them_apart(render: Render, cases: list[tuple[Any, Any, Any]]) -> None:
    defaults, *files = (side_by_side([case[number] for case in cases]) for number in range(3))
    assert render(defaults, [stack(*files).merged()], []) == render(defaults, files, [])


def test_a_null_that_is_sent_deletes_a_default_and_a_map_above_it_restores_it(render: Render) -> None:
    defaults = {"a": {"x": 1}, "b": {"x": 1}}
    sent = stack({"a": None, "b": None}, {"b": {"y": 2}}).merged()
    assert render(defaults, [sent], []) == {"b": {"x": 1, "y": 2}}


# Texts of --set after the key, and of plain scalars in YAML, that are easily read in more than one way.
set_values = st.sampled_from(
    ["", "1", "-1", "+1", "0", "-0", "01", "1.5", "true", "TRUE", "False", "null", "Null", "yes", "~", "a=b", r"a\,b", r"a\\", " x ", '"1"']
) | st.from_regex(r"[-+0-9a-z.:/_]{1,12}", fullmatch=True)
set_keys = st.sampled_from(["a", "a.b", r"a\.b.c", "list[0]", "list[1]", "list[2]", "list[0].x", "a.l[0]", r"a\=b", "map.x"])


@few
@given(cases=st.lists(st.tuples(set_keys, set_values, st.booleans()), min_size=CASES, max_size=CASES))
def test_set_reads_paths_and_values_as_helm_does(render: Render, cases: list[tuple[str, str, bool]]) -> None:
    below = side_by_side([{"list": [{"y": 1}, 2], "map": {"x": {"y": 1}}} for _ in cases])
    ours: dict[str, ValuesStack] = {name: stack(values) for name, values in below.items()}
    typed: list[str] = []
    texts: list[str] = []
    for (name, values), (key, value, as_text) in zip(list(ours.items()), cases, strict=True):
        flag = "--set-string" if as_text else "--set"
        layer = parse_set(flag, f"{name}.{key}={value}").layer(values)
        ours[name] = ValuesStack((*values.layers, layer))
        (texts if as_text else typed).extend([f"{flag}={name}.{key}={value}"])
    assert {name: values.merged() for name, values in ours.items()} == render({}, [below], [*typed, *texts])


plain_scalars = st.from_regex(r"[-+]?(0[box]?)?[0-9_]{1,6}(\.[0-9]{0,3})?(e[-+]?[0-9])?", fullmatch=True) | st.sampled_from(
    [
        "~",
        "null",
        "Null",
        "true",
        "False",
        "TRUE",
        "0644",
        "0o17",
        "08",
        "1_000",
        ".5",
        "1:30",
        "2001-01-01",
        "1e3",
        "0x1F",
        "-0b11",
        "1.",
        "tRue",
    ]
)


@few
@given(cases=st.lists(plain_scalars, min_size=CASES, max_size=CASES))
def test_plain_scalars_are_read_as_helm_reads_them(render: Render, tmp_path: Path, cases: list[str]) -> None:
    text = "".join(f"case{number}: {case}\n" for number, case in enumerate(cases))
    (tmp_path / "values.yaml").write_text(text)
    problems: list[Any] = []
    ours = parse(text, "values.yaml", problems).values
    assert ours == render({}, [], ["-f", str(tmp_path / "values.yaml")])
    assert problems == []
