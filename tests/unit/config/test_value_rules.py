"""Values that stop helm or the API server half way, or do something else than they seem to do: found, as the real helm shows."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshinstall.config.project import Project, load_project
from meshinstall.config.resolve import resolve
from meshinstall.config.schema import Verdict, check_values
from meshinstall.errors import ConfigError
from meshinstall.model.chart import ChartFiles
from meshinstall.model.cluster import Cloud
from meshinstall.model.desired import Release
from meshinstall.model.release import Component
from meshinstall.model.request import Request
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import KeyPath, Layer, LayerKind

pytestmark = pytest.mark.tools

Charts = Mapping[str, ChartFiles]
NAMES: Mapping[Component, str] = {
    Component.BASE: "base",
    Component.ISTIOD: "istiod",
    Component.CNI: "cni",
    Component.ZTUNNEL: "ztunnel",
    Component.GATEWAY: "gateway",
}


def release(project: Project, name: str, *sets: str, profile: str = "default") -> Release:
    desired = resolve(Request(environment="dev", cloud=Cloud.LOCAL, profile=profile, sets=sets), project)
    return next(each for each in desired.releases if each.key.name == name)


def judged(charts: Charts, component: Component, values: Mapping[str, Any]) -> Verdict:
    stack = ValuesStack((Layer(LayerKind.ENVIRONMENT, "values.yaml", values, {(key,): (line, 1) for line, key in enumerate(values, 1)}),))
    return check_values(component, charts[NAMES[component]], stack)


def errors(charts: Charts, component: Component, values: Mapping[str, Any]) -> list[str]:
    return [f"{problem} ({problem.hint})" for problem in judged(charts, component, values).errors]


HINT = "use at most 56 lower-case letters, digits and hyphens, such as 1-31-0"


@pytest.mark.parametrize(
    ("component", "values", "problem"),
    [
        (Component.ISTIOD, {"revision": 131}, f"revision must be text (quote it; {HINT})"),
        (Component.ISTIOD, {"revision": "1.31.0"}, f"revision must be a DNS label: it becomes a part of names ({HINT})"),
        (Component.ISTIOD, {"pilot": {"revision": "Canary"}}, f"pilot.revision must be a DNS label: it becomes a part of names ({HINT})"),
        (Component.ISTIOD, {"revision": "a" * 57}, f"revision must be a DNS label: it becomes a part of names ({HINT})"),
        (Component.ISTIOD, {"revisionTags": ["stable", "Prod"]}, f"revisionTags must be a DNS label: it becomes a part of names ({HINT})"),
        (Component.BASE, {"defaultRevision": 131}, f"defaultRevision must be text (quote it; {HINT})"),
        (Component.GATEWAY, {"global": {"revision": "1.31"}}, f"global.revision must be a DNS label: it becomes a part of names ({HINT})"),
        (
            Component.CNI,
            {"revision": "131"},
            "revision must not look like a number or a boolean: the chart does not quote it (add a letter, such as r131)",
        ),
        (
            Component.ZTUNNEL,
            {"revision": "true"},
            "revision must not look like a number or a boolean: the chart does not quote it (add a letter, such as r131)",
        ),
    ],
)
def test_a_revision_that_no_object_can_be_named_by_is_an_error(
    charts: Charts, component: Component, values: Mapping[str, Any], problem: str
) -> None:
    assert errors(charts, component, values) == [f"values.yaml:1:1: {problem}"]


@pytest.mark.parametrize("component", [Component.ISTIOD, Component.CNI, Component.ZTUNNEL, Component.GATEWAY])
def test_a_revision_that_names_can_have_is_none(charts: Charts, component: Component) -> None:
    for revision in ("", "canary", "1-31-0", "a" * 56):
        assert errors(charts, component, {"revision": revision}) == []
    assert errors(charts, Component.ISTIOD, {"revision": "131", "revisionTags": ["prod-stable"]}) == []


@pytest.mark.parametrize(
    ("component", "values"),
    [
        (Component.ISTIOD, {"global": {"istioNamespace": "mesh-system"}}),
        (Component.BASE, {"global": {"istioNamespace": None}}),
        (Component.ZTUNNEL, {"istioNamespace": "mesh-system"}),
        (Component.ZTUNNEL, {"global": {"istioNamespace": "mesh-system"}}),
    ],
)
def test_another_namespace_for_the_control_plane_is_an_error(charts: Charts, component: Component, values: Mapping[str, Any]) -> None:
    (error,) = errors(charts, component, values)
    assert "istioNamespace must be istio-system: the mesh is installed there" in error
    assert errors(charts, component, {"global": {"istioNamespace": "istio-system"}}) == []


def test_mesh_config_is_judged_with_the_values_of_istiod_alone(charts: Charts) -> None:
    values = {"meshConfig": {"enableTracing": "true", "trustDomian": "a"}}
    assert errors(charts, Component.ISTIOD, values) == ["values.yaml:1:1: meshConfig.enableTracing must be true or false (without quotes)"]
    (unread,) = judged(charts, Component.ISTIOD, {"meshConfig": {"trustDomian": "a"}}).warnings
    assert unread.text == "meshConfig.trustDomian is not read by istiod"
    assert errors(charts, Component.ZTUNNEL, {"meshConfig": {"defaultConfig": {"proxyMetadata": {"A": True}}}}) == []


# Nulls that the chart renders, and that the template which istiod runs for each pod fails on.
AT_INJECTION = {("cni",), ("global", "proxy", "startupProbe"), ("global", "proxy_init"), ("global", "sts")}


@pytest.mark.parametrize("component", [Component.BASE, Component.ISTIOD, Component.CNI, Component.ZTUNNEL])
def test_a_null_at_a_map_of_the_chart_is_an_error_exactly_where_the_real_helm_fails(
    component: Component, charts: Charts, render: Callable[[Component, Mapping[str, Any]], str]
) -> None:
    defaults = yaml.safe_load(charts[NAMES[component]].values)["_internal_defaults_do_not_set"]
    for path in _maps(defaults):
        values: Any = None
        for key in reversed(path):
            values = {key: values}
        refused = bool(judged(charts, component, values).errors)
        assert refused == (path in AT_INJECTION or render(component, values) == ""), path


def test_a_null_below_the_old_prefix_and_for_the_budget_of_two_pods(charts: Charts) -> None:
    assert errors(charts, Component.ISTIOD, {"pilot": {"env": None}}) == [
        "values.yaml:1:1: pilot.env must be a map: null makes the chart's templates fail (write {} or remove the line)"
    ]
    assert errors(charts, Component.ISTIOD, {"pdb": None}) == []
    assert len(errors(charts, Component.ISTIOD, {"pdb": None, "autoscaleMin": 2})) == 1
    assert errors(charts, Component.ISTIOD, {"image": None}) == [
        "values.yaml:1:1: image must be text: null makes the chart's templates fail (remove the line)"
    ]


def test_one_item_of_the_charts_list_is_an_error(builtin: Project, charts: Charts) -> None:
    each = release(builtin, "istio-ingress", "istio-ingress.service.ports[0].nodePort=30021", "istio-ingress.volumes[0].name=x")
    (error,) = check_values(each.component, charts["gateway"], each.values).errors
    assert f"{error} ({error.hint})" == (
        "--set istio-ingress.service.ports[0].nodePort: would replace the chart's list service.ports (3 items) by this item alone "
        "(write the whole list in a file of values)"
    )


def test_one_item_of_a_list_of_a_file_is_changed(tmp_path: Path, charts: Charts) -> None:
    (tmp_path / "meshinstall.yaml").write_text("""\
