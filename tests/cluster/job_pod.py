"""The CronJob that ``job render`` writes, on a cluster: its image on the node, its objects applied, its nights as pods there."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed import cluster as testbed_cluster
from testbed import paths, pins
from testbed.audit import Request, audited, requests
from testbed.build import catalog
from testbed.build.builder import build
from testbed.build.job_image import CHARTS, write_job_image
from testbed.cluster import Cluster
from testbed.components import CONTAINERD_SOCKET
from testbed.waiting import until
from tests.cluster.dirty_mesh import INJECTED
from tests.cluster.job_account import ACCOUNT, NAMESPACE
from tests.cluster.mesh import namespace
from tests.cluster.two_istios import BuildPart, TwoIstios, two_istios

# A day that comes every four years: such a job begins when a test says so.
_NEVER = "0 0 29 2 *"
# Seconds for a night.
_PATIENCE = 600.0
_LINE = "night dev"
_FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Ended:
    """A night that has ended: the exit status of its container, its line of result, and all that it wrote."""

    status: int
    line: str
    log: str

    def __str__(self) -> str:
        """All of it, for a failed assertion."""
        return f"exit status {self.status}\n{self.log}"


@dataclass(frozen=True, slots=True)
class Nights:
    """A mesh whose nights are pods of its own cluster; ``image`` is theirs."""

    istios: TwoIstios
    image: str

    def write(self, version: str, *waves: dict[str, Any], windows: Sequence[dict[str, Any]] = ()) -> None:
        """Write the files that bound nights: which Istio, in which waves workloads follow, and when; the lock stays as it is."""
        self.istios.wants(*waves, windows=windows, version=version)

    def lock(self) -> None:
        """Pin the charts of the newest version that the files allow."""
        self.istios.program.ok("lock", "--update")

    def apply(self) -> None:
        """Render the job of these files, and apply it as its page says; the charts of the image are at a place of their own."""
        file = self.istios.folder / "meshinstall.yaml"
        written = file.read_text()
        file.write_text(written.replace("source: charts", f"source: {CHARTS}"))
        workloads = [flag for name in INJECTED for flag in ("--workloads", name)]
        made = self.istios.program.ok("job render", "--kind", "cronjob", "--image", self.image, "--schedule", _NEVER, *workloads)
        file.write_text(written)
        text = self.istios.folder / "job.yaml"
        text.write_text(made.out)
        self.istios.shell.ok("kubectl", "apply", "--server-side", "-f", str(text))

    def run(self, name: str) -> Ended:
        """A night that begins now: a Job made from the CronJob, and what it came to once its pod has ended."""
        self.istios.shell.ok("kubectl", "create", "job", name, "-n", NAMESPACE, f"--from=cronjob/{ACCOUNT}")
        code = until(lambda: self._exit_status(name), _PATIENCE, lambda: f"the night {name} does not end:\n{self._log(name)}")
        log = self._log(name)
        return Ended(int(code), next((line for line in log.splitlines() if line.startswith(_LINE)), ""), log)

    def kill(self, name: str, at: str) -> None:
        """Begin a night, and end its pod with SIGKILL as soon as it has written ``at``; nothing is left of its Job."""
        self.istios.shell.ok("kubectl", "create", "job", name, "-n", NAMESPACE, f"--from=cronjob/{ACCOUNT}")
        until(lambda: at in self._log(name), _PATIENCE, lambda: f"the night {name} does not come to {at!r}:\n{self._log(name)}")
        self.istios.shell.ok("kubectl", "delete", "pods", "-n", NAMESPACE, "-l", f"job-name={name}", "--grace-period=0", "--force")
        self.istios.shell.ok("kubectl", "delete", "job", name, "-n", NAMESPACE)

    @contextmanager
    def broken(self) -> Iterator[None]:
        """The job has a mistake in the values of istiod, by which no node can pull a new one."""
        file = self.istios.folder / "values" / "components" / "istiod.yaml"
        before = file.read_text()
        file.write_text(json.dumps({**json.loads(before), "hub": "registry.invalid/istio"}))
        self.apply()
        try:
            yield
        finally:
            file.write_text(before)
            self.apply()

    def refused(self) -> list[Request]:
        """What the API server has refused to the job's account so far."""
        return [one for one in requests(self.istios.shell.cluster, NAMESPACE, ACCOUNT) if one.status == _FORBIDDEN]

    def _exit_status(self, name: str) -> str:
        """As text: 0 is an answer, too."""
        pods = self.istios.shell.ok("kubectl", "get", "pods", "-n", NAMESPACE, "-l", f"job-name={name}", "-o", "json")
        states = [one["state"] for pod in json.loads(pods)["items"] for one in pod["status"].get("containerStatuses", ())]
        return next((str(state["terminated"]["exitCode"]) for state in states if "terminated" in state), "")

    def _log(self, name: str) -> str:
        done = self.istios.shell.run("kubectl", "logs", "-n", NAMESPACE, f"job/{name}")
        return f"{done.stdout}{done.stderr}"


@contextmanager
def nightly_mesh(name: str, build_part: BuildPart, folder: Path) -> Iterator[Nights]:
    """A mesh of pins.ISTIO that a lock allows and no more, and the image of its job on the node."""
    files = folder / "project"
    files.mkdir()
    with two_istios(name, build_part, files, ("images-restamp",), first=pins.ISTIO, authenticate=audited) as istios:
        shop = build(catalog.PARTS, ("job-python", "helm4", "debian"), paths.cache_dir(), print)
        made = write_job_image(shop, folder, [files / "charts"])
        _bring(istios.shell.cluster, made.archive)
        made.archive.unlink()
        istios.shell.apply(namespace(NAMESPACE))
        nights = Nights(istios, made.name)
        nights.write(pins.ISTIO)
        nights.lock()
        yield nights


def _bring(cluster: Cluster, archive: Path) -> None:
    """Import an image into the node's containerd, as the testbed does with its own."""
    pid = testbed_cluster.first_process(cluster.spec.name)
    ctr = (f"{cluster.spec.parts['containerd']}/ctr", f"--address={CONTAINERD_SOCKET}", "--namespace=k8s.io")
    command = ("nsenter", "--target", str(pid), "--mount", "--pid", *ctr, "images", "import", "--local", "--snapshotter=overlayfs", archive)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
