"""Values that exclude each other: the user's replaces the built-in profile's, two of the user's are refused, and explain shows it."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshinstall import catalog
from meshinstall.config.explain import explain
from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.config.schema import check_values
from meshinstall.errors import ConfigError
from meshinstall.model.chart import ChartFiles
from meshinstall.model.cluster import Cloud
from meshinstall.model.desired import Release
from meshinstall.model.request import Request

Write = Callable[[Mapping[str, str]], Path]
HEAD = "apiVersion: meshinstall.dev/v1\nenvironments:\n  dev:\n    cloud: local\n"


def gateway(folder: Path, name: str = "istio-ingress", **request: Any) -> Release:
    asked: dict[str, Any] = {"environment": "dev", "cloud": Cloud.LOCAL, "profile": "production", "folder": folder} | request
    desired = resolve(Request(**asked), load_project(None, {}, folder))
    return next(each for each in desired.releases if each.key.name == name)


def problems(folder: Path, **request: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        gateway(folder, **request)
    return caught.value.message.splitlines()


def values(write: Write, text: str) -> Path:
    return write({"meshinstall.yaml": HEAD + "    values:\n" + text})


def test_the_users_limit_of_a_budget_replaces_that_of_the_profile(write: Write) -> None:
    folder = values(write, "      gateway:\n        podDisruptionBudget: {minAvailable: 2}\n")
    each = gateway(folder)
    assert each.values.merged()["podDisruptionBudget"] == {"minAvailable": 2, "unhealthyPodEvictionPolicy": "AlwaysAllow"}
    removed = each.values.explain(("podDisruptionBudget", "maxUnavailable"))[-1]
    assert removed.deletes
    assert str(removed.origin) == "meshinstall.yaml:7", "the line that replaces it"


def test_two_limits_of_the_users_own_are_refused_with_both_lines(write: Write) -> None:
    folder = values(
        write, "      gateway: {podDisruptionBudget: {minAvailable: 2}}\n      istio-ingress: {podDisruptionBudget: {maxUnavailable: 1}}\n"
    )
    assert problems(folder) == [
        (
            "meshinstall.yaml:7:45: podDisruptionBudget has minAvailable (meshinstall.yaml:6) and maxUnavailable (meshinstall.yaml:7): "
            "Kubernetes refuses both (remove one of the two)"
        )
    ]


def test_a_daemon_set_has_neither_the_strategy_nor_the_budget_of_the_profile(write: Write) -> None:
    folder = values(write, "      gateway: {kind: DaemonSet}\n")
    each = gateway(folder)
    merged = each.values.merged()
    assert merged["kind"] == "DaemonSet"
    assert "strategy" not in merged
    assert "podDisruptionBudget" not in merged
    assert merged["minReadySeconds"] == 10
    assert str(each.values.explain(("strategy",))[-1].origin) == "meshinstall.yaml:6"


def test_a_kind_below_the_profile_removes_its_strategy_too(write: Write) -> None:
    folder = write({"meshinstall.yaml": HEAD, "values/components/gateway.yaml": "kind: DaemonSet\n"})
    assert "strategy" not in gateway(folder).values.merged()


def test_what_the_user_gives_a_daemon_set_that_has_none_is_refused(write: Write) -> None:
    text = """\
      gateway:
        kind: DaemonSet
        strategy: {type: Recreate}
        autoscaling: {enabled: false}
        replicaCount: 3
"""
    assert problems(values(write, text)) == [
        "meshinstall.yaml:8:9: a DaemonSet has no strategy, and kind is DaemonSet (meshinstall.yaml:7) (remove one of the two)",
        "meshinstall.yaml:10:9: a DaemonSet has no replicas, and kind is DaemonSet (meshinstall.yaml:7) (remove replicaCount)",
    ]


def test_a_null_on_what_only_a_lower_layer_of_ours_sets_is_not_sent(write: Write) -> None:
    folder = values(
        write,
        """\
      gateway:
        service: {annotations: {a: b, c: d}}
        podAnnotations: {x: z}
      istio-ingress:
        service: {annotations: {a: null}}
        podAnnotations: {x: null, proxy.istio.io/config: null, kept: null}
        env: {E: null}
        strategy: null
      istiod: {env: {A: b}, pilot: {env: {C: d}}}
