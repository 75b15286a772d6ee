"""Snapshots made into meshes on a second cluster: killed at each boundary, with another CA, another Istio, in another cloud."""

import base64
import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage
import pytest
import yaml

from testbed import cluster as testbed_cluster
from testbed import paths, pins
from testbed.build import catalog
from testbed.build.builder import build
from testbed.clouds.process.kinds import kind, kind_of
from testbed.cluster import Cluster
from testbed.shell import environment as variables
from testbed.spec import Authentication, Cloud, Nodes
from testbed.waiting import until
from tests.authorities import KEYS, Written, authority, key_pem, pem
from tests.cluster.load import load
from tests.cluster.mesh import Shell, namespace
from tests.cluster.meshinstall_run import Program, meshinstall
from tests.cluster.recovery_world import BESIDE, answer, client, reaches, shop
from tests.cluster.two_istios import EOL, two_istios

pytestmark = pytest.mark.cluster

_OK = "HTTP/1.1 200 OK"
# A line of a step that is done, and more steps than there are.
_STEP = re.compile("^✓ ", re.MULTILINE)
_MOST = 40


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot without a signature, the file that opens its CA, and the certificate of a client of that mesh."""

    folder: Path
    identity: Path
    certificate: Path

    @property
    def flags(self) -> tuple[str, ...]:
        """What a restore of it is given."""
        return (str(self.folder), "--unsigned", "--identity", str(self.identity), "--yes")


def keep(program: Program, shell: Shell, folder: Path, ca: str = "istio-ca-secret", *flags: str) -> Kept:
    """Take one, under load: nobody notices."""
    key = pyrage.x25519.Identity.generate()
    identity = folder / "identity"
    identity.write_text(f"{key}\n")
    service = json.loads(shell.ok("kubectl", "get", "service", "-n", "istio-ingress", "istio-ingress", "-o", "json"))
    _open(shell)
    with load(service["status"]["loadBalancer"]["ingress"][0]["ip"]) as watched:
        program.ok("snapshot", "--unsigned", "--into", str(folder / "kept"), "--include-authority", str(key.to_public()), *flags)
    assert watched.failures == []
    return Kept(folder / "kept", identity, client(shell, folder, ca))


def _open(shell: Shell) -> None:
    """The load asks for the gateway by its address."""
    anybody = json.dumps([{"op": "replace", "path": "/spec/hosts", "value": ["*"]}])
    server = json.dumps([{"op": "replace", "path": "/spec/servers/0/hosts", "value": ["*"]}])
    for what, patch in (("virtualservices.networking.istio.io", anybody), ("gateways.networking.istio.io", server)):
        shell.ok("kubectl", "patch", what, "-n", "shop", "shop", "--type=json", "-p", patch)
    reaches(shell)


def outcomes(program: Program, *flags: str, status: int) -> dict[str, str]:
    """Restore; what each part was judged to be."""
    done = program.run("restore", *flags, "-o", "json")
    assert done.status == status, done
    result = json.loads(done.out.splitlines()[-1])
    return {one["name"]: one["outcome"] for one in result["checks"]}


def deploy(shell: Shell) -> None:
    """The workloads come after their mesh, as a rebuild from Git brings them."""
    shell.ok("kubectl", "apply", "-f", str(paths.REPOSITORY / "testbed" / "app.yaml"))
    shell.apply(BESIDE)
    for name in ("web", "client"):
        shell.ok("kubectl", "rollout", "status", "-n", "shop", f"deployment/{name}", "--timeout=120s", seconds=130)


def clean(program: Program, shell: Shell) -> None:
    """Take all of it away, by hand and by ``down``."""
    shell.run("kubectl", "delete", "namespace", "shop", "--wait=true", seconds=120)
    program.ok("down", "--yes", "--crds")


@pytest.fixture
def pair(own_cluster: Callable[[str, Nodes], Cluster], build_part: Callable[[str], Path]) -> tuple[Cluster, Cluster, Shell, Shell]:
    """Two clusters, and a person at each."""
    first, second = own_cluster("first", Nodes.REAL), own_cluster("second", Nodes.REAL)
    here, there = (Shell(one, (build_part("kubectl"),)) for one in (first, second))
    return first, second, here, there


def test_killed_at_each_step_the_same_command_completes_it(pair: tuple[Cluster, Cluster, Shell, Shell], tmp_path: Path) -> None:
    first, second, here, there = pair
    program = meshinstall(first)
    program.up("--no-verify")
    shop(here)
    reaches(here)
    kept, other = keep(program, here, tmp_path), meshinstall(second)
    for number in range(_MOST):
        with other.started("restore", *kept.flags, "--no-verify") as run:
            until(lambda: run.process.poll() is not None or len(_STEP.findall(run.said())) >= number, run.patience, run.said)  # noqa: B023 - at once
            run.process.send_signal(signal.SIGKILL)
            ended = run.wait().status != -signal.SIGKILL
        assert outcomes(other, *kept.flags, status=5) == _ALL | {"mTLS": "NOT PROVEN"}
        if ended:
            break
        clean(other, there)
    deploy(there)
    assert outcomes(other, *kept.flags, status=0) == _ALL
    reaches(there)
    until(lambda: answer(there, kept.certificate) == _OK, 60, lambda: answer(there, kept.certificate))


_ALL = dict.fromkeys(
    ("objects", "labels of namespaces", "gateway istio-ingress/istio-ingress", "trust", "mTLS", "workloads with proxies"), "PASS"
)


def test_another_root_refuses_clients_of_before_and_one_of_ones_own_does_not(
    pair: tuple[Cluster, Cluster, Shell, Shell], tmp_path: Path
) -> None:
    first, second, here, there = pair
    lasts = Written(days=365)
    root = authority("shop root", lasts, None, KEYS[0])
    signer = authority("shop signer", lasts, root, KEYS[1])
    files = {
        "ca-cert.pem": pem(signer[0]),
        "ca-key.pem": key_pem(signer[1]),
        "cert-chain.pem": pem(signer[0], root[0]),
        "root-cert.pem": pem(root[0]),
    }
    data = {name: base64.b64encode(value).decode() for name, value in files.items()}
    here.apply(
        namespace("istio-system"),
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts", "namespace": "istio-system"}, "data": data},
    )
    program = meshinstall(first)
    program.up("--no-verify")
    shop(here)
    reaches(here)
    kept, other = keep(program, here, tmp_path, "cacerts"), meshinstall(second)
    without = (str(kept.folder), "--unsigned", "--yes")
    assert "PRE059" in other.run("restore", *without).err
    assert outcomes(other, *without, "--allow", "new-root", status=5)["trust"] == "FAIL"
    deploy(there)
    until(lambda: "alert" in answer(there, kept.certificate), 60, lambda: answer(there, kept.certificate))
    clean(other, there)

    assert outcomes(other, *kept.flags, status=5)["trust"] == "PASS"
    deploy(there)
    until(lambda: answer(there, kept.certificate) == _OK, 60, lambda: answer(there, kept.certificate))
    assert outcomes(other, *kept.flags, status=0) == _ALL


def test_a_snapshot_of_one_istio_is_made_a_mesh_of_the_next(
    own_cluster: Callable[[str, Nodes], Cluster], build_part: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    with two_istios("restore-old", build_part, folder, ()) as old:
        key = pyrage.x25519.Identity.generate()
        (tmp_path / "identity").write_text(f"{key}\n")
        flags = ("--unsigned", "--into", str(tmp_path / "kept"), "--include-authority", str(key.to_public()))
        old.program.ok("snapshot", *flags)
    second = own_cluster("second", Nodes.REAL)
    other, there = meshinstall(second).patient(300), Shell(second, (build_part("kubectl"),))
    given = (str(tmp_path / "kept"), "--unsigned", "--identity", str(tmp_path / "identity"), "--yes", "--charts", str(folder / "charts"))
    found = outcomes(other, *given, "--to", pins.ISTIO, *EOL, status=5)
    assert {name: outcome for name, outcome in found.items() if outcome != "PASS"} == {"mTLS": "NOT PROVEN"}
    image = there.ok(
        "kubectl", "get", "deployment", "-n", "istio-system", "istiod", "-o", "jsonpath={.spec.template.spec.containers[0].image}"
    )
    assert image.endswith(f":{pins.ISTIO}")


@pytest.fixture
def worlds(build_part: Callable[[str], Path]) -> Iterator[tuple[Cluster, Cluster]]:
    """A cluster of a fake AWS, and one of a fake Azure."""
    build_part("kubectl")
    found: list[Cluster] = []
    try:
        for cloud in (Cloud.EKS, Cloud.AKS):
            wanted = kind(cloud)
            found.append(_beside(cloud, wanted.parts, wanted.flags))
        yield found[0], found[1]
    finally:
        for one in found:
            testbed_cluster.down(one.spec.name)


def _beside(cloud: Cloud, parts: tuple[str, ...], flags: tuple[str, ...]) -> Cluster:
    return testbed_cluster.up(
        f"restore-{cloud}-{os.getpid()}", Nodes.REAL, print, parts, authenticate=lambda _: Authentication(flags), cloud=cloud
    )


def test_a_mesh_of_one_cloud_is_made_in_another_with_its_own_words(worlds: tuple[Cluster, Cluster], tmp_path: Path) -> None:
    """Fake clouds, real API servers: what a Service is told of its load balancer is the new cloud's."""
    shops = build(catalog.PARTS, ("helm4", "kubectl", "charts"), paths.cache_dir(), print)
    programs = []
    for cluster in worlds:
        env = {**_clean_environment(), **variables(cluster, shops, ("helm4", "kubectl"))}
        programs.append(Program({**env, "MESHINSTALL_CONFIG": str(tmp_path)}).patient(300))
    _write_project(worlds, tmp_path)
    aws, azure = programs
    staging = ("--cloud", "eks", "--env", "staging")
    aws.ok("up", *staging, "--yes", "--no-verify")
    aws.ok("snapshot", *staging, "--unsigned", "--into", str(tmp_path / "kept"), "--no-verify")
    done = azure.run(
        "restore",
        "--cloud",
        "aks",
        str(tmp_path / "kept"),
        "--unsigned",
        "--yes",
        "--no-verify",
        "--allow",
        "new-root",
        "-o",
        "json",
        "--env",
        "staging",
    )
    assert done.status == 5, done
    told, _, _ = done.err.partition("Plan for environment")
    assert 'azure-load-balancer-internal: (not set) → "true"' in told
    result = json.loads(done.out.splitlines()[-1])
    changed = {change["path"]: change["after"] for change in result["values"]["istio-ingress/istio-ingress"]}
    assert changed["service.annotations.service.beta.kubernetes.io/azure-load-balancer-internal"] == "true"
    assert changed["service.annotations.service.beta.kubernetes.io/aws-load-balancer-scheme"] is None
    service = worlds[1].api().get("/api/v1/namespaces/istio-ingress/services/istio-ingress")
    notes = service["metadata"]["annotations"]
    assert [name for name in notes if "aws" in name] == []
    assert notes["service.beta.kubernetes.io/azure-load-balancer-internal"] == "true"


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AZURE_", "GOOGLE_"))}


def _write_project(worlds: tuple[Cluster, Cluster], folder: Path) -> None:
    """One environment on both clouds, with a gateway that is not for everybody."""
    shutil.copytree(worlds[0].state / "meshinstall" / "values", folder / "values")
    written: dict[str, Any] = yaml.safe_load((worlds[0].state / "meshinstall" / "meshinstall.yaml").read_text())
    sites = {}
    for cluster in worlds:
        site = dict(kind_of(cluster.spec).staging(cluster.spec.account))
        sites[str(site.pop("cloud"))] = site
    written["environments"] = {"staging": {"clouds": sites, "gateways": {"istio-ingress": {"exposure": "internal"}}}}
    (folder / "meshinstall.yaml").write_text(yaml.safe_dump(written))
