"""meshinstall.yaml and what stands beside it: found, read, and every mistake named at once."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from meshinstall.config.init import example
from meshinstall.config.project import Project, load_project
from meshinstall.errors import ConfigError, UsageError

Write = Callable[[Mapping[str, str]], Path]

REFUSED = "secrets are not allowed in files or flags (refer to an existing Secret, an ExternalSecret or a CSI volume by name instead)"
HEAD = "apiVersion: meshinstall.dev/v1\n"


def problems(folder: Path) -> list[str]:
    """Each problem as ``place: text (hint)``."""
    with pytest.raises(ConfigError) as caught:
        load_project(None, {}, folder)
    return caught.value.message.splitlines()


def test_the_example_loads_as_it_is(write: Write) -> None:
    project = load_project(None, {}, write({"meshinstall.yaml": example()}))
    assert tuple(project.settings.environments) == ("dev", "staging", "prod")


def test_without_a_file_the_built_in_configuration_is_used(builtin: Project) -> None:
    assert set(builtin.profiles) == {"minimal", "default", "production", "ambient"}
    assert builtin.environments == ("dev", "staging", "prod")


def test_the_file_is_found_in_the_folders_above(write: Write) -> None:
    folder = write({"meshinstall.yaml": HEAD + "profile: minimal\n", "a/b/x": ""})
    assert load_project(None, {}, folder / "a/b").settings.profile == "minimal"


@pytest.mark.parametrize("named", ["there", "there/meshinstall.yaml"])
def test_the_option_and_the_variable_take_a_file_or_its_folder(write: Write, named: str) -> None:
    folder = write({"meshinstall.yaml": HEAD, "there/meshinstall.yaml": HEAD + "profile: minimal\n"})
    assert load_project(Path(named), {}, folder).settings.profile == "minimal"
    assert load_project(None, {"MESHINSTALL_CONFIG": named}, folder).settings.profile == "minimal"


@pytest.mark.parametrize(
    ("home", "named"),
    [("", "{folder}/there/meshinstall.yaml"), ("/", "{folder}/there/meshinstall.yaml"), ("{folder}", "~/there/meshinstall.yaml")],
)
def test_a_file_elsewhere_is_named_from_home_where_there_is_one(write: Write, home: str, named: str) -> None:
    folder = write({"there/meshinstall.yaml": HEAD, "here/x": ""})
    variables = {"HOME": home.format(folder=folder), "MESHINSTALL_CONFIG": str(folder / "there")}
    assert load_project(None, variables, folder / "here").document.source == named.format(folder=folder)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"set by MESHINSTALL_CONFIG"):
        load_project(None, {"MESHINSTALL_CONFIG": "nowhere"}, tmp_path)


def test_all_mistakes_of_all_files_are_named_at_once(write: Write) -> None:
    folder = write(
        {
            "meshinstall.yaml": HEAD
            + """\
istoi: {}
istio: {version: 1.31}
images: {pullPolicy: Sometimes, pullSecrets: login}
environments:
  dev:
    cloud: ekss
    clowd: eks
    mtls: DISABLE
    gateways: {istio-ingress: {ordre: 1, order: "1"}}
    clouds: {gke: {clustr: {}}}
    values: {istiod: 3}
  qa:
