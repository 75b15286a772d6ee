"""Somebody at a shell who runs meshinstall, and what can be seen of it from outside while it runs."""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.cluster.meshinstall_run import Done

_PATIENCE = 240
# One secret for each cloud, as its tools read it from the environment.
PLANTED = {
    "aks": ("AZURE_CLIENT_SECRET", "planted-azure-client-secret"),
    "eks": ("AWS_SECRET_ACCESS_KEY", "planted-aws-secret-access-key"),
    "gke": ("CLOUDSDK_AUTH_ACCESS_TOKEN", "planted-google-access-token"),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at a shell; ``env`` is all of its environment."""

    env: Mapping[str, str]

    def having(self, **env: str) -> "Person":
        """The same with other variables."""
        return replace(self, env={**self.env, **env})

    def meshinstall(self, *argv: str) -> Done:
        """Run meshinstall to its end."""
        return self.run(sys.executable, "-P", "-m", "meshinstall", *argv)

    def run(self, *argv: str) -> Done:
        """Run a program to its end."""
        done = subprocess.run(
            argv, env=dict(self.env), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def started(self, log: Path, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run meshinstall beside the test, its stdout and stderr into ``log``; it is killed when the test leaves it."""
        argv = (sys.executable, "-P", "-m", "meshinstall", *argv)
        env = dict(self.env)
        with log.open("w") as out, subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out) as process:
            try:
                yield process
            finally:
                process.kill()


@dataclass(slots=True)
class Traces:
    """What a run left to be seen: command lines of the whole machine, what its helms had in their environment, and its output."""

    status: int = -1
    output: bytes = b""
    command_lines: set[bytes] = field(default_factory=set)
    helm_environments: set[bytes] = field(default_factory=set)


def watch(somebody: Person, cloud: str, log: Path, *argv: str) -> Traces:
    """Run meshinstall with the planted secrets of the other clouds, and look at all processes again and again until it ends."""
    others = dict(pair for name, pair in PLANTED.items() if name != cloud)
    traces = Traces()
    # Other runs on this machine have a helm, and a home, of their own.
    home = f"HOME={somebody.env['HOME']}".encode()
    with somebody.having(**others).started(log, *argv) as process:
        while process.returncode is None:
            for each in Path("/proc").glob("[0-9]*"):
                line = _read(each / "cmdline")
                traces.command_lines.add(line)
                environment = _read(each / "environ")
                if line.partition(b"\0")[0].rpartition(b"/")[2] == b"helm" and home in environment.split(b"\0"):
                    traces.helm_environments.add(environment)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
    traces.status, traces.output = process.returncode, log.read_bytes()
    return traces


def assert_secret(traces: Traces, secrets: Iterable[str], cloud: str, *folders: Path) -> None:
    """None of ``secrets`` or of the planted ones may be in any file below ``folders``, in the output or on a command line.

    What the cloud's own tools need, a helm may have in its environment: it starts the credential plugin. Nothing else.
    """
    assert traces.status == 0, traces.output.decode()
    assert traces.helm_environments, "helm was not seen"
    planted = {secret for name, (_, secret) in PLANTED.items() if name != cloud}
    files = {path: _read(path) for folder in folders for path in folder.rglob("*") if path.is_file()}
    assert any(b"run-started" in text for text in files.values()), "no journal is among the files"
    for secret in (one.encode() for one in (*secrets, *planted)):
        assert secret not in traces.output
        assert not [path for path, text in files.items() if secret in text]
        assert not [line for line in traces.command_lines if secret in line]
    for name in planted:
        assert not [one for one in traces.helm_environments if name.encode() in one], "helm was given another cloud's secret"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
