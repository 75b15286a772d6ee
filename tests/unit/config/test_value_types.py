"""Values whose type Kubernetes refuses, or that Helm would write in another way: found at their line, as the real helm shows."""

import json
import subprocess
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from meshinstall.config.source import parse
from meshinstall.config.value_types import check_types
from meshinstall.model.release import Component
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import Layer, LayerKind

CHARTS: Mapping[Component, str] = {
    Component.ISTIOD: "istiod",
    Component.CNI: "cni",
    Component.ZTUNNEL: "ztunnel",
    Component.GATEWAY: "gateway",
}


def stack(text: str, kind: LayerKind = LayerKind.ENVIRONMENT) -> ValuesStack:
    problems: list[Any] = []
    layer = parse(text, "values.yaml", problems).layer(kind)
    assert problems == []
    return ValuesStack((layer,) if layer else ())


def said(component: Component, text: str) -> list[str]:
    return [f"{problem} ({problem.hint})" for problem in check_types(component, stack(text), frozenset())]


@pytest.mark.parametrize(
    ("component", "text", "problem"),
    [
        (
            Component.ISTIOD,
            "podAnnotations: {a.example/build: 20261128}",
            "1:18: podAnnotations.a.example/build must be text, not a number",
        ),
        (Component.ISTIOD, "pilot: {serviceAnnotations: {x: true}}", "1:30: pilot.serviceAnnotations.x must be text, not true or false"),
        (Component.ISTIOD, "nodeSelector: {x: [a]}", "1:16: nodeSelector.x must be text, not a list"),
        (Component.ISTIOD, "deploymentAnnotations: {x: {z: a}}", "1:29: deploymentAnnotations.x must be text, not a map"),
        (Component.ISTIOD, "global: {waypoint: {nodeSelector: {x: 1}}}", "1:36: global.waypoint.nodeSelector.x must be text, not a number"),
        (Component.CNI, "podLabels: {x: 1}", "1:13: podLabels.x must be text, not a number"),
        (Component.ZTUNNEL, "labels: {x: 1}", "1:10: labels.x must be text, not a number"),
        (Component.GATEWAY, "service: {annotations: {x: true}}", "1:25: service.annotations.x must be text, not true or false"),
        (Component.GATEWAY, "global: {podAnnotations: {x: 1}}", "1:27: global.podAnnotations.x must be text, not a number"),
        (
            Component.GATEWAY,
            "topologySpreadConstraints:\n  - labelSelector: {matchLabels: {x: 1}}",
            "2:35: topologySpreadConstraints.0.labelSelector.matchLabels.x must be text, not a number",
        ),
        (
            Component.GATEWAY,
            "additionalContainers:\n  - env:\n      - {name: A, value: 7}",
            "3:19: additionalContainers.0.env.0.value must be text, not a number",
        ),
        (Component.ZTUNNEL, "multiCluster: {clusterName: 7}", "1:16: multiCluster.clusterName must be text, not a number"),
        (Component.ISTIOD, "env: {X: [a]}", "1:7: env.X must be text, not a list"),
    ],
)
def test_what_must_be_text_is_found_at_its_line(component: Component, text: str, problem: str) -> None:
    assert said(component, text) == [f"values.yaml:{problem} (quote it)"]


@pytest.mark.parametrize(
    ("component", "text"),
    [
        (Component.ISTIOD, "env: {PILOT_MAX: 25000000}"),
        (Component.ISTIOD, "env: {VERSION: 1.0}"),
        (Component.ISTIOD, "podLabels: {X: -1000000}"),
        (Component.ISTIOD, "global: {meshID: 12345678}"),
        (Component.ISTIOD, "tag: 1.30"),
        (Component.CNI, "env: {X: 0.00001}"),
        (Component.ZTUNNEL, "meshConfig: {defaultConfig: {proxyMetadata: {X: 1000000}}}"),
        (Component.GATEWAY, "labels: {X: 1000000}"),
    ],
)
def test_a_number_that_helm_writes_in_another_way_is_found(component: Component, text: str) -> None:
    (problem,) = said(component, text)
    assert "must be text: Helm would write this number in another way" in problem
    assert problem.endswith("(quote it)")


