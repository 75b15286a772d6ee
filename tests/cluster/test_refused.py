"""What stops a run before it begins: a user is told what and where, and nothing in the cluster has changed."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from testbed import pins
from testbed.cluster import Cluster
from testbed.pki import write_private
from tests.cluster.mesh import Shell, control_plane, limited_user, namespace, vouching
from tests.cluster.meshinstall_run import Program, client_kubeconfig, meshinstall

pytestmark = pytest.mark.cluster

_SYSTEM = "istio-system"


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster) -> Program:
    """Meshinstall with the default profile."""
    return meshinstall(own_module_cluster)


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell."""
    return Shell(own_module_cluster, tuple(build_part(name) for name in ("helm4", "kubectl")))


@pytest.fixture
def charts(build_part: Callable[[str], Path], tmp_path: Path) -> Path:
    """A folder of Istio's charts that a test may spoil."""
    return Path(shutil.copytree(build_part("charts"), tmp_path / "charts"))


@pytest.fixture
def untouched(shell: Shell) -> Iterator[None]:
    """Nothing of Istio is there before, on a cluster that no run has reached, and nothing after."""
    yield
    assert shell.run("kubectl", "get", "deployment,secret,lease", "-n", _SYSTEM, "-o", "name").stdout == ""


@pytest.mark.usefixtures("untouched")
def test_no_kubeconfig(program: Program, tmp_path: Path) -> None:
    missing = tmp_path / "none"
    _refused(program.having(KUBECONFIG=str(missing)), 2, f"no kubeconfig at {missing}", "--kubeconfig or KUBECONFIG")


@pytest.mark.usefixtures("untouched")
def test_a_context_that_is_not_there(program: Program) -> None:
    _refused(program.having("--context", "elsewhere"), 2, "no context 'elsewhere'", "it has: testbed-module")


@pytest.mark.usefixtures("untouched")
def test_a_server_that_does_not_answer(program: Program, own_module_cluster: Cluster, tmp_path: Path) -> None:
    config = json.loads(own_module_cluster.kubeconfig.read_text())
    # Port 1 of loopback: nobody listens.
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    file = tmp_path / "kubeconfig"
    write_private(file, json.dumps(config))
    said = "the API server https://127.0.0.1:1 does not answer: .*refused"
    _refused(program.having("--kubeconfig", str(file)), 1, said, "check that the cluster is running")


@pytest.mark.usefixtures("untouched")
def test_a_client_certificate_that_has_ended(program: Program, own_module_cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    write_private(file, client_kubeconfig(own_module_cluster, "late", timedelta(hours=-1)))
    said = "(does not accept the credentials|does not answer|certificate).*"
    _refused(program.having("--kubeconfig", str(file)), 1, said, "log in again|fetch the kubeconfig again|has ended")


@pytest.mark.usefixtures("untouched")
def test_a_permission_that_is_missing(program: Program, own_module_cluster: Cluster, shell: Shell, tmp_path: Path) -> None:
    shell.apply(*limited_user("limited", "mutatingwebhookconfigurations"))
    file = tmp_path / "kubeconfig"
    write_private(file, client_kubeconfig(own_module_cluster, "limited"))
    _refused(program.having("--kubeconfig", str(file)), 1, "create.*mutatingwebhookconfigurations", "permission")


@pytest.mark.usefixtures("untouched")
def test_no_helm(program: Program, shell: Shell) -> None:
    without = ":".join(folder for folder in program.env["PATH"].split(":") if not (Path(folder) / "helm").exists())
    _refused(
        program.having(PATH=without), 1, "helm cannot be started: No such file", "install Helm 3.18.*https://helm.sh/docs/intro/install"
    )
    assert shell.run("kubectl", "get", "namespace", _SYSTEM).returncode != 0


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("istiodd.autoscaleMin=2", r"this profile does not install istiodd \(did you mean istiod\?\)"),
        (
            "istio-ingress.replicaCountt=2",
            r"--set istio-ingress.replicaCountt: the chart's schema has no key replicaCountt \(did you mean replicaCount\?\)",
        ),
    ],
    ids=["release", "key"],
)
def test_a_typo(program: Program, flag: str, message: str) -> None:
    _refused(program.having("--set", flag), 2, message, "")


