"""``meshinstall verify`` on a mesh that it did not install, and what becomes of it when the probes cannot run to their end."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed import pins
from testbed.cluster import Cluster
from testbed.waiting import until
from tests.cluster.mesh import Shell, injected_images, namespace, web
from tests.cluster.meshinstall_run import REPOSITORY, Program, client_kubeconfig, meshinstall
from tests.cluster.verify_mesh import Said, audit, mend, parsed, probe_namespaces, ready, verify, workload

pytestmark = pytest.mark.cluster

SYSTEM = "istio-system"
MINIMAL = (
    "profile=minimal",
    f"hub={pins.ISTIO_HUB}",
    f"tag={pins.ISTIO}",
    # What upstream Envoy needs, and room on a small node.
    "values.pilot.env.PILOT_ENABLE_ALPN_FILTER=false",
    "values.pilot.env.PILOT_ENABLE_METADATA_EXCHANGE=false",
    "values.telemetry.enabled=false",
    "values.pilot.resources.requests.cpu=100m",
    "values.pilot.resources.requests.memory=256Mi",
)
MISSING = "localhost:1/none:1"
RBAC = "rbac.authorization.k8s.io"


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell."""
    return Shell(own_module_cluster, tuple(build_part(name) for name in ("kubectl", "istioctl")))


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster) -> Program:
    """Meshinstall of somebody who has an environment for this cluster, and has not installed its mesh."""
    return meshinstall(own_module_cluster)


def anywhere(shell: Shell, *flags: str) -> Said:
    """Verify what the current context is, without any configuration."""
    done = shell.run(sys.executable, "-m", "meshinstall", "verify", "-o", "json", *flags)
    return parsed(done.returncode, done.stdout, f"{done.stdout}{done.stderr}")


@pytest.fixture(scope="module")
def bare(shell: Shell) -> Said:
    """What is said of a cluster without Istio."""
    return anywhere(shell)


@pytest.fixture(scope="module")
def fresh(bare: Said, shell: Shell) -> Said:
    """What is said of a mesh as istioctl leaves it, with one workload."""
    assert bare.document
    shell.ok("istioctl", "install", "--skip-confirmation", *(part for one in MINIMAL for part in ("--set", one)), seconds=120)
    shell.apply(namespace("shop", **{"istio-injection": "enabled"}), *workload("shop"))
    ready(shell, "shop")
    return anywhere(shell)


@pytest.fixture(scope="module")
def strict(fresh: Said, shell: Shell) -> Said:
    """The same when its finding is mended."""
    mend(shell, fresh.finding("MTL001", "Istio's default")["hint"])
    return anywhere(shell)


@pytest.fixture
def looker(strict: Said, program: Program) -> Program:
    """Meshinstall on the STRICT mesh."""
    assert strict.outcome == "PASS"
    return program


def test_a_cluster_without_istio_is_not_proven(bare: Said) -> None:
    assert bare.outcome == "NOT PROVEN"
    assert bare.document["ports"] == []
    assert bare.document["findings"] == []
    assert bare.document["liveProbes"].endswith("the cluster has no istiod")
    assert "PeerAuthentications could not be listed: the cluster does not know the kind" in bare.document["notSeen"]


def test_a_mesh_of_istioctl_is_permissive_by_default(fresh: Said) -> None:
    assert fresh.outcome == "FAIL"
    assert "shop/Deployment web (8080, other)" in fresh.finding("MTL001", "Istio's default")["detail"]


def test_a_mesh_of_istioctl_passes_when_it_is_strict(strict: Said) -> None:
    assert strict.outcome == "PASS"
    assert strict.codes() == set()
    assert strict.document["notSeen"] == []
    assert strict.evidence("shop", 8080, "wire").endswith("served a meshed client as spiffe://cluster.local/ns/shop/sa/default")