apiVersion: meshinstall.dev/v1
environments:
  dev: {cloud: local, values: {gateway: {service: {ports: [{name: a, port: 80}, {name: b, port: 443}]}}}}
""")
    each = release(load_project(None, {}, tmp_path), "istio-ingress", "istio-ingress.service.ports[0].nodePort=30021")
    assert check_values(each.component, charts["gateway"], each.values).errors == ()
    assert each.values.merged()["service"]["ports"][0] == {"name": "a", "port": 80, "nodePort": 30021}


def test_the_second_item_of_a_list_that_no_file_sets_is_an_error_that_names_the_charts_list(builtin: Project) -> None:
    with pytest.raises(ConfigError, match="list of length 0; a chart's own list cannot be changed by item: write the whole list in a file"):
        release(builtin, "istio-ingress", "istio-ingress.service.ports[1].nodePort=30021")


@pytest.mark.parametrize(
    ("component", "values", "problem"),
    [
        (Component.ISTIOD, {"autoscaleMin": 6}, "autoscaleMin (values.yaml:1) is larger than autoscaleMax (chart values.yaml:6)"),
        (Component.ISTIOD, {"a": 1, "autoscaleMax": 2, "autoscaleMin": 3}, "autoscaleMin (values.yaml:3) is larger than autoscaleMax"),
        (
            Component.GATEWAY,
            {"autoscaling": {"minReplicas": 6}},
            "autoscaling.minReplicas (values.yaml:1) is larger than autoscaling.maxReplicas (chart values.yaml:",
        ),
        (Component.GATEWAY, {"autoscaling": {"minReplicas": 0}}, "autoscaling.minReplicas must be at least 1"),
    ],
)
def test_an_autoscaler_that_kubernetes_refuses_is_an_error(
    charts: Charts, component: Component, values: Mapping[str, Any], problem: str
) -> None:
    (error,) = errors(charts, component, values)
    assert problem in error


@pytest.mark.parametrize(
    ("component", "values"),
    [
        (Component.ISTIOD, {"autoscaleMin": 6, "autoscaleEnabled": False}),
        (Component.ISTIOD, {"autoscaleMin": 6, "autoscaleMax": 6}),
        (Component.ISTIOD, {"autoscaleMin": 0}),
        (Component.GATEWAY, {"autoscaling": {"minReplicas": 6, "enabled": False}}),
        (Component.GATEWAY, {"autoscaling": {"minReplicas": 6}, "kind": "DaemonSet"}),
    ],
)
def test_an_autoscaler_that_is_not_rendered_is_not_judged(charts: Charts, component: Component, values: Mapping[str, Any]) -> None:
    assert errors(charts, component, values) == []


def test_values_with_another_effect_than_they_seem_to_have_are_doubts(tmp_path: Path, charts: Charts) -> None:
    (tmp_path / "meshinstall.yaml").write_text("""\
