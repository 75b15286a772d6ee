"""What cannot heal by itself: told in seconds with its cause, and done by the same command once the cause is gone."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
import yaml

from testbed import cluster as testbed_cluster
from testbed.cluster import Cluster
from testbed.waiting import until
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Done, Program, meshinstall

pytestmark = pytest.mark.cluster

_SYSTEM = "istio-system"
# Seconds for which a run bears with a registry that does not answer; it gives none of them to whoever says no.
_GRACE = 15
# A registry on the node's own loopback, where containerd does not ask who signed the certificate; it says one thing to all.
_REGISTRY = """
import http.server, ssl, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(int(sys.argv[2]))
        self.send_header("WWW-Authenticate", 'Basic realm="registry"')
        self.end_headers()
    do_GET = do_HEAD
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
print(server.server_port, flush=True)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster) -> Program:
    """Meshinstall for the control plane alone, which is there."""
    found = meshinstall(own_module_cluster).having("--profile", "minimal")
    found.up()
    return found


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell."""
    return Shell(own_module_cluster, tuple(build_part(name) for name in ("helm4", "kubectl")))


@pytest.fixture
def registry(own_module_cluster: Cluster, tmp_path: Path) -> Iterator[Callable[[int], str]]:
    """Starts a registry that gives every request this status; returns host:port as the node sees it."""
    authority = trustme.CA()
    pem = tmp_path / "registry.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    first = testbed_cluster.first_process(own_module_cluster.spec.name)
    running: list[subprocess.Popen[str]] = []

    def start(status: int) -> str:
        argv = [shutil.which("nsenter") or "nsenter", f"--target={first}", "--net", sys.executable, "-c", _REGISTRY, str(pem), str(status)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=dict(os.environ))
        running.append(process)
        assert process.stdout
        return f"127.0.0.1:{process.stdout.readline().strip()}"

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("status", "said"),
    [(404, r"not found"), (401, r"pull access denied|authorization failed"), (403, r"403 Forbidden")],
    ids=["no-such-tag", "no-credentials", "forbidden"],
)
def test_a_registry_that_says_no_to_the_images_of_the_file_stops_the_run_at_once(
    program: Program, registry: Callable[[int], str], tmp_path: Path, status: int, said: str
) -> None:
    project = tmp_path / "project"
    shutil.copytree(program.env["MESHINSTALL_CONFIG"], project, ignore=shutil.ignore_patterns("stderr.log"))
    settings = yaml.safe_load((project / "meshinstall.yaml").read_text())
    hub = f"{registry(status)}/istio"
    (project / "meshinstall.yaml").write_text(json.dumps(settings | {"images": {"hub": hub, "tag": "none-such"}}))
    private = program.having(MESHINSTALL_CONFIG=str(project))

    done = private.run("up", "--yes")
    assert done.status == 1, done
    assert re.search(rf"container discovery: (ErrImagePull|ImagePullBackOff): .*{hub}/pilot:none-such.*({said})", done.err), done.err
    assert "hint: check images (hub, tag, pullSecrets) in meshinstall.yaml" in done.err
    assert _seconds(done) < _GRACE
    program.up()
    assert program.pending() == {}


def test_a_quota_is_named_and_when_it_is_gone_the_same_command_finishes(program: Program, shell: Shell) -> None:
    change = program.having("--set", "istiod.env.QUOTA=1")
    shell.ok("kubectl", "create", "quota", "tight", "-n", _SYSTEM, "--hard=requests.memory=1Mi")
    try:
        done = change.run("up", "--yes")
        assert done.status == 1, done
        assert re.search(r"istiod: pods are refused: .*forbidden: exceeded quota: tight, requested: requests.memory=", done.err), done.err
        assert "hint: change the quota or policy that refuses them, or the values (resources.requests and limits)" in done.err
        assert _seconds(done) < _GRACE
        again = change.run("up", "--yes", "--timeout", "30")
        assert again.status == 1, again
        # Kubernetes would ask again after a wait that doubles; a run does not wait for that.
        assert "restarting Deployment istio-system/istiod: it was already stuck: pods are refused" in again.err
        assert re.search("✗ istio-system/istiod: .*exceeded quota: tight", again.err), again.err
    finally:
        shell.ok("kubectl", "delete", "quota", "tight", "-n", _SYSTEM)
    change.up()
    assert change.pending() == {}


def test_a_control_plane_that_crashes_tells_its_exit_code_and_where_its_words_are(program: Program) -> None:
    done = program.run("up", "--yes", "--set", "istiod.extraContainerArgs[0]=--keepaliveMaxServerConnectionAge=nonsense")
    assert done.status == 1, done
    assert re.search(r"pod istiod-\S+, container discovery: CrashLoopBackOff: exit code [1-9]", done.err), done.err
    assert re.search(r"hint: see why: kubectl logs istiod-\S+ -n istio-system -c discovery --previous", done.err), done.err
    program.up()
    assert program.pending() == {}


def test_a_crash_of_which_the_cause_is_gone_is_not_waited_out(program: Program, shell: Shell, tmp_path: Path) -> None:
    """A container whose command is in a ConfigMap that was wrong: the template stays, and the back-off of minutes with it."""
    values = tmp_path / "istiod.yaml"
    reference = {"configMapKeyRef": {"name": "own-settings", "key": "level"}}
    values.write_text(json.dumps({"envVarFrom": [{"name": "OWN_LEVEL", "valueFrom": reference}]}))
    change = program.having("-f", f"istiod={values}")
    done = change.run("up", "--yes")
    assert done.status == 1, done
    assert re.search(r"CreateContainerConfigError: configmap \"own-settings\" not found", done.err), done.err

    shell.ok("kubectl", "create", "configmap", "own-settings", "-n", _SYSTEM, "--from-literal=level=info")
    change.up()
    assert change.pending() == {}
    until(lambda: len(_pods(shell)) == 1, 30, lambda: f"more than one pod: {_pods(shell)}")


def _pods(shell: Shell) -> list[str]:
    return shell.ok("kubectl", "get", "pods", "-n", _SYSTEM, "-l", "app=istiod", "-o", "name").split()


def _seconds(done: Done) -> float:
    found = re.search(r"✗ \S+: stopped after ([0-9.]+) s", done.err)
    assert found, done.err
    return float(found[1])