def test_killed_half_way_it_leaves_probes_that_the_next_run_removes(looker: Program, shell: Shell) -> None:
    with looker.started("verify", "-o", "json") as running:
        running.until_it_says("looking at the mesh")
        running.end(signal.SIGKILL)
    (left,) = probe_namespaces(shell)
    assert verify(looker).outcome == "PASS"
    until(lambda: shell.run("kubectl", "get", "namespace", left).returncode != 0, 60, lambda: f"{left} stays")
    assert probe_namespaces(shell) == []


@pytest.mark.parametrize("moment", ["starting the probes", "looking at the mesh"])
def test_ctrl_c_leaves_nothing(looker: Program, shell: Shell, moment: str) -> None:
    with looker.started("verify", "-o", "json") as running:
        running.until_it_says(moment)
        done = running.end(signal.SIGINT)
    assert done.status == 130
    assert "interrupted; the probes are removed" in done.err
    assert probe_namespaces(shell) == []


def stand_in() -> dict[str, Any]:
    """No Prometheus, but a pod that answers every query of one alike: no image of Prometheus can be had here."""
    labels = {"destination_workload_namespace": "shop", "destination_workload": "web", "connection_security_policy": "none"}
    answer = {"status": "success", "data": {"resultType": "vector", "result": [{"metric": labels, "value": [1795269600, "20.5"]}]}}
    pod, _ = web("monitoring", "prometheus-0")
    pod["metadata"]["labels"] = {"app.kubernetes.io/name": "prometheus"}
    folder = "/srv/www/api/v1"
    script = f"mkdir -p {folder} && printf %s '{json.dumps(answer)}' > {folder}/query && exec httpd -f -p 9090 -h /srv/www"
    pod["spec"]["containers"][0]["command"] = ["/bin/sh", "-c", script]
    return pod


def test_the_past_is_told_and_changes_no_verdict(looker: Program, shell: Shell) -> None:
    said = verify(looker, "--history", "7")
    assert said.document["history"].startswith("the last 7 days are unknown: no running pod has the label")
    shell.apply(namespace("monitoring"), stand_in())
    shell.ok("kubectl", "wait", "-n", "monitoring", "pod/prometheus-0", "--for=condition=Ready", "--timeout=60s")
    said = verify(looker, "--history", "7")
    # What looks at the mesh next must not see it end.
    shell.ok("kubectl", "delete", "pod", "prometheus-0", "-n", "monitoring")
    shell.ok("kubectl", "delete", "namespace", "monitoring", "--wait=false")
    # Twice, for requests and for connections.
    assert said.finding("MTL060", "monitoring/prometheus-0")["detail"] == "requests and connections: shop/web (about 41)"
    assert said.outcome == "PASS"
    assert said.codes() == {"MTL060"}


def test_the_rights_in_the_guide_suffice(looker: Program, shell: Shell, tmp_path: Path) -> None:
    look, secrets, probe = rights_of_the_guide()
    shell.apply(look, secrets, probe, *(bound(role, "trying") for role in (look, secrets, probe)))
    said = verify(looker, "--kubeconfig", caller(shell, tmp_path, "trying"))
    assert said.outcome == "PASS"
    assert said.codes() == set()
    assert said.document["notSeen"] == []
    assert probe_namespaces(shell) == []


def test_without_the_right_to_create_it_is_not_proven_and_says_which(looker: Program, shell: Shell, tmp_path: Path) -> None:
    look, secrets, _ = rights_of_the_guide()
    shell.apply(look, secrets, bound(look, "looking"), bound(secrets, "looking"))
    with audit(shell) as created:
        said = verify(looker, "--kubeconfig", caller(shell, tmp_path, "looking"))
    assert created == []
    # All but the wire is seen.
    assert said.outcome == "NOT PROVEN"
    assert said.codes() == {"MTL055"}
    assert said.document["notSeen"] == []
    assert said.ports("shop") == {("Deployment web", 8080): "NOT PROVEN", ("Deployment web", None): "PASS"}
    missing = 'User "looking" cannot create resource "namespaces"'
    assert missing in said.finding("MTL055", "Deployment shop/web")["detail"]
    assert missing in said.document["liveProbes"]


