"""What the API server is certain to refuse is known from the plan, with the line of the value that makes it; nothing is touched."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.cluster import Cluster
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Program, meshinstall

pytestmark = pytest.mark.cluster

_EDGE = "istio-ingress"
_DEPLOYMENT = f"Deployment {_EDGE}/{_EDGE}"


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster, helm: str) -> Program:
    """Meshinstall on a cluster without Istio."""
    found = meshinstall(own_module_cluster, helm)
    found.ok("down", "--crds", "--yes")
    return found


@pytest.fixture(scope="module")
def fresh(program: Program, shell: Shell) -> Program:
    """The same before the first install."""
    assert "istio-system" not in shell.ok("kubectl", "get", "namespaces", "-o", "name")
    return program


@pytest.fixture(scope="module")
def installed(fresh: Program) -> Program:
    """The same with a mesh and a gateway; what needs an empty cluster comes before."""
    fresh.up("--no-verify")
    return fresh


def planned(program: Program, *flags: str) -> dict[str, Any]:
    """The plan for programs."""
    done = program.run("plan", "-o", "json", *flags)
    assert done.status in {0, 3}, done
    found: dict[str, Any] = json.loads(done.out)
    return found


def refusals(program: Program, *flags: str) -> list[tuple[str, str, str]]:
    """Code, object and origin of what a plan refuses."""
    found = planned(program, *flags)["findings"]
    return [(one["code"], one["object"], one["origin"]) for one in found if one["severity"] == "error"]


def test_on_an_empty_cluster_every_object_is_tried_or_says_why_not(fresh: Program) -> None:
    plan = planned(fresh)
    tried = {one["object"]: (one["tried"], one["why"]) for one in plan["objects"]}
    assert tried["Namespace istio-system"] == ("tried", "")
    assert tried["ClusterRole istiod-clusterrole-istio-system"] == ("tried", "")
    assert tried[_DEPLOYMENT] == ("tried in another namespace", f"namespace {_EDGE} does not exist yet")
    assert [name for name, (how, _) in tried.items() if how == "not tried"] == ["PeerAuthentication istio-system/default"]
    assert refusals(fresh) == []


def test_values_that_the_api_server_refuses_are_named_by_their_line_and_up_touches_nothing(
    fresh: Program, shell: Shell, tmp_path: Path
) -> None:
    # What only a cluster can know: which families of addresses it has, and which addresses its Services may have.
    file = tmp_path / "edge.yaml"
    file.write_text("terminationGracePeriodSeconds: 50\nservice:\n  externalIPs: [127.0.0.1]\n")
    wrong = ("-f", f"{_EDGE}={file}", "--set", "istiod.ipFamilies[0]=IPv6")
    assert sorted(refusals(fresh, *wrong)) == [
        ("PRE031", f"Service {_EDGE}/{_EDGE}", f"{file}:3"),
        ("PRE031", "Service istio-system/istiod", "--set istiod.ipFamilies[0]"),
    ]
    done = fresh.run("up", "--yes", *wrong)
    assert done.status == 1
    assert "PRE031" in done.err
    assert "istio-system" not in shell.ok("kubectl", "get", "namespaces", "-o", "name")


def test_an_object_of_somebody_else_is_named_with_its_owner(fresh: Program, shell: Shell) -> None:
    role = "istiod-clusterrole-istio-system"
    shell.ok("kubectl", "create", "clusterrole", role, "--verb=get", "--resource=pods")
    try:
        found = planned(fresh)["findings"]
    finally:
        shell.ok("kubectl", "delete", "clusterrole", role)
    assert [one["title"] for one in found if one["severity"] == "error"] == [
        f"ClusterRole {role} exists already and belongs to nobody that Helm knows"
    ]


def test_a_selector_that_changes_is_refused_with_its_line_and_what_it_costs(installed: Program, shell: Shell) -> None:
    before = shell.ok("helm", "history", _EDGE, "-n", _EDGE, "-o", "json")
    done = installed.run("up", "--yes", "--set", f"{_EDGE}.labels.istio=public")
    assert done.status == 1
    assert f"PRE032: {_DEPLOYMENT} must be deleted and created again" in " ".join(done.err.split()), done
    assert f"--set {_EDGE}.labels.istio" in done.err
    assert shell.ok("helm", "history", _EDGE, "-n", _EDGE, "-o", "json") == before


def objects(shell: Shell) -> dict[str, Any]:
    """Everything that Helm made in the mesh's namespaces, without what the server keeps of it."""
    kinds = "deployments,services,configmaps,serviceaccounts,horizontalpodautoscalers,roles,rolebindings"
    found = {}
    for namespace in ("istio-system", _EDGE):
        for one in json.loads(shell.ok("kubectl", "get", kinds, "-n", namespace, "-o", "json"))["items"]:
            said = {key: value for key, value in one.items() if key not in {"metadata", "status"}}
            notes = {key: value for key, value in one["metadata"].get("annotations", {}).items() if "deployment.kubernetes.io" not in key}
            if "meta.helm.sh/release-name" not in notes:
                continue
            labels = one["metadata"].get("labels", {})
            found[f"{one['kind']} {namespace}/{one['metadata']['name']}"] = (said, notes, labels)
    return found


