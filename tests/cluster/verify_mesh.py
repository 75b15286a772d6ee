"""A mesh that is made ill on purpose, and what verification says of it."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jsonschema

from testbed.waiting import until
from tests.cluster.mesh import Shell, pod_processes, read_process, web
from tests.cluster.meshinstall_run import REPOSITORY, Program

STATUS = {"PASS": 0, "FAIL": 4, "NOT PROVEN": 5}
_SCHEMA = json.loads((REPOSITORY / "docs" / "schemas" / "verify.json").read_text())
# All that a verification creates.
_CREATED = (
    "/api/v1/namespaces",
    "/api/v1/pods",
    "/api/v1/serviceaccounts",
    "/apis/networking.istio.io/v1alpha3/envoyfilters",
    "/apis/networking.istio.io/v1/sidecars",
)


@dataclass(frozen=True, slots=True)
class Said:
    """What one ``verify -o json`` printed."""

    document: Mapping[str, Any]

    @property
    def outcome(self) -> str:
        """PASS, FAIL or NOT PROVEN."""
        return str(self.document["verdict"])

    def finding(self, code: str, found: str) -> dict[str, Any]:
        """The finding of a code about an object; there must be exactly one."""
        there = [one for one in self.document["findings"] if (one["code"], one["object"]) == (code, found)]
        assert len(there) == 1, f"{code} {found}: {json.dumps(self.document['findings'], indent=1)}"
        return dict(there[0])

    def codes(self) -> set[str]:
        """The codes of all findings."""
        return {finding["code"] for finding in self.document["findings"]}

    def ports(self, namespace: str) -> dict[tuple[str, int | None], str]:
        """The verdicts in a namespace, by workload and port."""
        return {(port["workload"], port["port"]): port["verdict"] for port in self.document["ports"] if port["namespace"] == namespace}

    def evidence(self, namespace: str, port: int | None, source: str) -> str:
        """What a source says of a port of the workloads of a namespace, as one text."""
        ports = [one for one in self.document["ports"] if (one["namespace"], one["port"]) == (namespace, port)]
        return "; ".join(one["text"] for port_found in ports for one in port_found["evidence"] if one["source"] == source)


def parsed(status: int, out: str, words: object) -> Said:
    """A document on stdout that its schema describes, and the exit status that belongs to its verdict."""
    assert status in set(STATUS.values()), words
    said = Said(json.loads(out))
    jsonschema.validate(said.document, _SCHEMA, format_checker=jsonschema.FormatChecker())
    assert STATUS[said.outcome] == status, words
    return said


def verify(program: Program, *flags: str) -> Said:
    """Verify a mesh that an environment describes."""
    done = program.run("verify", "-o", "json", *flags)
    return parsed(done.status, done.out, done)


def policy(namespace: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A PeerAuthentication."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": metadata, "spec": spec}


def plaintext_rule(namespace: str) -> dict[str, Any]:
    """A DestinationRule that makes clients of ``web`` send plaintext."""
    spec = {"host": f"web.{namespace}.svc.cluster.local", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}
    metadata = {"name": "web", "namespace": namespace}
    return {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": metadata, "spec": spec}


def way_out(namespace: str, **spec: str) -> dict[str, Any]:
    """A ServiceEntry, external unless ``spec`` says otherwise."""
    ports = [{"number": 443, "name": "tls", "protocol": "TLS"}]
    metadata = {"name": "pay", "namespace": namespace}
    told = {"hosts": ["pay.example"], "ports": ports, "resolution": "NONE", **spec}
    return {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": metadata, "spec": told}


def workload(namespace: str, **annotations: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Deployment ``web`` of one pod that serves on 8080, and its Service."""
    pod, service = deepcopy(web(namespace))
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": "web", "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}, service


def ready(shell: Shell, *namespaces: str) -> None:
    """Wait until the Deployments ``web`` are as they should be, and no older pod is left."""
    for namespace in namespaces:
        shell.ok("kubectl", "rollout", "status", "-n", namespace, "deployment/web", "--timeout=80s")
        until(lambda where=namespace: len(pods(shell, where)) == 1, 60, lambda: "an older pod stays")  # type: ignore[misc]


