"""What the charts of Istio say about our values: nothing against the built-in ones, and the line of a slip."""

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from meshinstall import catalog
from meshinstall.config.explain import explain
from meshinstall.config.project import Project, load_project
from meshinstall.config.resolve import resolve
from meshinstall.config.schema import check_values, validate
from meshinstall.errors import UsageError
from meshinstall.model.chart import ChartFiles
from meshinstall.model.cluster import Cloud
from meshinstall.model.desired import Release
from meshinstall.model.request import Request
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import Layer, LayerKind

pytestmark = pytest.mark.tools

Charts = Mapping[str, ChartFiles]


# Renders one template of a release's chart with its values, and more arguments of helm.
Template = Callable[..., str]


@pytest.fixture
def template(helm4: Path, build_part: Callable[[str], Path], tmp_path: Path) -> Template:
    archives = build_part("charts")

    def render(each: Release, name: str, *more: str) -> str:
        archive = archives / f"{each.chart.name}-{catalog.EXAMPLE_ISTIO}.tgz"
        argv = [
            str(helm4),
            "template",
            each.key.name,
            str(archive),
            "-n",
            each.key.namespace,
            "-s",
            f"templates/{name}.yaml",
            "-f",
            "-",
            *more,
        ]
        done = subprocess.run(
            argv, input=json.dumps(each.values.merged()), capture_output=True, text=True, check=False, env={"HOME": str(tmp_path)}
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return render


def release(project: Project, name: str, *sets: str, cloud: Cloud = Cloud.LOCAL, profile: str = "production") -> Release:
    desired = resolve(Request(environment="dev", cloud=cloud, profile=profile, sets=sets), project)
    return next(each for each in desired.releases if each.key.name == name)


def said(each: Release, charts: Charts, key: str = "") -> list[str]:
    return [
        f"{'.'.join(one.path)} = {spoken.value} ({spoken.origin}){' wins' if spoken.wins else ''}"
        for one in explain(each, charts[each.chart.name], key)
        for spoken in one.spoken
    ]


@pytest.mark.parametrize("profile", ["minimal", "default", "production", "ambient"])
def test_the_charts_know_every_built_in_value(builtin: Project, charts: Charts, profile: str) -> None:
    for cloud in Cloud:
        for environment in ("dev", "staging", "prod"):
            for each in resolve(Request(environment=environment, cloud=cloud, profile=profile), builtin).releases:
                verdict = check_values(each.component, charts[each.chart.name], each.values)
                assert verdict.errors == ()
                assert verdict.warnings == ()


def test_a_slip_in_a_key_is_a_warning_with_its_line(tmp_path: Path, charts: Charts) -> None:
    (tmp_path / "meshinstall.yaml").write_text("""\
apiVersion: meshinstall.dev/v1
environments:
  dev:
    cloud: local
    values:
      istiod:
        autoscaleMim: 2
        pilot: {autoscalMax: 2}
        global: {proxy: {logLevl: debug}}
        env: {ANYTHING: goes}
        meshConfig: {accessLogFormat: goes}
        base: {validationFailurePolicy: Fail}
""")
    each = release(load_project(None, {}, tmp_path), "istiod")
    verdict = check_values(each.component, charts["istiod"], each.values)
    assert verdict.errors == ()
    assert [f"{problem} ({problem.hint})" for problem in verdict.warnings] == [
        "meshinstall.yaml:7:9: the chart does not read autoscaleMim (did you mean autoscaleMin?)",
        "meshinstall.yaml:8:17: the chart does not read pilot.autoscalMax (did you mean autoscaleMax?)",
        "meshinstall.yaml:9:26: the chart does not read global.proxy.logLevl (did you mean logLevel?)",
    ]


def test_what_the_schema_refuses_is_an_error_without_the_value(builtin: Project, charts: Charts) -> None:
    sets = (
        "istio-ingress.service.type=31337",
        "istio-ingress.kind=Hunter",
        "istio-ingress.volumes[0]=x",
        "istio-ingress.typo=1",
    )
    each = release(builtin, "istio-ingress", *sets)
    verdict = check_values(each.component, charts["gateway"], each.values)
    assert verdict.warnings == (), "one message for each place"
    assert [str(problem) for problem in verdict.errors] == [
        '--set istio-ingress.kind: kind must be one of "Deployment", "DaemonSet"',
        "--set istio-ingress.service.type: service.type must be string",
        "--set istio-ingress.typo: the chart's schema has no key typo",
        "--set istio-ingress.volumes[0]: volumes.0 must be object",
    ]


def test_a_number_as_an_annotation_is_an_error_at_its_line_before_what_the_schema_says_of_it(tmp_path: Path, charts: Charts) -> None:
    text = "istio-ingress:\n  annotations: {a: true, b: 7}\n  commonLabels: {c: 1}\n"
    (tmp_path / "values/envs").mkdir(parents=True)
    (tmp_path / "values/envs/dev.yaml").write_text(text)
    (tmp_path / "meshinstall.yaml").write_text("apiVersion: meshinstall.dev/v1\n")
    each = release(load_project(None, {}, tmp_path), "istio-ingress")
    verdict = check_values(each.component, charts["gateway"], each.values)
    assert [f"{problem} ({problem.hint})" for problem in verdict.errors] == [
        "values/envs/dev.yaml:2:17: annotations.a must be text, not true or false (quote it)",
        "values/envs/dev.yaml:2:26: annotations.b must be text, not a number (quote it)",
        "values/envs/dev.yaml:3:3: the chart's schema has no key commonLabels ()",
    ]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("nonsense", "Expecting value"),
        ('{"type": "strin"}', '"strin" is not valid'),
        ('{"$ref": "https://127.0.0.1:9/schema.json"}', "Retrieval is disabled"),
        ('{"$ref": "file:///etc/passwd"}', "Retrieval is disabled"),
    ],
)
def test_a_schema_that_is_none_or_points_elsewhere_is_the_charts_problem(builtin: Project, schema: str, reason: str) -> None:
    (problem,) = validate({"a": 1}, schema, release(builtin, "istio-ingress").values)
    assert str(problem).startswith("the chart's values.schema.json: is not a usable JSON schema: ")
    assert reason in problem.text


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("istiod.profile=default", "the chart has no profile 'default' (known: ambient, demo, preview, remote, stable)"),
        ("istiod.global.platform=eks", "the chart has no platform 'eks' (known: gke, k3d, k3s, microk8s, minikube, openshift)"),
        ("istiod.compatibilityVersion=1.2", "the chart has no compatibilityVersion '1.2' (did you mean 1.29?)"),
    ],
)
def test_a_profile_or_platform_that_the_chart_would_fail_on_is_an_error(builtin: Project, charts: Charts, value: str, problem: str) -> None:
    each = release(builtin, "istiod", value)
    (found,) = check_values(each.component, charts["istiod"], each.values).errors
    assert f"{found} ({found.hint})".endswith(problem)


