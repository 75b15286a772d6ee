"""``meshinstall plan``: what would change and why, drift included; and ``up`` carries out just that."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshinstall.engine.plan.compare import differences
from meshinstall.model.facts import key_of
from meshinstall.model.ownership import is_ours
from meshinstall.model.yaml_text import load
from testbed import pins
from testbed.cluster import Cluster
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Program, meshinstall

pytestmark = pytest.mark.cluster

_SYSTEM = "istio-system"


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster) -> Program:
    """Meshinstall for the control plane alone."""
    return meshinstall(own_module_cluster).having("--profile", "minimal")


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell with Helm and kubectl."""
    return Shell(own_module_cluster, tuple(build_part(name) for name in ("helm4", "kubectl")))


@pytest.fixture(scope="module")
def plan_before(program: Program, shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The plan of a cluster without Istio, as printed and as saved; planning changed nothing."""
    before = _inventory(shell)
    file = tmp_path_factory.mktemp("plans") / "before.json"
    done = program.run("plan", "-o", "json", "--save", str(file))
    assert done.status == 3, done
    assert _inventory(shell) == before
    return json.loads(done.out), file


@pytest.fixture(scope="module")
def changed(plan_before: tuple[dict[str, Any], Path], shell: Shell, build_part: Callable[[str], Path]) -> Path:
    """The same plan, saved before somebody installed the CRDs with helm, with the value that the environment has."""
    archive = build_part("charts") / f"base-{pins.ISTIO}.tgz"
    value = ("--set", "base.validationFailurePolicy=Fail")
    shell.ok("helm", "install", "istio-base", str(archive), "-n", _SYSTEM, "--create-namespace", *value)
    return plan_before[1]


@pytest.fixture
def installed(program: Program, changed: Path) -> None:  # noqa: ARG001 - what needs an empty cluster comes first
    """The control plane is there, as planned without flags."""
    program.up()


def test_a_plan_for_programs_has_every_step_and_the_digest_of_every_chart(plan_before: tuple[dict[str, Any], Path]) -> None:
    printed, file = plan_before
    assert printed == json.loads(file.read_text())
    assert printed["schema"] == "meshinstall.dev/plan/v1"
    assert printed["istioVersion"] == pins.ISTIO
    assert [(step["name"], step["action"]) for step in printed["steps"]] == [
        ("namespace/istio-system", "apply"),
        ("istio-system/istio-base", "install"),
        ("istio-system/istiod", "install"),
        ("PeerAuthentication/istio-system/default", "apply"),
    ]
    charts = [step["chart"] for step in printed["steps"] if step["kind"] == "release"]
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", chart["digest"]) for chart in charts)


def test_a_saved_plan_is_refused_when_the_cluster_changed(program: Program, shell: Shell, changed: Path) -> None:
    before = _inventory(shell)
    done = program.run("up", "--plan", str(changed))
    assert done.status == 1
    assert "the plan is no longer the saved one: saved sha256:" in done.err
    assert _inventory(shell) == before


@pytest.mark.usefixtures("installed")
def test_a_plan_adopts_what_helm_installed_by_hand_and_is_empty_after_up(program: Program, shell: Shell) -> None:
    assert program.pending() == {}
    revisions = json.loads(shell.ok("helm", "history", "istio-base", "-n", _SYSTEM, "-o", "json"))
    assert len(revisions) == 1, "nothing of istio-base had to change"


@pytest.mark.usefixtures("installed")
def test_what_is_rendered_is_what_runs(program: Program, shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "rendered"
    # Its lock is of this test alone.
    here = program.having(MESHINSTALL_CONFIG=str(shutil.copytree(program.env["MESHINSTALL_CONFIG"], tmp_path / "project")))
    here.ok("lock", "--update")
    here.ok("render", "--format", "manifests", "--out", str(folder))
    rendered = {key_of(one): one for one in (load(path.read_text()) for path in folder.rglob("*.yaml"))}
    live = {key_of(one): one for one in json.loads(shell.ok("kubectl", "get", "-R", "-f", str(folder), "-o", "json"))["items"]}
    # Helm made the namespace here, and who finds one puts no labels of his own on it.
    assert [key.kind for key in rendered if not is_ours(live[key]) and is_ours(rendered[key])] == ["Namespace"]
    (spaces,) = folder.glob("*/*/00-namespaces")
    shutil.rmtree(spaces)
    rendered = {key: one for key, one in rendered.items() if key.kind != "Namespace"}
    assert {str(key): found for key, one in rendered.items() if (found := differences(one, live[key]))} == {}
    # The API server itself: to apply all of it would change no field.
    shell.ok("kubectl", "diff", "--server-side", "--force-conflicts", "--field-manager=rendered", "-R", "-f", str(folder))


@pytest.mark.usefixtures("installed")
def test_a_changed_value_is_shown_with_its_origin_and_runs_as_saved(program: Program, shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    change = program.having("--set", "istiod.autoscaleMin=2")
    done = change.run("plan", "--save", str(file))
    assert done.status == 3
    assert re.search(r"autoscaleMin: 2 +\(--set istiod.autoscaleMin\)", done.out), done.out

    change.ok("up", "--plan", str(file))
    assert shell.ok("kubectl", "get", "hpa", "istiod", "-n", _SYSTEM, "-o", "jsonpath={.spec.minReplicas}") == "2"
    # Once run, nothing of it is left to do; the autoscaler brings the second pod in its own time, and that is waited for.
    assert "already applied" in change.ok("up", "--plan", str(file)).err

    back = program.run("plan")
    assert back.status == 3
    assert "autoscaleMin: 2 → (no longer set)" in back.out


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            ("delete", "mutatingwebhookconfiguration", "istio-sidecar-injector"),
            "MutatingWebhookConfiguration istio-sidecar-injector was deleted",
        ),
        (
            ("set", "env", "deployment/istiod", "-n", _SYSTEM, "PILOT_ENABLE_ALPN_FILTER=true"),
            r"Deployment istio-system/istiod was edited by kubectl-set \(Update, \S+\): .*\.env\[PILOT_ENABLE_ALPN_FILTER\]\.value: .*",
        ),
        (
            ("patch", "configmap", "istio", "-n", _SYSTEM, "--type=merge", "-p", '{"data": {"mesh": "accessLogFile: /dev/null"}}'),
            r"ConfigMap istio-system/istio was edited by kubectl-patch \(Update, \S+\): data\.mesh: .*",
        ),
        (
            ("delete", "peerauthentication", "default", "-n", _SYSTEM),
            "does not exist",
        ),
    ],
    ids=["webhook", "deployment", "configmap", "policy"],
)
def test_drift_is_found_and_mended(program: Program, shell: Shell, edit: tuple[str, ...], sentence: str) -> None:
    shell.ok("kubectl", *edit)
    (step,) = program.pending().values()
    assert re.fullmatch(sentence, " ".join(step["reasons"])), step
    program.up()
    assert program.pending() == {}


@pytest.mark.usefixtures("installed")
def test_a_weakened_policy_goes_back_to_strict(program: Program, shell: Shell) -> None:
    edit = '{"spec": {"mtls": {"mode": "PERMISSIVE"}}}'
    shell.ok("kubectl", "patch", "peerauthentication", "default", "-n", _SYSTEM, "--type=merge", "-p", edit)
    (step,) = program.pending().values()
    assert [(change["path"], change["before"], change["after"]) for change in step["changes"]] == [
        ("spec.mtls.mode", "PERMISSIVE", "STRICT")
    ]
    program.up()
    mode = shell.ok("kubectl", "get", "peerauthentication", "default", "-n", _SYSTEM, "-o", "jsonpath={.spec.mtls.mode}")
    assert mode == "STRICT"


@pytest.mark.usefixtures("installed")
def test_a_null_that_takes_a_default_away_is_not_a_change_for_ever(program: Program, shell: Shell) -> None:
    without = program.having("--set", "istiod.resources.requests.memory=null")
    assert set(without.pending()) == {"istio-system/istiod"}
    without.up()
    requests = shell.ok(
        "kubectl", "get", "deployment", "istiod", "-n", _SYSTEM, "-o", "jsonpath={.spec.template.spec.containers[0].resources.requests}"
    )
    assert json.loads(requests) == {"cpu": "100m"}
    assert without.pending() == {}


def _inventory(shell: Shell) -> str:
    """Names and versions of everything that an installation could touch; a status is not a version."""
    kinds = "namespaces,secrets,configmaps,deployments,services,leases,crds,mutatingwebhookconfigurations"
    found = shell.ok("kubectl", "get", kinds, "-A", "-o", "json")
    things = [(item["kind"], item["metadata"]) for item in json.loads(found)["items"]]
    return "\n".join(
        sorted(
            f"{kind} {metadata.get('namespace', '')}/{metadata['name']} {metadata.get('generation', metadata['resourceVersion'])}"
            for kind, metadata in things
            # Kubernetes' own, which change and come at any time.
            if metadata.get("namespace") not in {"kube-node-lease", "kube-system"} and metadata["name"] != "kube-root-ca.crt"
        )
    )
