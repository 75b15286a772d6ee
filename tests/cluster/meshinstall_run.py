"""Runs meshinstall as a user does: a process of its own, its exit status, and what it writes."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from testbed import paths
from testbed.build import catalog
from testbed.build.builder import build
from testbed.cluster import Cluster
from testbed.pki import KeyPair, kubeconfig
from testbed.shell import environment
from testbed.waiting import until
from tests.cluster.mesh import Shell, hearing_ctrl_c

REPOSITORY = Path(__file__).parents[2]
# Seconds that a command may take before the test gives it up, unless the test says otherwise: an istiod without a leader takes 40 of them.
_PATIENCE = 200.0
TARGET = ("--cloud", "local", "--env", "dev")


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended and what the user saw."""

    status: int
    out: str
    err: str

    def __str__(self) -> str:
        """All of it, for a failed assertion."""
        return f"exit status {self.status}\n{self.out}\n{self.err}"


@dataclass(frozen=True, slots=True)
class Program:
    """The meshinstall of this checkout with the environment of one cluster; ``flags`` end every command line.

    ``patience`` is in seconds: a command that takes longer fails the test.
    """

    env: Mapping[str, str]
    flags: tuple[str, ...] = ()
    patience: float = _PATIENCE

    def having(self, *flags: str, **env: str) -> "Program":
        """The same with more flags and other variables."""
        return replace(self, env={**self.env, **env}, flags=(*self.flags, *flags))

    def patient(self, seconds: float) -> "Program":
        """The same for commands that take longer."""
        return replace(self, patience=seconds)

    def run(self, command: str, *flags: str) -> Done:
        """Run a command, such as ``up`` or ``upgrade plan``, to its end."""
        argv = self._argv(command, flags)
        done = subprocess.run(
            argv, cwd=REPOSITORY, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=self.patience, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def ok(self, command: str, *flags: str) -> Done:
        """The same, and it must succeed."""
        done = self.run(command, *flags)
        assert done.status == 0, f"{command} {' '.join(flags)}\n{done}"
        return done

    def up(self, *flags: str) -> Done:
        """Install without being asked; it must succeed."""
        return self.ok("up", "--yes", *flags)

    def pending(self, *flags: str) -> dict[str, dict[str, Any]]:
        """The steps of the plan that are not to keep what is there, by name."""
        done = self.run("plan", "-o", "json", *flags)
        assert done.status in {0, 3}, done
        steps = {step["name"]: step for step in json.loads(done.out)["steps"] if step["action"] != "keep"}
        assert (done.status == 3) == bool(steps), done
        return steps

    @contextmanager
    def started(self, command: str, *flags: str) -> Iterator["Running"]:
        """Run a command beside the test; it is killed when the test leaves it."""
        argv = self._argv(command, flags)
        log = Path(self.env["MESHINSTALL_CONFIG"]) / "stderr.log"
        with (
            log.open("w") as err,
            subprocess.Popen(
                argv, cwd=REPOSITORY, env=self.env, stdin=subprocess.DEVNULL, stderr=err, preexec_fn=hearing_ctrl_c
            ) as process,
        ):
            try:
                yield Running(process, log, self.patience)
            finally:
                process.kill()

    def _argv(self, command: str, flags: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "meshinstall", *command.split(), *TARGET, *self.flags, *flags]


@dataclass(frozen=True, slots=True)
class Running:
    """A meshinstall that runs; its stderr goes to ``log``."""

    process: subprocess.Popen[bytes]
    log: Path
    patience: float = _PATIENCE

    def said(self) -> str:
        """What it wrote on stderr so far."""
        return self.log.read_text()

    def until_it_says(self, pattern: str) -> None:
        """Wait for a line that matches; it must still run then."""
        self.until(lambda: bool(re.search(pattern, self.said())), pattern)

    def until(self, look: Callable[[], bool], what: str) -> None:
        """Wait until ``look`` is true; it must still run then."""

        def done() -> bool:
            assert self.process.poll() is None, f"it ended with {self.process.returncode} before: {what}\n{self.said()}"
            return look()

        until(done, self.patience, lambda: f"never: {what}\n{self.said()}")

    def end(self, number: signal.Signals) -> Done:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> Done:
        """Wait for the end."""
        status = self.process.wait(self.patience)
        return Done(status, "", self.said())


def meshinstall(cluster: Cluster, helm: str = "helm4") -> Program:
    """Meshinstall for ``cluster`` with Helm 4 or Helm 3 on its PATH, built if they are missing."""
    shop = build(catalog.PARTS, (helm, "kubectl", "charts"), paths.cache_dir(), _say)
    return Program({**os.environ, **environment(cluster, shop, tools=(helm, "kubectl"))})


@contextmanager
def istiod_held(shell: Shell) -> Iterator[None]:
    """Hold helm in the middle of istiod: every write of a Deployment in istio-system waits."""
    with writes_held(shell, "apps", "deployments"):
        yield


@contextmanager
def writes_held(shell: Shell, group: str, resource: str) -> Iterator[None]:
    """Hold every write of a resource in istio-system for 10 s.

    The API server asks a webhook that accepts the connection and never says a word.
    """
    spec = shell.cluster.spec
    with socket.create_server((spec.host_address, 0)) as server:
        config = {
            "name": "held.testbed.local",
            "clientConfig": {"url": f"https://{spec.host_address}:{server.getsockname()[1]}/", "caBundle": _authority(shell)},
            "rules": [{"apiGroups": [group], "apiVersions": ["v1"], "operations": ["*"], "resources": [resource]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "istio-system"}},
            "timeoutSeconds": 10,
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
        shell.apply({**kind, "metadata": {"name": "held"}, "webhooks": [config]})
        try:
            yield
        finally:
            shell.ok("kubectl", "delete", "validatingwebhookconfiguration", "held")


def _authority(shell: Shell) -> str:
    return base64.b64encode((shell.cluster.state / "pki" / "ca.crt").read_bytes()).decode()


def helm_records(cluster: Cluster, status: str) -> list[str]:
    """Names of the releases of which a record has ``status``, such as pending-install."""
    found = cluster.api().get(f"/api/v1/secrets?labelSelector=owner%3Dhelm%2Cstatus%3D{status}")
    return [record["metadata"]["labels"]["name"] for record in found["items"]]


def helm_processes(cluster: Cluster) -> list[int]:
    """PIDs of all helm programs that were started with the kubeconfig of ``cluster``."""
    wanted = f"KUBECONFIG={cluster.kubeconfig}\0".encode()
    return [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if _read(process / "cmdline").partition(b"\0")[0].endswith(b"helm") and wanted in _read(process / "environ")
    ]


def client_kubeconfig(cluster: Cluster, user: str, life: timedelta = timedelta(hours=1)) -> str:
    """A kubeconfig for ``user``, signed by the cluster's own authority; a negative ``life`` gives one that has ended."""
    folder = cluster.state / "pki"
    authority = (folder / "ca.crt").read_bytes()
    signer = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user)]))
        .issuer_name(x509.load_pem_x509_certificate(authority).subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=2))
        .not_valid_after(now + life)
        .sign(signer, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pair = KeyPair(certificate.public_bytes(serialization.Encoding.PEM), private)
    return kubeconfig(cluster.spec.server, authority, pair, user)


def recording_helm(folder: Path, path: str) -> tuple[Path, str]:
    """A helm that writes every call into a file and then is the real one; returns the file and a PATH."""
    calls = folder / "calls"
    calls.touch()
    real = next(Path(one) / "helm" for one in path.split(":") if (Path(one) / "helm").exists())
    fake = folder / "helm"
    fake.write_text(f'#!/bin/sh\necho "$*" >> "{calls}"\nexec "{real}" "$@"\n')
    fake.chmod(0o755)
    return calls, f"{folder}:{path}"


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