""",
            "profiles/mine.yaml": "components: [istoid]\n",
            "values/envs/dev.yaml": "istiod: {a: yes}\n",
            "values/clouds/eks.yaml": "istiod: {env: {DB_PASSWORD: hunter2}}\n",
            "values/components/base.yml": "a: 1\n",
        }
    )
    assert problems(folder) == [
        "meshinstall.yaml:2:1: unknown key 'istoi' (did you mean istio?)",
        "meshinstall.yaml:3:9: istio.version must be text (quote it)",
        "meshinstall.yaml:4:10: images.pullPolicy must be '', 'Always', 'IfNotPresent' or 'Never'",
        "meshinstall.yaml:4:33: images.pullSecrets must be a list",
        "meshinstall.yaml:7:5: environments.dev.cloud must be 'aks', 'eks', 'gke' or 'local'",
        "meshinstall.yaml:8:5: unknown key 'clowd' (did you mean cloud?)",
        "meshinstall.yaml:9:5: environments.dev.mtls must be 'STRICT' or 'PERMISSIVE'",
        "meshinstall.yaml:10:32: unknown key 'ordre' (did you mean order?)",
        "meshinstall.yaml:10:42: environments.dev.gateways.istio-ingress.order must be a whole number",
        "meshinstall.yaml:11:20: unknown key 'clustr' (did you mean cluster?)",
        "meshinstall.yaml:12:14: environments.dev.values.istiod must be a map",
        "meshinstall.yaml:13:3: environments.qa must be a map",
        "profiles/mine.yaml:1:14: components.0 must be 'base', 'istiod', 'cni' or 'ztunnel'",
        f"values/clouds/eks.yaml:1:16: istiod.env.DB_PASSWORD looks like a secret; {REFUSED}",
        "values/components/base.yml: only .yaml files are read (rename it to base.yaml)",
        "values/envs/dev.yaml:1:13: yes is text in YAML 1.2 but true or false in YAML 1.1 (write true or false, or quote it)",
    ]


def test_names_must_exist_and_choices_must_agree(write: Write) -> None:
    folder = write(
        {
            "meshinstall.yaml": HEAD
            + """\
istio: {version: "1.031"}
profile: prodction
environments:
  Dev:
    cluster: {contxt: kind}
    gateways: {istiod: {}, A_B: {}, ok: {namespace: UP}}
    values: {istoid: {}}
  both:
    cloud: eks
    clouds: {gke: {}}
""",
            "profiles/a.yaml": "extends: b\n",
            "profiles/b.yaml": "extends: a\n",
            "values/components/istoid.yaml": "a: 1\n",
            "values/clouds/azure.yaml": "{}\n",
            "values/envs/dev.yaml": "istio-ingres: {}\nistiod: 3\n",
        }
    )
    assert problems(folder) == [
        "meshinstall.yaml:2:9: '1.031' is neither a minor such as 1.31 nor a full version such as 1.31.0",
        "meshinstall.yaml:3:1: there is no profile 'prodction' (did you mean production?)",
        "meshinstall.yaml:5:3: invalid environment name 'Dev' (use at most 53 lower-case letters, digits and hyphens)",
        "meshinstall.yaml:6:5: Dev sets cluster but not cloud (set cloud to one of: aks, eks, gke, local)",
        "meshinstall.yaml:6:15: unknown key 'contxt' (did you mean context?)",
        "meshinstall.yaml:7:16: a gateway cannot be named istiod: a component has that name",
        "meshinstall.yaml:7:28: invalid gateway name 'A_B' (use at most 53 lower-case letters, digits and hyphens)",
        "meshinstall.yaml:7:42: invalid namespace name 'UP' (use at most 53 lower-case letters, digits and hyphens)",
        "meshinstall.yaml:8:14: istoid is not a component or a gateway (did you mean istiod?)",
        "meshinstall.yaml:11:5: both sets clouds and also cloud or cluster (use cloud and cluster for one cloud, clouds for several)",
        "profiles/a.yaml:1:1: the profile a extends itself",
        "profiles/b.yaml:1:1: the profile b extends itself",
        "values/clouds/azure.yaml: azure is not a cloud (known: aks, eks, gke, local)",
        "values/components/istoid.yaml: istoid is not a component or a gateway (did you mean istiod?)",
        "values/envs/dev.yaml:1:1: istio-ingres is not a component or a gateway (did you mean istio-ingress?)",
        "values/envs/dev.yaml:2:1: istiod must be a map of values",
    ]


def test_the_version_of_the_format_must_be_stated(write: Write) -> None:
    assert problems(write({"meshinstall.yaml": "profile: minimal\n"})) == [
        "meshinstall.yaml: apiVersion is missing (write apiVersion: meshinstall.dev/v1)"
    ]
