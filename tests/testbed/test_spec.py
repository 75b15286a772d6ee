"""Names, addresses and start order of a cluster."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from testbed import paths, spec
from testbed.build import catalog
from testbed.build.part import closure
from testbed.components import components
from testbed.engines.setup import HEALTH
from testbed.errors import TestbedError
from testbed.spec import Cloud, Engine, Nodes, Spec

PARTS = dict.fromkeys(catalog.PARTS, "/parts")


def of(nodes: Nodes, index: int = 1) -> Spec:
    return Spec("dev", nodes, index, "/state/dev", PARTS)


@pytest.mark.parametrize("name", ["", "Dev", "1dev", "a/b", "..", "a" * 31, "a b"])
def test_a_name_that_cannot_be_a_folder_is_refused(name: str) -> None:
    with pytest.raises(TestbedError, match="use a lower-case letter"):
        paths.state_dir(name)


def test_a_spec_survives_its_file(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(of(Nodes.SIMULATED).dump())
    assert spec.load(tmp_path / "spec.json") == of(Nodes.SIMULATED)


def test_a_cluster_of_a_newer_testbed_is_still_seen(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps({**json.loads(of(Nodes.REAL).dump()), "news": 1}))
    assert spec.load(tmp_path / "spec.json") == of(Nodes.REAL)


def test_an_api_server_gets_the_flags_of_its_authentication(tmp_path: Path) -> None:
    guarded = replace(of(Nodes.SIMULATED), authentication=("--authentication-config=/run/testbed/authentication/a.yaml",))
    (tmp_path / "spec.json").write_text(guarded.dump())
    assert spec.load(tmp_path / "spec.json") == guarded
    (server,) = (component for component in components(guarded, "python") if component.name == "kube-apiserver")
    assert guarded.authentication[0] in server.argv


@pytest.mark.parametrize("cloud", list(Cloud))
def test_a_cloud_is_a_component_that_the_api_server_waits_for(tmp_path: Path, cloud: Cloud) -> None:
    clouded = replace(of(Nodes.REAL), cloud=cloud)
    (tmp_path / "spec.json").write_text(clouded.dump())
    assert spec.load(tmp_path / "spec.json") == clouded
    wanted = {component.name: component for component in components(clouded, "python")}
    assert "cloud" in wanted["kube-apiserver"].after
    assert ("aws-iam-authenticator" in wanted) == (cloud is Cloud.EKS)


def test_two_clusters_share_no_address_and_no_interface() -> None:
    one, two = of(Nodes.REAL, 1), of(Nodes.REAL, 2)
    assert not {one.address, one.host_address, one.interface, *one.load_balancer_addresses()} & {
        two.address,
        two.host_address,
        two.interface,
        *two.load_balancer_addresses(),
    }
    # The kernel's limit for interface names.
    assert len(of(Nodes.REAL, 250).interface) <= 15


@pytest.mark.parametrize("engines", [(), *((engine,) for engine in Engine), tuple(Engine)], ids=str)
def test_engines_are_components_with_one_place_for_git_and_charts(tmp_path: Path, engines: tuple[Engine, ...]) -> None:
    kept = replace(of(Nodes.REAL), engines=engines)
    (tmp_path / "spec.json").write_text(kept.dump())
    assert spec.load(tmp_path / "spec.json") == kept
    names = [component.name for component in components(kept, "python")]
    assert ("argocd-application-controller" in names) == (Engine.ARGOCD in engines)
    assert ("kustomize-controller" in names) == (Engine.FLUX in engines)
    assert names.count("hub") == bool(engines)


def test_a_cluster_of_an_older_testbed_has_no_engines(tmp_path: Path) -> None:
    old = {name: value for name, value in json.loads(of(Nodes.REAL).dump()).items() if name != "engines"}
    (tmp_path / "spec.json").write_text(json.dumps(old))
    assert spec.load(tmp_path / "spec.json") == of(Nodes.REAL)


def test_argo_cd_of_the_testbed_judges_applications_as_the_docs_tell_users_to() -> None:
    text = (paths.REPOSITORY / "docs/gitops.md").read_text()
    assert "".join(f"  {line}\n" for line in HEALTH.splitlines()) in text


def test_engines_are_built_for_their_own_tests_alone() -> None:
    daily = closure(catalog.PARTS, (*catalog.TESTS["tools"], *catalog.TESTS["cluster"]))
    assert not daily & {"argocd", "flux", "redis"}
    assert {"argocd", "flux", "redis"} <= closure(catalog.PARTS, catalog.TESTS["engines"])


@pytest.mark.parametrize("engines", [(), tuple(Engine)], ids=str)
@pytest.mark.parametrize("cloud", [None, *Cloud])
@pytest.mark.parametrize("nodes", list(Nodes))
def test_every_component_can_start(nodes: Nodes, cloud: Cloud | None, engines: tuple[Engine, ...]) -> None:
    wanted = {component.name: component for component in components(replace(of(nodes), cloud=cloud, engines=engines), "python")}
    started: set[str] = set()
    while ready := {name for name, one in wanted.items() if name not in started and started.issuperset(one.after)}:
        started |= ready
    assert started == set(wanted)


def test_simulated_nodes_run_no_container() -> None:
    names = {component.name for component in components(of(Nodes.SIMULATED), "python")}
    assert names == {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"}
