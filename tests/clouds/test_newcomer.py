"""Somebody without an account: a cluster with a fake cloud from the command line, work with it at a shell, and its end."""

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed import cluster as testbed_cluster
from testbed.clouds import aks_shop, eks_account, gke_project
from testbed.cluster import Cluster
from testbed.spec import Cloud
from testbed.waiting import until
from tests.clouds.people import PLANTED, Person
from tests.cluster.test_testbed import NOTHING, link_of, traces

pytestmark = pytest.mark.cluster

REPOSITORY = Path(__file__).parents[2]
# The shortest secret of a login has so many characters.
_SECRET = 40


@dataclass(frozen=True, slots=True)
class Way:
    """A cloud, the kind of nodes that do for what is asked of it, who the caller is in the cluster, and the file of the login."""

    cloud: Cloud
    nodes: str
    group: str
    secret: str


WAYS = (
    Way(Cloud.EKS, "real", eks_account.GROUP, "credentials"),
    Way(Cloud.AKS, "simulated", aks_shop.PIPELINE.groups[0], "federated-token"),
    Way(Cloud.GKE, "simulated", gke_project.deployer().email, "key.json"),
)


@dataclass(frozen=True, slots=True)
class Visit:
    """A cluster with its cloud, and a person who has evaluated what ``testbed env`` printed."""

    way: Way
    cluster: Cluster
    exports: str
    person: Person

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self.cluster.spec.name

    def meshinstall(self, command: str, *flags: str) -> str:
        """Run it for environment staging to success; all that it says."""
        done = self.person.meshinstall(command, "--cloud", self.way.cloud, "--env", "staging", *flags)
        assert done.status == 0, done
        return done.out + done.err

    def processes(self) -> dict[str, int]:
        """PIDs, as the host sees them, of the cloud's own components."""
        first = testbed_cluster.first_process(self.name)
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_text() for pid in children}
        words = {"cloud": "testbed.clouds.process\0", "authenticator": "aws-iam-authenticator\0"}
        return {name: pid for name, word in words.items() for pid, line in lines.items() if word in line}


@pytest.fixture(params=WAYS, ids=lambda way: str(way.cloud))
def visit(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Visit]:
    """The command line's own way to a cluster with a cloud."""
    way: Way = request.param
    name = f"new-{way.cloud}-{os.getpid()}"
    try:
        _testbed("up", "--name", name, "--cloud", way.cloud, "--nodes", way.nodes)
        found = testbed_cluster.existing(name)
        assert found
        # A login of another account, which must not be what is used.
        planted = dict([PLANTED[way.cloud]])
        exports = _testbed("env", "--name", name, more=planted)
        shell = Person({**os.environ, **planted, "EXPORTS": exports})
        done = shell.run("bash", "-c", 'eval "$EXPORTS"; unset EXPORTS; env -0')
        env = dict(line.split("=", 1) for line in done.out.split("\0") if line)
        yield Visit(way, found, exports, Person({**env, "TMPDIR": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}))
    finally:
        testbed_cluster.down(name)


def test_a_newcomer_works_with_a_fake_cloud_from_the_command_line_alone(visit: Visit) -> None:
    cloud = visit.way.cloud
    _the_fake_is_private_and_says_what_it_is(visit)
    if cloud is Cloud.EKS:
        assert "PASS: mTLS on" in visit.meshinstall("up", "--yes")
    else:
        # Without nodes that run pods; the whole way is in the cloud's own tests.
        assert "6 of 6 steps to do." in visit.person.meshinstall("plan", "--cloud", cloud, "--env", "staging").out
    listed = visit.person.meshinstall("clusters", "--cloud", cloud)
    assert listed.status == 0, listed
    assert ("1.31.0" if cloud is Cloud.EKS else "none") in listed.out
    visit.meshinstall("kubeconfig", "--file", visit.person.env["KUBECONFIG"])
    whoami = visit.person.run("kubectl", "auth", "whoami", "-o", "json")
    assert visit.way.group in whoami.out, whoami
    assert visit.person.run("kubectl", "get", "namespaces").status == 0
    _it_ends(visit)


def _the_fake_is_private_and_says_what_it_is(visit: Visit) -> None:
    folder = visit.cluster.state / "cloud"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    secret = folder / visit.way.secret
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    # In each of these files the longest word is what nobody else may know.
    word = max(re.split(r'[\s"]|\\n', secret.read_text()), key=len)
    assert len(word) >= _SECRET
    assert word not in visit.exports
    assert not [file for file in Path("/proc").glob("[0-9]*/cmdline") if word in _text(file)]
    said = _testbed("status", "--name", visit.name)
    assert f"FAKE {visit.way.cloud}: " in said
    assert f"http://{visit.cluster.spec.address}:4566" in said
    assert set(visit.processes()) == {"cloud", *({"authenticator"} if visit.way.cloud is Cloud.EKS else ())}


def _it_ends(visit: Visit) -> None:
    """Whoever is killed first, ``down`` leaves nothing; and the cloud never outlives its cluster."""
    name, processes, link = visit.name, visit.processes(), link_of(visit.cluster)
    if visit.way.cloud is Cloud.AKS:
        os.kill(processes["cloud"], signal.SIGKILL)
        until(lambda: "died (SIGKILL)" in _testbed("status", "--name", name, status=1), 10, lambda: "nobody says that the cloud died")
    if visit.way.cloud is Cloud.GKE:
        first = testbed_cluster.first_process(name)
        assert first
        os.kill(first, signal.SIGKILL)
        until(_gone(processes), 10, lambda: f"left: {processes}")
    _testbed("down", "--name", name)
    assert _gone(processes)()
    assert traces(name, link) == NOTHING


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        # It has ended.
        return ""


def _gone(processes: dict[str, int]) -> Callable[[], bool]:
    return lambda: not [pid for pid in processes.values() if Path(f"/proc/{pid}").exists()]


def _testbed(*args: str, status: int = 0, more: Mapping[str, str] | None = None) -> str:
    """Run ``scripts/testbed``'s own program; what it prints."""
    argv = [sys.executable, "-m", "testbed", *args]
    # As the script does it: the programs of this environment come first.
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **(more or {})}
    done = subprocess.run(argv, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout
