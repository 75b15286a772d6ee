"""A mesh of one cluster is kept, drilled on a second one, lost, and made again there: what docs/disaster-recovery.md shows, as it shows it.

What a client of before may do is tried on the wire, with a certificate that the lost CA signed.
"""

import base64
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from testbed import paths
from testbed.cluster import Cluster, first_process
from testbed.spec import Nodes
from testbed.waiting import until
from tests.authorities import KEYS, key_pem, leaf, pem
from tests.cluster import walk
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import REPOSITORY, Program, meshinstall

pytestmark = pytest.mark.cluster

PAGE = REPOSITORY / "docs/disaster-recovery.md"
SCHEMA = json.loads((REPOSITORY / "docs/schemas/restore.json").read_text())
# A stand-in for the program of age, which the testbed does not build: the keys are real, made by the library that meshinstall uses.
KEYGEN = """#!{python}
import sys, pyrage
if sys.argv[1] == "-o":
    key = pyrage.x25519.Identity.generate()
    open(sys.argv[2], "w").write(f"# public key: {{key.to_public()}}\\n{{key}}\\n")
else:
    key = [line for line in open(sys.argv[2]).read().splitlines() if line.startswith("AGE")][0]
    print(pyrage.x25519.Identity.from_str(key).to_public())
"""
# The shop's port, beside the gateway, for whoever has a certificate of the mesh.
BESIDE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "beside", "namespace": "shop"},
    "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"name": "tcp", "port": 8443, "targetPort": 8080}]},
}