@pytest.mark.usefixtures("untouched")
def test_a_typo_where_the_chart_has_no_schema_is_a_warning_of_the_plan(program: Program) -> None:
    done = program.run("plan", "--set", "istiod.autoscaleMinn=2")
    assert done.status == 3, done
    said = r"warning CFG003: the chart does not read autoscaleMinn\s+written in --set istiod.autoscaleMinn\s+did you mean autoscaleMin\?"
    assert re.search(said, done.out), done.out


@pytest.mark.usefixtures("untouched")
def test_a_missing_chart(program: Program, charts: Path) -> None:
    (charts / f"istiod-{pins.ISTIO}.tgz").unlink()
    _refused(program.having("--charts", str(charts)), 1, f"there is no chart istiod at {charts}", "check the name")


@pytest.mark.usefixtures("untouched")
def test_a_corrupt_chart(program: Program, charts: Path) -> None:
    archive = charts / f"istiod-{pins.ISTIO}.tgz"
    archive.write_bytes(archive.read_bytes()[:1000])
    _refused(program.having("--charts", str(charts)), 1, "istiod.*(corrupt|truncated|not a|cannot be read|damaged)", "")


@pytest.mark.usefixtures("untouched")
def test_a_chart_that_is_not_the_pinned_one(program: Program, charts: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(program.env["MESHINSTALL_CONFIG"], project)
    pinned = "sha256:" + "0" * 64
    entries = [
        {"name": name, "version": pins.ISTIO, "source": str(charts), "digest": pinned if name == "istiod" else _digest(charts, name)}
        for name in ("base", "istiod", "gateway")
    ]
    (project / "meshinstall.lock").write_text(json.dumps({"apiVersion": "meshinstall.dev/lock/v1", "charts": entries}))
    _refused(
        program.having("--charts", str(charts), MESHINSTALL_CONFIG=str(project)),
        1,
        f"istiod.*{pinned}.*sha256:(?!0{{64}})[0-9a-f]{{64}}",
        "lock --update|replaced",
    )


@pytest.mark.usefixtures("untouched")
def test_a_namespace_that_is_being_deleted(program: Program, shell: Shell) -> None:
    holder = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "holder", "namespace": _SYSTEM, "finalizers": ["example.com/holds"]},
    }
    shell.apply(namespace(_SYSTEM), holder)
    shell.ok("kubectl", "delete", "namespace", _SYSTEM, "--wait=false")
    shell.ok("kubectl", "wait", "--for=condition=NamespaceFinalizersRemaining", f"namespace/{_SYSTEM}", "--timeout=30s")
    try:
        _refused(program, 1, f"namespace {_SYSTEM} is being deleted.*example.com/holds", "kubectl wait --for=delete")
    finally:
        shell.ok("kubectl", "patch", "configmap", "holder", "-n", _SYSTEM, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
        shell.ok("kubectl", "wait", "--for=delete", f"namespace/{_SYSTEM}", "--timeout=30s")


@pytest.mark.usefixtures("untouched")
def test_another_control_plane(program: Program, shell: Shell) -> None:
    shell.apply(namespace("elsewhere"), control_plane("elsewhere"), *vouching("elsewhere"))
    try:
        _refused(program, 1, "the cluster has another control plane: elsewhere/istiod, installed by istioctl", "--allow foreign")
        # Allowed by name it gets as far as the question.
        assert "cannot ask whether to run the plan" in program.run("up", "--allow", "foreign").err
    finally:
        shell.ok("kubectl", "delete", "mutatingwebhookconfiguration", "istio-sidecar-injector-elsewhere")
        shell.ok("kubectl", "delete", "deployment,service", "istiod", "-n", "elsewhere")


@pytest.mark.usefixtures("untouched")
def test_what_only_looks_like_a_control_plane_refuses_nothing(program: Program, shell: Shell) -> None:
    shell.apply(namespace("aaa"), control_plane("aaa"))
    try:
        done = program.run("up")
        assert "another control plane" not in done.err
        assert "cannot ask whether to run the plan" in done.err
    finally:
        shell.ok("kubectl", "delete", "deployment", "istiod", "-n", "aaa")


def _refused(program: Program, status: int, message: str, hint: str) -> None:
    """Run up: it must be refused with a message and a hint that match, before a run begins."""
    done = program.run("up", "--yes")
    assert done.status == status, done
    assert re.search(message, done.err, re.DOTALL), done.err
    assert re.search(hint, done.err), done.err
    assert "begins" not in done.err


def _digest(charts: Path, name: str) -> str:
    return f"sha256:{hashlib.sha256((charts / f'{name}-{pins.ISTIO}.tgz').read_bytes()).hexdigest()}"
