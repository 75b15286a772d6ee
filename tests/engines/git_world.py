"""A cluster with engines, and the Git repository that they keep it by: the project of a mesh, and what ``render`` makes of it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from testbed import cluster as testbed_cluster
from testbed import paths
from testbed.build import catalog
from testbed.build.builder import build
from testbed.cluster import Cluster
from testbed.engines.charts import CHARTS
from testbed.engines.hub import GIT
from testbed.shell import environment, write_configuration
from testbed.spec import Engine, Nodes
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Done, Program

# What every test renders: one environment, on a cluster without a cloud.
ENVIRONMENT, CLOUD = "dev", "local"
SITE = f"{ENVIRONMENT}-{CLOUD}"
_REPOSITORY = "mesh.git"
_SHUT = "policies/base/shut.yaml"
_TOOLS = ("helm4", "kubectl", "istioctl")
# Nothing of the person who runs the tests, and a name for commits.
PERSON = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"} | {
    f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "mesh"), ("EMAIL", "mesh@example.com"))
}


@dataclass(frozen=True, slots=True)
class GitWorld:
    """The cluster, a person's ``shell`` there, meshinstall as ``program``, and the working copy ``folder``, which is its project.

    ``rendered`` is the folder of the working copy that an engine reads.
    """

    cluster: Cluster
    shell: Shell
    program: Program
    folder: Path
    rendered: str

    @property
    def repository(self) -> str:
        """The address of the repository, as engines read it."""
        return f"https://{self.cluster.spec.hub}/{GIT}/{_REPOSITORY}"

    def write(self, path: str, content: object) -> None:
        """Write a file of the project; JSON is YAML."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content, indent=2) + "\n")

    def set_values(self, component: str, **values: object) -> None:
        """Set values of a component at their top level, in the project."""
        path = f"values/components/{component}.yaml"
        there = self.folder / path
        self.write(path, {**(yaml.safe_load(there.read_text()) if there.exists() else {}), **values})

    def meshinstall(self, *argv: str) -> Done:
        """Run a command of meshinstall for the project, which must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "meshinstall", *argv],
            cwd=self.folder,
            env=self.program.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.program.patience,
            check=False,
        )
        assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
        return Done(done.returncode, done.stdout, done.stderr)

    def render(self) -> None:
        """Write what the engine reads anew."""
        where = ("--repo-url", self.repository) if self.rendered == "argocd" else ()
        self.meshinstall("render", "--format", self.rendered, "--out", self.rendered, "--path", self.rendered, "--env", ENVIRONMENT, *where)

    def commit(self, message: str) -> str:
        """Commit all that is in the working copy, and push it; returns the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD").strip()

    def shut_gateway(self) -> None:
        """Add the file of a policy by which the gateway lets nobody in, AuthorizationPolicy istio-ingress/shut."""
        about = {"name": "shut", "namespace": "istio-ingress"}
        self.write(_SHUT, {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": about, "spec": {}})
        self.render()
        self.commit("Shut the gateway")

    def open_gateway(self) -> None:
        """Take that file away."""
        (self.folder / _SHUT).unlink()
        self.render()
        self.commit("Open the gateway")

    def git(self, *argv: str) -> str:
        """Run git in the working copy."""
        done = subprocess.run(
            ["git", *argv], cwd=self.folder, env={**os.environ, **PERSON}, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"git {argv}\n{done.stdout}{done.stderr}"
        return done.stdout

    def get(self, *argv: str) -> dict[str, Any]:
        """What ``kubectl get`` answers as JSON."""
        found: dict[str, Any] = json.loads(self.shell.ok("kubectl", "get", *argv, "-o", "json"))
        return found

    def read(self, path: str) -> dict[str, Any]:
        """A file of what was rendered."""
        found: dict[str, Any] = yaml.safe_load((self.folder / self.rendered / path).read_text())
        return found


@contextmanager
def cluster_with(engine: Engine, name: str, nodes: Nodes) -> Iterator[Cluster]:
    """Start a cluster with an engine; it ends with the block."""
    try:
        yield testbed_cluster.up(name, nodes, lambda _: None, engines=(engine,))
    finally:
        testbed_cluster.down(name)


def make(cluster: Cluster, rendered: str) -> tuple[Cluster, Shell, Program, Path, str]:
    """Write the project, render it for an engine, and put both into a new repository."""
    shop = build(catalog.PARTS, _TOOLS, paths.cache_dir(), lambda _: None)
    env = {**os.environ, **environment(cluster, shop, _TOOLS), "SSL_CERT_FILE": str(cluster.state / "pki/ca.crt")}
    folder = write_configuration(cluster, f"oci://{cluster.spec.hub}/{CHARTS}", **{ENVIRONMENT: {"cloud": CLOUD}})
    shell = Shell(cluster, tuple(shop.part(name) for name in _TOOLS))
    world = GitWorld(cluster, shell, Program(env), folder, rendered)
    bare = cluster.state / GIT / _REPOSITORY
    shutil.rmtree(bare, ignore_errors=True)
    world.git("init", "--quiet", "--initial-branch=main", ".")
    world.git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    world.git("remote", "add", "origin", str(bare))
    world.meshinstall("lock", "--update", "--env", ENVIRONMENT)
    world.render()
    world.commit("The mesh")
    return cluster, shell, world.program, folder, rendered