def different(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Names of the objects that are not the same."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_what_passes_the_plan_is_taken_by_helm_and_a_second_plan_is_empty(installed: Program, shell: Shell) -> None:
    flags = ("--set", f"{_EDGE}.podAnnotations.example=yes", "--set", "istiod.env.PILOT_EXAMPLE=1")
    plan = planned(installed, *flags)
    assert {one["tried"] for one in plan["objects"]} == {"tried"}
    assert _DEPLOYMENT in {one["object"] for one in plan["objects"]}
    before = objects(shell)
    installed.up("--no-verify", *flags)
    assert {one["object"] for one in plan["diff"]} == different(before, objects(shell))
    assert ("restart", f"{_DEPLOYMENT} restarts: 1 pod") in {(one["concern"], one["text"]) for one in plan["summary"]}
    (edge,) = (one for one in plan["diff"] if one["object"] == _DEPLOYMENT)
    assert {(one["after"], one["origin"]) for one in edge["fields"]} == {("yes", f"--set {_EDGE}.podAnnotations.example")}
    assert installed.pending(*flags) == {}
    # Helm takes away what is no longer wanted, and so does the dry run.
    assert {one["tried"] for one in planned(installed)["objects"]} == {"tried"}
    installed.up("--no-verify")


def test_a_value_that_changes_nothing_is_told(installed: Program) -> None:
    found = planned(installed, "--set", "istiod.foo.bar=1")["findings"]
    assert ("CFG004", "--set istiod.foo.bar") in {(one["code"], one["origin"]) for one in found}


@pytest.fixture
def reader(installed: Program, shell: Shell, tmp_path: Path) -> Iterator[Program]:
    """The same with an account that may read everything and write nothing."""
    shell.ok("kubectl", "create", "clusterrole", "reader", "--verb=get,list,watch", "--resource=*.*")
    shell.ok("kubectl", "create", "serviceaccount", "reader", "-n", "default")
    shell.ok("kubectl", "create", "clusterrolebinding", "reader", "--clusterrole=reader", "--serviceaccount=default:reader")
    config = json.loads(shell.ok("kubectl", "config", "view", "--raw", "-o", "json"))
    config["users"][0]["user"] = {"token": shell.ok("kubectl", "create", "token", "reader", "-n", "default").strip()}
    file = tmp_path / "reader.json"
    file.write_text(json.dumps(config))
    yield installed.having("--kubeconfig", str(file))
    shell.ok("kubectl", "delete", "clusterrole/reader", "clusterrolebinding/reader", "serviceaccount/reader", "-n", "default")


def test_whoever_may_only_read_gets_the_same_plan_and_is_told_once(installed: Program, reader: Program) -> None:
    flags = ("--set", "istiod.env.PILOT_EXAMPLE=1")
    full, plan = planned(installed, *flags), planned(reader, *flags)
    assert plan["steps"] == full["steps"]
    assert {one["tried"] for one in plan["objects"]} == {"not tried"}
    (told,) = [one for one in plan["findings"] if one["code"] == "PRE035"]
    assert "this account may not write them" in told["title"]