""",
    )
    each = gateway(folder, sets=("istiod.env.A=null", "istiod.pilot.env.C=null"))
    merged = each.values.merged()
    assert merged["service"] == {"annotations": {"c": "d"}}
    assert merged["podAnnotations"] == {"kept": None}
    assert merged["env"] == {"E": None}, "nothing sets it below: it is sent as before"
    assert "strategy" not in merged
    assert each.values.explain(("service", "annotations", "a"))[-1].deletes
    istiod = gateway(folder, "istiod", sets=("istiod.env.A=null", "istiod.pilot.env.C=null")).values.merged()
    assert "env" not in istiod
    assert "pilot" not in istiod


def test_other_nulls_are_sent_as_before(write: Write) -> None:
    folder = values(write, "      istiod: {autoscaleMin: null, resources: {requests: {cpu: null}}, pdb: {maxUnavailable: null}}\n")
    merged = gateway(folder, "istiod").values.merged()
    assert merged["autoscaleMin"] is None
    assert merged["resources"]["requests"]["cpu"] is None
    assert merged["pdb"]["maxUnavailable"] is None


def test_two_gateways_of_one_name_or_one_selector_in_a_namespace_are_refused(write: Write) -> None:
    folder = write(
        {
            "meshinstall.yaml": HEAD
            + """\
    gateways:
      istio-ingress: {namespace: edge}
      b:
        namespace: edge
        values: {name: istio-ingress}
      c: {namespace: edge, values: {labels: {app: x, istio: z}}}
      d:
        namespace: edge
        values:
          labels: {app: x, istio: z}
      canary: {namespace: edge, values: {labels: {app: x, istio: z}, service: {type: None}}}
      e: {namespace: elsewhere, values: {name: istio-ingress, labels: {app: x, istio: z}}}
      f: {namespace: edge, values: {labels: {istio: z}}}
      g: {namespace: istio-system, values: {name: istiod}}
"""
        }
    )
    assert problems(folder, profile="default") == [
        (
            "meshinstall.yaml:14:11: the gateways edge/c and edge/d select each other's pods: both have the labels app=x and istio=z "
            "(give one of them other labels, or another namespace)"
        ),
        "meshinstall.yaml:18:45: the gateway istio-system/g would have the name of istiod's own objects (choose another name)",
        (
            "meshinstall.yaml:9:18: the gateways edge/b and edge/istio-ingress have one name for their objects: istio-ingress "
            "(give one of them another name)"
        ),
    ]


@pytest.fixture
def rendered(helm4: Path, build_part: Callable[[str], Path], tmp_path: Path) -> Callable[[Release], Mapping[str, Any]]:
    """What the real helm makes of a gateway, by kind."""

    def render(each: Release) -> Mapping[str, Any]:
        archive = build_part("charts") / f"{each.chart.name}-{catalog.EXAMPLE_ISTIO}.tgz"
        argv = [str(helm4), "template", each.key.name, str(archive), "-n", each.key.namespace, "-f", "-"]
        sent = json.dumps(each.values.merged())
        done = subprocess.run(argv, input=sent, capture_output=True, text=True, check=False, env={"HOME": str(tmp_path)})
        assert done.returncode == 0, done.stderr
        return {document["kind"]: document for document in yaml.safe_load_all(done.stdout) if document}

    return render


@pytest.mark.tools
def test_the_real_helm_renders_what_kubernetes_takes(
    write: Write, rendered: Callable[[Release], Mapping[str, Any]], charts: Mapping[str, ChartFiles]
) -> None:
    text = "      gateway:\n        podDisruptionBudget: {minAvailable: 2}\n        podAnnotations: {proxy.istio.io/config: null}\n"
    each = gateway(values(write, text))
    assert check_values(each.component, charts["gateway"], each.values).errors == ()
    objects = rendered(each)
    assert objects["PodDisruptionBudget"]["spec"]["minAvailable"] == 2
    assert "maxUnavailable" not in objects["PodDisruptionBudget"]["spec"]
    assert "proxy.istio.io/config" not in objects["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    (explained,) = explain(each, charts["gateway"], "podDisruptionBudget.maxUnavailable")
    assert [(str(spoken.origin), spoken.value) for spoken in explained.spoken][-1] == ("meshinstall.yaml:7", None)


@pytest.mark.tools
def test_the_real_helm_renders_a_daemon_set_without_what_it_cannot_have(
    write: Write, rendered: Callable[[Release], Mapping[str, Any]], charts: Mapping[str, ChartFiles]
) -> None:
    each = gateway(values(write, "      gateway: {kind: DaemonSet}\n"))
    assert check_values(each.component, charts["gateway"], each.values).errors == ()
    objects = rendered(each)
    assert not {"strategy", "replicas"} & set(objects["DaemonSet"]["spec"])
    assert not {"PodDisruptionBudget", "HorizontalPodAutoscaler", "Deployment"} & set(objects)