def rights_of_the_guide() -> list[dict[str, Any]]:
    """The roles that docs/verify.md names: to look, to look at what istiod signs with, and to probe."""
    text = (REPOSITORY / "docs" / "verify.md").read_text()
    blocks = [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]
    return [role for block in blocks for role in yaml.safe_load_all(block)]


def bound(role: dict[str, Any], user: str) -> dict[str, Any]:
    """Gives a role to a user."""
    metadata = {**role["metadata"], "name": f"{role['metadata']['name']}-{user}"}
    reference = {"apiGroup": RBAC, "kind": role["kind"], "name": role["metadata"]["name"]}
    subjects = [{"apiGroup": RBAC, "kind": "User", "name": user}]
    return {"apiVersion": f"{RBAC}/v1", "kind": f"{role['kind']}Binding", "metadata": metadata, "roleRef": reference, "subjects": subjects}


def caller(shell: Shell, folder: Path, user: str) -> str:
    """A kubeconfig of a user."""
    config = folder / "kubeconfig"
    config.write_text(client_kubeconfig(shell.cluster, user))
    return str(config)


def test_when_the_mesh_has_no_image_for_the_probes_it_is_named_in_seconds(looker: Program, shell: Shell) -> None:
    with injected_image(shell, MISSING):
        started = time.monotonic()
        said = verify(looker)
        seconds = time.monotonic() - started
    assert said.outcome == "NOT PROVEN"
    assert MISSING in said.finding("MTL055", "Deployment shop/web")["detail"]
    assert "ImagePull" in said.document["liveProbes"]
    # A pod that may still start is given 45 s alone.
    assert seconds < 45, seconds
    assert verify(looker).outcome == "PASS"


@contextmanager
def injected_image(shell: Shell, image: str) -> Iterator[None]:
    """Let the injector give new pods a proxy of another image."""
    path = ("configmap", "istio-sidecar-injector", "-n", SYSTEM)
    before = json.loads(shell.ok("kubectl", "get", *path, "-o", "json"))["data"]["values"]
    values = json.loads(before)
    values["global"]["proxy"]["image"] = image
    _inject(shell, path, json.dumps(values), lambda: image in injected_images(shell, "shop"))
    try:
        yield
    finally:
        _inject(shell, path, before, lambda: image not in injected_images(shell, "shop"))


def _inject(shell: Shell, path: tuple[str, ...], values: str, look: Callable[[], bool]) -> None:
    shell.ok("kubectl", "patch", *path, "--type", "merge", "-p", json.dumps({"data": {"values": values}}))
    assert until(look, 60, lambda: "the injector does not take its new values")


@pytest.mark.usefixtures("strict")
def test_a_workload_with_certificates_of_another_root_is_found(shell: Shell) -> None:
    before = _root(shell)
    shell.ok("kubectl", "delete", "secret", "istio-ca-secret", "-n", SYSTEM)
    shell.ok("kubectl", "rollout", "restart", "-n", SYSTEM, "deployment/istiod")
    shell.ok("kubectl", "rollout", "status", "-n", SYSTEM, "deployment/istiod", "--timeout=80s")
    # Only a leader does it, and a new istiod may have to wait 40 s before it is one.
    until(lambda: _root(shell) != before, 120, lambda: "istiod writes no new root")
    said = anywhere(shell)
    assert said.outcome == "FAIL"
    found = said.finding("MTL043", "Deployment shop/web")
    assert "its certificate does not lead to a root of the mesh" in found["detail"]
    assert "trusts O=cluster.local, which is not a CA of the mesh" in said.finding("MTL044", "Deployment shop/web")["detail"]
    assert said.ports("shop") == {("Deployment web", 8080): "FAIL", ("Deployment web", None): "FAIL"}

    mend(shell, found["hint"])
    ready(shell, "shop")
    said = anywhere(shell)
    assert said.outcome == "PASS"
    assert said.codes() == set()


def _root(shell: Shell) -> str:
    return shell.ok("kubectl", "get", "configmap", "istio-ca-root-cert", "-n", "shop", "-o", "jsonpath={.data.root-cert\\.pem}")