def test_explain_shows_the_charts_default_under_the_users_word(builtin: Project, charts: Charts) -> None:
    assert said(release(builtin, "istiod"), charts, "autoscaleMin") == [
        "autoscaleMin = 1 (chart values.yaml:5)",
        "autoscaleMin = 2 (<built-in>/profiles/production.yaml:8) wins",
    ]


def test_explain_shows_the_charts_own_profile_and_platform(builtin: Project, charts: Charts) -> None:
    each = release(builtin, "istio-cni", cloud=Cloud.GKE, profile="ambient")
    assert said(each, charts, "ambient.enabled") == [
        "ambient.enabled = False (chart values.yaml:57)",
        "ambient.enabled = True (chart files/profile-ambient.yaml:24) wins",
    ]
    assert (
        said(each, charts, "resourceQuotas.enabled")[-1] == "resourceQuotas.enabled = True (chart files/profile-platform-gke.yaml:8) wins"
    )


def test_explain_without_a_key_lists_what_is_not_the_charts(builtin: Project, charts: Charts) -> None:
    each = release(builtin, "istio-cni", cloud=Cloud.GKE, profile="ambient")
    assert said(each, charts) == [
        "cniBinDir = /opt/cni/bin (chart values.yaml:22)",
        "cniBinDir =  (chart files/profile-platform-gke.yaml:6)",
        "cniBinDir = /home/kubernetes/bin (<built-in>/values/clouds/gke.yaml:9) wins",
        "global.platform = gke (<built-in>/values/clouds/gke.yaml:5) wins",
        "profile = ambient (<built-in>/profiles/ambient.yaml:12) wins",
    ]