def pods(shell: Shell, namespace: str) -> list[str]:
    """The pods of a namespace."""
    return shell.ok("kubectl", "get", "pods", "-n", namespace, "-o", "jsonpath={.items[*].metadata.name}").split()


def mend(shell: Shell, hint: str) -> None:
    """Do what a finding advises, as it is written."""
    shell.ok("bash", "-c", f"set -e\n{hint}", seconds=90)


def hang(shell: Shell, namespace: str) -> None:
    """Stop the agent of the one pod there as if it hung: Envoy runs on with what it was told last, and istiod is not heard."""
    os.kill(_agent(shell, namespace), signal.SIGSTOP)


def certificate_has_ended(shell: Shell, namespace: str) -> bool:
    """Whether Envoy in the one pod there holds a certificate of its own that is not valid any more."""
    (pod,) = pods(shell, namespace)
    told = shell.ok("kubectl", "exec", "-n", namespace, pod, "-c", "istio-proxy", "--", "pilot-agent", "request", "GET", "certs")
    # A warning may come before it.
    found = json.loads(told[told.index("{") :])
    chains = [chain for certificate in found["certificates"] for chain in certificate["cert_chain"]]
    ends = [datetime.fromisoformat(one["expiration_time"]) for one in chains if one["subject_alt_names"]]
    return bool(ends) and max(ends) < datetime.now(UTC)


@contextmanager
def blocked(shell: Shell, namespace: str, port: int) -> Iterator[None]:
    """Drop what comes for a port of the one pod there, as the agent of a NetworkPolicy does."""
    rule = ("PREROUTING", "-t", "mangle", "-p", "tcp", "--dport", str(port), "-j", "DROP")
    # The proxy's image has iptables, which this machine may not have.
    inside = ("nsenter", "--target", str(_agent(shell, namespace)), "--net", "--mount", "iptables")
    subprocess.run([*inside, "-I", *rule], check=True, capture_output=True, timeout=20)
    try:
        yield
    finally:
        subprocess.run([*inside, "-D", *rule], check=True, capture_output=True, timeout=20)


def _agent(shell: Shell, namespace: str) -> int:
    """The PID, on this machine, of the agent in the one pod of a namespace; another cluster may have a pod of that name."""
    (pod,) = pods(shell, namespace)
    wanted = f"POD_NAME={pod}".encode()
    for process in pod_processes(shell.cluster):
        command = read_process(process / "cmdline").split(b"\0")
        is_agent = command[0].endswith(b"pilot-agent") and command[1:3] == [b"proxy", b"sidecar"]
        if is_agent and wanted in read_process(process / "environ").split(b"\0"):
            return int(process.name)
    raise AssertionError(f"no agent of {namespace}/{pod} runs")


@contextmanager
def audit(shell: Shell) -> Iterator[list[str]]:
    """Fills the list with all that was created inside the block, of the kinds that a verification creates."""
    api = shell.cluster.api()
    before = {path: api.get(path)["metadata"]["resourceVersion"] for path in _CREATED}
    created: list[str] = []
    yield created
    with ThreadPoolExecutor() as pool:
        for found in pool.map(lambda pair: _added(shell, *pair), before.items()):
            created += found


def _added(shell: Shell, path: str, version: str) -> list[str]:
    """What was created since a version."""
    text = shell.ok("kubectl", "get", "--raw", f"{path}?watch=1&resourceVersion={version}&timeoutSeconds=1")
    events = [json.loads(line) for line in text.splitlines()]
    assert all(event["type"] != "ERROR" for event in events), text
    return [_name(path, event["object"]["metadata"]) for event in events if event["type"] == "ADDED"]


def _name(path: str, metadata: Mapping[str, Any]) -> str:
    """``namespaces shop``, or ``shop/pods web``."""
    kind = path.rpartition("/")[2]
    return f"{metadata['namespace']}/{kind} {metadata['name']}" if "namespace" in metadata else f"{kind} {metadata['name']}"


def probe_namespaces(shell: Shell) -> list[str]:
    """The namespaces of probes that are there, and are not already going."""
    found = shell.cluster.api().get("/api/v1/namespaces")["items"]
    names = [(one["metadata"]["name"], one["status"]["phase"]) for one in found]
    return [name for name, phase in names if name.startswith("meshinstall-probe-") and phase == "Active"]