apiVersion: meshinstall.dev/v1
environments:
  dev:
    cloud: local
    values:
      istiod:
        pdb: {minAvailable: 2}
        env: {NOBODY: null}
      ztunnel: {podAnnotations: {prometheus.io/scrape: "false", prometheus.io/port: null}}
""")
    project = load_project(None, {}, tmp_path)
    istiod = release(project, "istiod", profile="production")
    ambient = release(project, "ztunnel", "ztunnel.podAnnotations.prometheus\\.io/scrape=null", profile="ambient")
    verdicts = [check_values(each.component, charts[each.chart.name], each.values) for each in (istiod, ambient)]
    assert [verdict.errors for verdict in verdicts] == [(), ()]
    assert [f"{problem} ({problem.hint})" for verdict in verdicts for problem in verdict.doubts] == [
        "meshinstall.yaml:8:15: env.NOBODY is set to empty text: there is nothing below to remove (remove the line)",
        (
            "meshinstall.yaml:7:15: pdb.minAvailable has no effect beside pdb.maxUnavailable (<built-in>/profiles/production.yaml:12) "
            "(set pdb.maxUnavailable instead)"
        ),
        (
            "--set ztunnel.podAnnotations.prometheus.io/scrape: null does not remove podAnnotations.prometheus.io/scrape, which the chart "
            "sets (chart values.yaml:52): the chart's own value is used (write the text that you want)"
        ),
        (
            "meshinstall.yaml:9:65: null does not remove podAnnotations.prometheus.io/port, which the chart sets (chart values.yaml:51): "
            "it is set to empty text (write the text that you want)"
        ),
    ]


@pytest.fixture
def render(helm4: Path, build_part: Callable[[str], Path], tmp_path: Path) -> Callable[[Component, Mapping[str, Any]], str]:
    """What the real helm renders of a chart with values; empty when it fails."""

    def run(component: Component, values: Mapping[str, Any]) -> str:
        archive = build_part("charts") / f"{NAMES[component]}-1.31.0.tgz"
        argv = [str(helm4), "template", "x", str(archive), "-n", "istio-system", "-f", "-"]
        done = subprocess.run(argv, input=json.dumps(values), capture_output=True, text=True, check=False, env={"HOME": str(tmp_path)})
        return done.stdout if done.returncode == 0 else ""

    return run


def _maps(values: Mapping[str, Any], prefix: KeyPath = ()) -> Iterator[KeyPath]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield (*prefix, key)
            yield from _maps(value, (*prefix, key))