def test_explain_of_a_key_that_nobody_knows_offers_the_nearest(builtin: Project, charts: Charts) -> None:
    with pytest.raises(UsageError) as caught:
        said(release(builtin, "istiod"), charts, "autoscaleMinn")
    assert caught.value.hint == "did you mean autoscaleMin?"


@pytest.mark.parametrize("sets", [("autoscaleMin=3", "pilot.autoscaleMin=4"), ("pilot.autoscaleMin=4", "autoscaleMin=3")])
def test_the_charts_old_prefix_wins_as_explain_says(builtin: Project, charts: Charts, template: Template, sets: tuple[str, str]) -> None:
    each = release(builtin, "istiod", *(f"istiod.{value}" for value in sets))
    assert said(each, charts, "pilot.autoscaleMin")[-1] == "autoscaleMin = 4 (--set istiod.pilot.autoscaleMin) wins"
    assert "minReplicas: 4" in template(each, "autoscale")


def test_a_gateways_global_values_count_at_the_root_as_explain_says(builtin: Project, charts: Charts, template: Template) -> None:
    each = release(builtin, "istio-ingress", "istio-ingress.global.imagePullPolicy=Never")
    assert said(each, charts, "imagePullPolicy")[-1] == "imagePullPolicy = Never (--set istio-ingress.global.imagePullPolicy) wins"
    assert "imagePullPolicy: Never" in template(each, "deployment")


def test_production_is_highly_available_when_rendered(builtin: Project, template: Template) -> None:
    istiod, gateway = release(builtin, "istiod"), release(builtin, "istio-ingress")
    assert "minReplicas: 2" in template(istiod, "autoscale")
    assert "minReplicas: 2" in template(gateway, "hpa")
    for each in (istiod, gateway):
        budget = template(each, "poddisruptionbudget")
        assert "maxUnavailable: 1" in budget
        assert "minAvailable" not in budget
        assert template(each, "deployment").count("topologyKey: ") == 2
    deployment = template(gateway, "deployment")
    for line in (
        "terminationDrainDuration: 30s",
        "terminationGracePeriodSeconds: 45",
        "minReadySeconds: 10",
        "inject.istio.io/templates: gateway",
    ):
        assert line in deployment


def test_gkes_folder_for_plugins_is_what_the_chart_finds_by_itself_on_gke(builtin: Project, template: Template) -> None:
    """With a cluster the chart reads ``-gke`` in its version; the value makes it the same without one."""
    each = release(builtin, "istio-cni", cloud=Cloud.GKE, profile="ambient")
    written = template(each, "daemonset")
    assert "path: /home/kubernetes/bin" in written
    without = {key: value for key, value in each.values.merged().items() if key != "cni"}
    detecting = replace(each, values=ValuesStack((Layer(LayerKind.CLOUD, "f", without),)))
    detected = template(detecting, "daemonset", "--kube-version", "v1.34.1-gke.100")
    assert yaml.safe_load(detected) == yaml.safe_load(written), "the same pods: none restarts"
    assert "path: /opt/cni/bin" in template(detecting, "daemonset")


def test_images_reach_the_pods(tmp_path: Path, template: Template) -> None:
    (tmp_path / "meshinstall.yaml").write_text(
        "apiVersion: meshinstall.dev/v1\nimages: {hub: example.com/istio, tag: 1.31.0-p1, pullPolicy: Never, pullSecrets: [login]}\n"
    )
    project = load_project(None, {}, tmp_path)
    images = {"istiod": ("pilot", "deployment"), "istio-cni": ("install-cni", "daemonset"), "ztunnel": ("ztunnel", "daemonset")}
    for name, (image, workload) in images.items():
        each = release(project, name, profile="ambient")
        pods = template(each, workload)
        assert f'image: "example.com/istio/{image}:1.31.0-p1' in pods
        assert "imagePullPolicy: Never" in pods
        assert "imagePullSecrets:\n  - name: login" in template(each, "serviceaccount")
    gateway = template(release(project, "istio-ingress"), "deployment")
    assert "imagePullPolicy: Never" in gateway
    assert "imagePullSecrets:\n        - name: login" in gateway
    # Beside the chart's own annotations.
    assert "meshinstall.dev/proxy-image: example.com/istio/proxyv2:1.31.0-p1" in gateway
    assert "prometheus.io/scrape: " in gateway
    assert "inject.istio.io/templates: gateway" in gateway