@pytest.mark.parametrize(
    ("component", "text"),
    [
        (Component.ISTIOD, "env: {A: 7, B: true, C: 0.5, D: text, E: null}\npodLabels: {x: 1}\ndeploymentLabels: {x: true}"),
        (Component.ISTIOD, "podAnnotations: {x: '1'}\nnodeSelector: {}\nresources: {requests: {memory: 2500000000}}"),
        (Component.ISTIOD, "meshConfig: {defaultConfig: {concurrency: 25000000}}\nautoscaleMin: 1000000"),
        (Component.ZTUNNEL, "env: {A: 7}\nnetwork: 7"),
        (Component.GATEWAY, "labels: {x: 1}\nenv: {A: true}\nterminationGracePeriodSeconds: 1000000"),
    ],
)
def test_what_the_charts_make_text_themselves_is_not_refused(component: Component, text: str) -> None:
    assert said(component, text) == []


@pytest.mark.parametrize("text", ["podAnnotations: [a]", "podAnnotations: a", "env: 7", "affinity: {x: {nodeSelector: 7}}"])
def test_what_must_be_a_map_of_text_is_a_map(text: str) -> None:
    (problem,) = said(Component.ISTIOD, text)
    assert "must be a map" in problem


def test_a_flag_is_given_as_text_by_another_flag() -> None:
    layer = Layer(LayerKind.FLAG, "--set istiod.env.A", {"env": {"A": 25000000}})
    (problem,) = check_types(Component.ISTIOD, ValuesStack((layer,)), frozenset())
    assert problem.hint == "use --set-string"


def test_a_key_that_the_chart_does_not_read_is_not_refused() -> None:
    values = stack("commonLabels: {x: 1}")
    assert check_types(Component.ISTIOD, values, frozenset({("commonLabels",)})) == ()


# Values that each map of a chart gets, many of them in one helm process.
numbers = st.integers(-(10**9), 10**9) | st.floats(-(10**7), 10**7, allow_nan=False).map(lambda value: round(value, 6)) | st.booleans()
few = settings(
    max_examples=max(1, settings().max_examples // 50),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
)
# Where the templates show an entry named zzN: as YAML, or as the value of an environment variable.
MAPS: Mapping[Component, tuple[str, ...]] = {
    Component.ISTIOD: ("nodeSelector", "podAnnotations", "podLabels", "deploymentLabels", "deploymentAnnotations", "env"),
    Component.CNI: ("podAnnotations", "podLabels", "daemonSetLabels", "env"),
    Component.ZTUNNEL: ("labels", "annotations", "podLabels", "podAnnotations", "nodeSelector", "env"),
    Component.GATEWAY: ("annotations", "labels", "podAnnotations", "nodeSelector", "env"),
}


@pytest.mark.tools
@few
@pytest.mark.parametrize("component", MAPS)
@given(values=st.lists(numbers, min_size=20, max_size=20))
def test_the_real_helm_renders_as_text_exactly_what_is_not_refused(
    component: Component, values: list[Any], helm4: Path, build_part: Callable[[str], Path], tmp_path: Path
) -> None:
    sent = {name: {f"zz{number}-{name.lower()}": value for number, value in enumerate(values)} for name in MAPS[component]}
    # What is a mistake to the chart's schema, or to helm's own reader, is not rendered.
    allowed = {key: value for key, value in sent.get("annotations", {}).items() if isinstance(value, int) and not isinstance(value, bool)}
    sent |= {"annotations": allowed} if component is Component.GATEWAY else {}
    layer = Layer(LayerKind.FILE, "f", sent)
    refused = {
        ".".join(problem.text.split(" must")[0].split(".")[1:]) for problem in check_types(component, ValuesStack((layer,)), frozenset())
    }
    archive = build_part("charts") / f"{CHARTS[component]}-1.31.0.tgz"
    argv = [str(helm4), "template", "x", str(archive), "-n", "x", "-f", "-"]
    done = subprocess.run(argv, input=json.dumps(sent), capture_output=True, text=True, check=False, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    shown = dict(_entries(list(yaml.safe_load_all(done.stdout))))
    written = {key: value for entries in sent.values() for key, value in entries.items()}
    same = {key for key, value in written.items() if shown[key] == _as_written(value)}
    assert set(written) - same == refused


def _as_written(value: Any) -> str:
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else json.dumps(value)


def _entries(value: Any) -> Any:
    """Every entry named zzN of a map, and every environment variable of that name."""
    if isinstance(value, Mapping):
        if str(value.get("name", "")).startswith("zz"):
            yield value["name"], value.get("value")
        for key, item in value.items():
            if str(key).startswith("zz"):
                yield key, item
            yield from _entries(item)
    elif isinstance(value, list):
        for item in value:
            yield from _entries(item)