def merged(folder: Path, **clusters: Cluster) -> Path:
    """One kubeconfig with a context for each cluster."""
    whole: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []}
    for name, one in clusters.items():
        found = yaml.safe_load(one.kubeconfig.read_text())
        whole["clusters"].append({"name": name, "cluster": found["clusters"][0]["cluster"]})
        whole["users"].append({"name": name, "user": found["users"][0]["user"]})
        whole["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(whole))
    path.chmod(0o600)
    return path


def client(shell: Shell, folder: Path) -> Path:
    """Certificate and key of a client in the shop, signed by the mesh's CA as istiod signs them."""
    secret = json.loads(shell.ok("kubectl", "get", "secret", "-n", "istio-system", "istio-ca-secret", "-o", "json"))["data"]
    signer = x509.load_pem_x509_certificate(base64.b64decode(secret["ca-cert.pem"]))
    key = load_pem_private_key(base64.b64decode(secret["ca-key.pem"]), None)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    names = [x509.UniformResourceIdentifier("spiffe://cluster.local/ns/shop/sa/default")]
    found = folder / "client.pem"
    found.write_bytes(pem(leaf(names, (signer, key), KEYS[0]), signer) + key_pem(KEYS[0]))  # type: ignore[arg-type] # an RSA key signs, too
    return found


def answer(shell: Shell, certificate: Path) -> str:
    """The first line that the shop's own proxy answers to a GET with this certificate; what TLS says where it refuses it."""
    service = json.loads(shell.ok("kubectl", "get", "service", "-n", "shop", "beside", "-o", "json"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["istio-http/1.1", "istio"])
    address = (service["status"]["loadBalancer"]["ingress"][0]["ip"], 8443)
    try:
        with socket.create_connection(address, 5) as plain, context.wrap_socket(plain) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: web.shop\r\nConnection: close\r\n\r\n")
            return tls.recv(64).decode(errors="replace").partition("\r\n")[0]
    except (ssl.SSLError, OSError) as error:
        return str(error)


def through_the_gateway(shell: Shell, method: str) -> str:
    """The status of a request from outside."""
    service = json.loads(shell.ok("kubectl", "get", "service", "-n", "istio-ingress", "istio-ingress", "-o", "json"))
    url = f"http://{service['status']['loadBalancer']['ingress'][0]['ip']}/"
    done = shell.run("curl", "-s", "-o", "/dev/null", "-m", "5", "-w", "%{http_code}", "-X", method, "-H", "Host: shop.example", url)
    return done.stdout


def reaches(shell: Shell) -> None:
    """Users of the gateway get what the policies let them, and no more."""
    until(lambda: through_the_gateway(shell, "GET") == "200", 60, lambda: f"GET {through_the_gateway(shell, 'GET')}")
    assert through_the_gateway(shell, "POST") == "403"


def kill(cluster: Cluster) -> None:
    """End a cluster as a power cut does."""
    process = first_process(cluster.spec.name)
    assert process
    os.kill(process, signal.SIGKILL)
    until(lambda: first_process(cluster.spec.name) is None, 30, lambda: "it still runs")


def test_a_mesh_that_is_lost_is_made_again_as_the_page_says(
    own_cluster: Callable[[str, Nodes], Cluster], build_part: Callable[[str], Path], tmp_path: Path
) -> None:
    first, second = own_cluster("first", Nodes.REAL), own_cluster("second", Nodes.REAL)
    program = meshinstall(first)
    here, there = (Shell(one, (build_part("kubectl"),)) for one in (first, second))
    program.up("--no-verify")
    shop(here)
    reaches(here)
    certificate = client(here, tmp_path)
    until(lambda: answer(here, certificate) == "HTTP/1.1 200 OK", 60, lambda: answer(here, certificate))

    env = environment(program, tmp_path, first=first, second=second)
    changes: dict[str, str] = {}
    found = walk.pieces(PAGE, "A drill, and the day it is for")
    walk.compare(found, walk.run(found, tmp_path, env, changes), changes)
    assert "<h1>Drill of environment dev" in (tmp_path / "drill.html").read_text()

    kill(first)
    interrupted(Program(env), tmp_path)
    found = walk.pieces(PAGE, "The first cluster is gone")
    walk.compare(found, walk.run(found, tmp_path, env, changes), changes)
    reaches(there)
    there.apply(BESIDE)
    until(lambda: answer(there, certificate) == "HTTP/1.1 200 OK", 60, lambda: answer(there, certificate))


def shop(shell: Shell) -> None:
    """The application, what its team made in the mesh, and a way to its port beside the gateway."""
    shell.ok("kubectl", "apply", "-f", str(paths.REPOSITORY / "testbed" / "app.yaml"))
    shell.ok("kubectl", "apply", "-f", str(REPOSITORY / "docs/recovery/shop.yaml"))
    shell.apply(BESIDE)
    for name in ("web", "client"):
        shell.ok("kubectl", "rollout", "status", "-n", "shop", f"deployment/{name}", "--timeout=120s", seconds=130)


def environment(program: Program, folder: Path, **clusters: Cluster) -> dict[str, str]:
    """A person's shell with both clusters, and age."""
    shutil.copy(paths.REPOSITORY / "testbed" / "app.yaml", folder)
    keygen = folder / "age-keygen"
    keygen.write_text(KEYGEN.format(python=sys.executable))
    keygen.chmod(0o755)
    path = f"{folder}:{Path(sys.executable).parent}:{program.env['PATH']}"
    return {**program.env, "PATH": path, "KUBECONFIG": str(merged(folder, **clusters))}


def interrupted(program: Program, folder: Path) -> None:
    """A first try that is killed while istiod starts: the page's is the second one."""
    flags = (str(folder / "kept"), "--key", str(folder / "snapshot.pub"), "--identity", str(folder / "recovery.key"))
    with program.started("restore", *flags, "--context", "second", "--yes") as running:
        running.until_it_says(r"istio-system/istiod: install")
        running.process.kill()
        running.process.wait()


def test_the_result_of_a_drill_is_of_its_schema(
    own_cluster: Callable[[str, Nodes], Cluster], build_part: Callable[[str], Path], tmp_path: Path
) -> None:
    """One cluster is enough: a mesh is kept, taken down, and drilled in its own place, with another root that is accepted."""
    only = own_cluster("only", Nodes.REAL)
    program, shell = meshinstall(only), Shell(only, (build_part("kubectl"),))
    program.up("--no-verify")
    shell.ok("kubectl", "create", "namespace", "shop")
    shell.ok("kubectl", "apply", "-f", str(REPOSITORY / "docs/recovery/shop.yaml"))
    kept = str(tmp_path / "kept")
    program.ok("snapshot", "--unsigned", "--no-verify", "--into", kept)
    flags = (kept, "--unsigned", "--yes", "--drill", "--no-verify", "-o", "json")
    refused = program.run("restore", *flags)
    assert refused.status == 1, refused
    assert "PRE061" in refused.err, refused
    program.ok("down", "--yes", "--crds")

    assert "PRE059" in program.run("restore", *flags).err
    done = program.run("restore", *flags, "--allow", "new-root")
    result = json.loads(done.out.splitlines()[-1])
    jsonschema.validate(result, SCHEMA)
    outcomes = {one["name"]: one["outcome"] for one in (*result["checks"], *result["removed"])}
    assert outcomes == {
        "objects": "PASS",
        "gateway istio-ingress/istio-ingress": "PASS",
        "trust": "FAIL",
        "mTLS": "NOT PROVEN",
        "workloads with proxies": "PASS",
        "taken away again": "PASS",
    }
    assert (result["accepted"], result["outcome"], done.status) == (["trust"], "NOT PROVEN", 5)
    subprocess.run(["kubectl", "get", "namespace", "shop"], env=program.env, check=True, capture_output=True)
