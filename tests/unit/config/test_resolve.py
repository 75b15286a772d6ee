"""From a request and files to what the mesh should look like."""

from pathlib import Path
from typing import Any

import pytest

from meshinstall.config.project import Project, load_project
from meshinstall.config.resolve import resolve
from meshinstall.errors import ConfigError
from meshinstall.model.cluster import Cloud, ClusterRef
from meshinstall.model.desired import Desired, Release
from meshinstall.model.request import Request
from meshinstall.model.values import LayerKind
from tests.unit.config.projects import HEAD, Write, release, resolved

REFUSED = "secrets are not allowed in files or flags (refer to an existing Secret, an ExternalSecret or a CSI volume by name instead)"


def problems(folder: Path, **request: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolved(folder, **request)
    return caught.value.message.splitlines()


def order(desired: Desired) -> dict[str, list[str]]:
    return {str(each.key): [need.name for need in each.needs] for each in desired.releases}


def test_minimal_is_the_control_plane_alone(tmp_path: Path) -> None:
    assert order(resolved(tmp_path, profile="minimal")) == {"istio-system/istio-base": [], "istio-system/istiod": ["istio-base"]}


def test_default_adds_an_ingress_gateway_in_a_namespace_of_its_own(tmp_path: Path) -> None:
    desired = resolved(tmp_path)
    assert desired.profile == "default"
    assert list(order(desired).items())[-1] == ("istio-ingress/istio-ingress", ["istiod"])
    assert [each.name for each in desired.namespaces] == ["istio-system", "istio-ingress"]


def test_ambient_installs_the_cni_before_ztunnel(tmp_path: Path) -> None:
    desired = resolved(tmp_path, profile="ambient")
    assert list(order(desired)) == [
        "istio-system/istio-base",
        "istio-system/istiod",
        "istio-system/istio-cni",
        "istio-system/ztunnel",
        "istio-ingress/istio-ingress",
    ]
    assert order(desired)["istio-system/ztunnel"] == ["istiod", "istio-cni"]


def test_gateways_of_one_order_need_those_of_lower_orders_only(write: Write) -> None:
    folder = write(
        {
            "meshinstall.yaml": HEAD
            + """\
environments:
  dev:
    cloud: local
    gateways:
      east-west: {order: 1, namespace: istio-eastwest}
      egress: {order: 1}
      istio-ingress: null
      public: {}
"""
        }
    )
    assert {name: needs for name, needs in order(resolved(folder)).items() if "istio-system" not in name} == {
        "public/public": ["istiod"],
        "istio-eastwest/east-west": ["istiod", "public"],
        "egress/egress": ["istiod", "public"],
    }


def test_every_layer_in_its_order(write: Write) -> None:
    folder = write(
        {
            "meshinstall.yaml": HEAD
            + """\
images: {hub: a}
environments:
  qa:
    profile: mine
    values:
      istiod: {env: {L: environment-of-file}}
    clouds:
      eks:
        values: {istiod: {env: {L: cluster}}}
""",
            "profiles/mine.yaml": "extends: minimal\nvalues: {istiod: {env: {L: profile}}}\n",
            "values/components/istiod.yaml": "env: {L: component}\n",
            "values/clouds/eks.yaml": "istiod: {env: {L: cloud}}\n",
            "values/envs/qa.yaml": "istiod: {env: {L: environment}}\n",
            "extra.yaml": "env: {L: file}\n",
        }
    )
    desired = resolved(folder, environment="qa", cloud=None, files=("istiod=extra.yaml",), sets=("istiod.env.L=flag",))
    spoken = release(desired, "istiod").values.explain(("env", "L"))
    assert [(each.origin.kind.name, each.value, str(each.origin)) for each in spoken] == [
        ("COMPONENT", "component", "values/components/istiod.yaml:1"),
        ("PROFILE", "profile", "profiles/mine.yaml:2"),
        ("CLOUD", "cloud", "values/clouds/eks.yaml:1"),
        ("ENVIRONMENT", "environment", "values/envs/qa.yaml:1"),
        ("ENVIRONMENT", "environment-of-file", "meshinstall.yaml:7"),
        ("CLUSTER", "cluster", "meshinstall.yaml:10"),
        ("FILE", "file", "extra.yaml:1"),
        ("FLAG", "flag", "--set istiod.env.L"),
    ]
    assert desired.cloud is Cloud.EKS
    kinds = [layer.kind for layer in release(desired, "istiod").values.layers]
    assert kinds == sorted(kinds)
    assert LayerKind.PROJECT in kinds


def test_a_users_file_goes_on_top_of_the_built_in_one_of_the_same_name(write: Write) -> None:
    folder = write(
        {
            "meshinstall.yaml": HEAD,
            "profiles/production.yaml": "values: {istiod: {autoscaleMin: 3}}\n",
            "values/envs/dev.yaml": "istiod: {resources: {requests: {cpu: 1m}}}\n",
        }
    )
    values = release(resolved(folder, profile="production"), "istiod").values.merged()
    assert values["autoscaleMin"] == 3
    assert values["pdb"]["maxUnavailable"] == 1
    assert values["resources"]["requests"] == {"cpu": "1m", "memory": "256Mi"}


def test_values_of_one_gateway_go_over_those_of_all(write: Write) -> None:
    folder = write(
        {
            "meshinstall.yaml": HEAD
            + """\
environments:
  dev:
    cloud: local
    gateways:
      egress: {values: {service: {type: ClusterIP}}}
    values:
      gateway: {labels: {team: all}, service: {type: NodePort}}
      istio-ingress: {labels: {team: one}}
"""
        }
    )
    desired = resolved(folder)
    assert release(desired, "istio-ingress").values.merged()["labels"] == {"team": "one"}
    assert release(desired, "egress").values.merged()["service"] == {"type": "ClusterIP"}


def test_a_flag_for_gateway_is_for_every_gateway(write: Write) -> None:
    text = HEAD + "environments:\n  dev: {cloud: local, gateways: {egress: {}}}\n"
    desired = resolved(
        write({"meshinstall.yaml": text, "a.yaml": "kind: DaemonSet\n"}), sets=("gateway.service.type=x",), files=("gateway=a.yaml",)
    )
    for name in ("egress", "istio-ingress"):
        values = release(desired, name).values.merged()
        assert values["kind"] == "DaemonSet"
        assert values["service"]["type"] == "x"


def mode(desired: Desired) -> str:
    (policy,) = desired.policies
    return str(policy.manifest["spec"]["mtls"]["mode"])


def test_strict_is_the_default_and_says_where_it_is_written(tmp_path: Path) -> None:
    desired = resolved(tmp_path)
    (policy,) = desired.policies
    assert policy.manifest == {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": "istio-system"},
        "spec": {"mtls": {"mode": "STRICT"}},
    }
    assert str(policy.origin) == "<built-in>/profiles/minimal.yaml:7"
    assert not desired.warnings


def test_a_weaker_mode_keeps_its_line(write: Write) -> None:
    folder = write({"meshinstall.yaml": HEAD + "environments:\n  dev:\n    cloud: local\n    mtls: PERMISSIVE\n"})
    desired = resolved(folder, sets=("istiod.meshConfig.enableAutoMtls=false",))
    assert mode(desired) == "PERMISSIVE"
    assert str(desired.policies[0].origin) == "meshinstall.yaml:5"
    assert [(each.code, each.origin) for each in desired.warnings] == [("CFG002", "--set istiod.meshConfig.enableAutoMtls")]


def test_a_profile_may_weaken_and_an_environment_may_return_to_strict(write: Write) -> None:
    folder = write(
        {
            "meshinstall.yaml": HEAD + "profile: soft\nenvironments:\n  prod: {cloud: local, mtls: STRICT}\n",
            "profiles/soft.yaml": "extends: default\nmtls: PERMISSIVE\n",
        }
    )
    assert str(resolved(folder).policies[0].origin) == "profiles/soft.yaml:2"
    assert mode(resolved(folder, environment="prod")) == "STRICT"


def test_the_policy_goes_to_the_meshs_root_namespace(tmp_path: Path) -> None:
    desired = resolved(tmp_path, sets=("istiod.meshConfig.rootNamespace=mesh-root",))
    assert desired.policies[0].manifest["metadata"]["namespace"] == "mesh-root"
    assert "mesh-root" in [each.name for each in desired.namespaces]


def test_a_cluster_is_what_the_file_says_with_flags_on_top(write: Write) -> None:
    folder = write(
        {
            "meshinstall.yaml": HEAD
            + "environments:\n  dev: {cloud: eks, cluster: {name: a, region: eu-west-1, kubeconfig: kube/config, roleArn: x}}\n"
        }
    )
    assert resolved(folder, cloud=None, cluster={"name": "b"}).cluster == ClusterRef(
        Cloud.EKS, "b", folder / "kube/config", "", {"region": "eu-west-1", "role_arn": "x"}
    )


def test_charts_and_version_may_be_overridden(write: Write) -> None:
    folder = write({"meshinstall.yaml": HEAD + "charts: {source: charts}\n"})
    project = load_project(None, {}, folder)
    assert release(resolved(folder), "istiod").chart.source == str(folder / "charts")
    chart = release(
        resolve(Request(environment="dev", cloud=Cloud.LOCAL, charts="mine", istio_version="1.30.2", folder=folder / "sub"), project),
        "istiod",
    ).chart
    assert chart.source == str(folder / "sub/mine")
    assert chart.version == "1.30.2"
    assert release(resolved(folder, charts="oci://localhost/charts"), "istiod").chart.source == "oci://localhost/charts"


def test_what_does_not_exist_is_named_with_what_does(write: Write) -> None:
    folder = write({"meshinstall.yaml": HEAD + "environments:\n  qa: {cloud: gke}\n  two: {clouds: {gke: {}, eks: {}}}\n"})
    assert problems(folder, environment="q") == ["--env: there is no environment 'q' (known: dev, staging, prod, qa, two)"]
    assert problems(folder, profile="amient") == ["--profile: there is no profile 'amient' (did you mean ambient?)"]
    assert problems(folder, cloud=None) == [
        "--cloud: required: the environment dev has no cloud in meshinstall.yaml (use one of: aks, eks, gke, local)"
    ]
    assert problems(folder, environment="two", cloud=None) == [
        "--cloud: required: the environment two is on several clouds (gke, eks) (use one of: gke, eks)"
    ]
    assert problems(folder, environment="qa") == [
        "meshinstall.yaml:3:3: the environment qa is on gke, not on local (choose another --env or --cloud, or add it to the environment)"
    ]
    assert problems(folder, istio_version="latest") == [
        "--istio-version: 'latest' is neither a minor such as 1.31 nor a full version such as 1.31.0"
    ]


def test_all_mistakes_in_flags_are_named_at_once(write: Write) -> None:
    folder = write({"bad.yaml": "a: yes\ntoken: hunter2\n"})
    found = problems(
        folder,
        files=("bad.yaml", "istiod=bad.yaml", "istiod=none.yaml"),
        sets=("autoscaleMin=2", "istoid.a=1", "cni.a=1", "istiod.a=1,b=2", "istiod.l[2]=x", "istiod.env.API_TOKEN=hunter2", "istiod.a"),
    )
    assert found == [
        "-f: must name a release; write RELEASE=FILE, such as istiod=values.yaml",
        "bad.yaml:1:4: yes is text in YAML 1.2 but true or false in YAML 1.1 (write true or false, or quote it)",
        f"bad.yaml:2:1: token looks like a secret; {REFUSED}",
        "none.yaml: there is no such file",
        "--set: must name a release; write RELEASE.KEY=VALUE, such as istiod.autoscaleMin=2",
        "--set: this profile does not install istoid (did you mean istiod?)",
        "--set: this profile does not install cni (known: base, istiod, istio-ingress)",
        "--set: has a list or several values; use one flag for each value, \\, for a comma, or -f with a file for a list",
        "--set: sets item 2 of a list of length 0; a chart's own list cannot be changed by item: write the whole list in a file of values",
        f"--set istiod.env.API_TOKEN: env.API_TOKEN looks like a secret; {REFUSED}",
        "--set: has no =; write RELEASE.KEY=VALUE",
    ]
    assert not any("hunter2" in line for line in found)


def test_one_setting_of_images_reaches_each_chart_where_it_reads_it(write: Write) -> None:
    images = "images: {hub: example.com/istio, tag: 1.31.0-p1, variant: distroless, pullPolicy: Always, pullSecrets: [login]}\n"
    desired = resolved(write({"meshinstall.yaml": HEAD + images}), profile="ambient", environment="staging")
    everywhere = {"hub": "example.com/istio", "tag": "1.31.0-p1", "variant": "distroless"}
    pull = {"imagePullPolicy": "Always", "imagePullSecrets": ["login"]}
    assert {each.key.name: _image_layer(each) for each in desired.releases} == {
        "istio-base": {"global": {"imagePullSecrets": ["login"]}},
        "istiod": {"global": everywhere | pull},
        "istio-cni": {"global": everywhere | pull},
        "ztunnel": everywhere | pull,
        "istio-ingress": {
            "imagePullPolicy": "Always",
            "imagePullSecrets": [{"name": "login"}],
            "podAnnotations": {"meshinstall.dev/proxy-image": "example.com/istio/proxyv2:1.31.0-p1-distroless"},
        },
    }
    spoken = release(desired, "ztunnel").values.explain(("tag",))
    assert str(spoken[-1].origin) == "meshinstall.yaml:2"
    assert spoken[-1].origin.column == 34


@pytest.mark.parametrize(
    ("images", "annotation"),
    [
        ("hub: example.com/istio", "example.com/istio/proxyv2"),
        ("tag: 1.31.0-p1", "proxyv2:1.31.0-p1"),
        ("variant: debug", "proxyv2:debug"),
        ("hub: example.com:5000/istio, variant: debug", "example.com:5000/istio/proxyv2:debug"),
    ],
)
def test_a_gateway_rolls_when_its_proxys_image_is_another(write: Write, images: str, annotation: str) -> None:
    values = release(resolved(write({"meshinstall.yaml": HEAD + f"images: {{{images}}}\n"}), environment="staging"), "istio-ingress").values
    assert values.merged()["podAnnotations"]["meshinstall.dev/proxy-image"] == annotation
    spoken = values.explain(("podAnnotations", "meshinstall.dev/proxy-image"))
    assert str(spoken[-1].origin) == "meshinstall.yaml:2"
    assert spoken[-1].value == annotation


def test_a_gateway_does_not_roll_for_how_images_are_pulled(write: Write) -> None:
    desired = resolved(write({"meshinstall.yaml": HEAD + "images: {pullPolicy: Always}\n"}), environment="staging")
    assert "podAnnotations" not in release(desired, "istio-ingress").values.merged()


def _image_layer(each: Release) -> Any:
    return next(layer.values for layer in each.values.layers if layer.kind is LayerKind.PROJECT)


def test_platforms_are_passed_only_where_charts_know_them(builtin: Project) -> None:
    for cloud in Cloud:
        desired = resolve(Request(environment="prod", cloud=cloud, profile="ambient"), builtin)
        platforms = {each.key.name: each.values.merged().get("global", {}).get("platform") for each in desired.releases}
        assert {name for name, platform in platforms.items() if platform} == ({"istio-cni", "ztunnel"} if cloud is Cloud.GKE else set())


def test_releases_stand_in_an_order_that_meets_their_needs(builtin: Project) -> None:
    for profile in builtin.profiles:
        releases = resolve(Request(environment="prod", cloud=Cloud.EKS, profile=profile), builtin).releases
        for position, each in enumerate(releases):
            assert {before.key for before in releases[:position]} >= set(each.needs)
