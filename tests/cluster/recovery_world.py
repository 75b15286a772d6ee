"""Two clusters and what is kept of one: kubeconfigs, age, a client with a certificate of the mesh, and requests from outside."""

import base64
import json
import os
import shutil
import signal
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from testbed import paths
from testbed.cluster import Cluster, first_process
from testbed.waiting import until
from tests.authorities import KEYS, key_pem, leaf, pem
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import REPOSITORY, Program

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


def client(shell: Shell, folder: Path, ca: str = "istio-ca-secret") -> Path:
    """Certificate and key of a client in the shop, signed by the mesh's CA as istiod signs them."""
    secret = json.loads(shell.ok("kubectl", "get", "secret", "-n", "istio-system", ca, "-o", "json"))["data"]
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
