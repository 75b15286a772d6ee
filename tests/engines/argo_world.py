"""A cluster that Argo CD keeps as a Git repository says; see GitWorld for the repository.

with argo_world(own_name("argo")) as world:
    world.deliver()                                # AppProjects and ApplicationSet by hand, then all is synced
    world.write("policies/base/x.yaml", …); world.render(); world.commit("A policy"); world.wait_synced()
    world.applications()["dev-local-istiod"].started
"""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from testbed.spec import Engine, Nodes
from testbed.waiting import until
from tests.engines.git_world import SITE, GitWorld, cluster_with, make

_NAMESPACE = "argocd"
# Seconds; a whole mesh takes two minutes where nothing else runs, and five beside other tests.
PATIENCE = 600


@dataclass(frozen=True, slots=True)
class Application:
    """What Argo CD says of one Application; ``started`` and ``finished`` are of its last operation, ``commit`` what it compared with."""

    sync: str
    health: str
    phase: str
    started: str
    finished: str
    message: str
    commit: str
    spec: Mapping[str, Any]
    status: Mapping[str, Any]

    @property
    def is_well(self) -> bool:
        """Whether all that it says now is there and healthy, and nothing is under way."""
        compared = self.status.get("sync", {}).get("comparedTo", {}).get("source")
        # One that found everything there has had no operation.
        is_over = self.phase in {"Succeeded", ""}
        return compared == self.spec["source"] and is_over and (self.sync, self.health) == ("Synced", "Healthy")


@dataclass(frozen=True, slots=True)
class ArgoWorld(GitWorld):
    """A GitWorld whose engine is Argo CD."""

    def deliver(self) -> None:
        """Introduce the mesh to Argo CD, and wait for all of it."""
        self.introduce()
        self.wait_synced()

    def introduce(self) -> None:
        """Do by hand what docs/gitops.md says: make the cluster known, apply the projects and the ApplicationSet."""
        self.introduce_cluster()
        folder = self.folder / self.rendered
        self.shell.ok("kubectl", "apply", "-f", str(folder / "projects"), "-f", str(folder / "applicationset.yaml"))

    def introduce_cluster(self) -> None:
        """Make the cluster known by the site's name, as ``argocd cluster add`` does."""
        self.shell.apply(_cluster_secret(self))

    def applications(self) -> dict[str, Application]:
        """All Applications by name."""
        return {one["metadata"]["name"]: _read(one) for one in self.get("applications.argoproj.io", "-n", _NAMESPACE)["items"]}

    def refresh(self, *names: str, hard: bool = False) -> None:
        """Make Argo CD compare now what it would compare at the next resync; all Applications by default."""
        kind = f"argocd.argoproj.io/refresh={'hard' if hard else 'normal'}"
        which = [f"applications.argoproj.io/{name}" for name in names or self.applications()]
        self.shell.ok("kubectl", "annotate", "-n", _NAMESPACE, "--overwrite", *which, kind)

    def resync(self, *, hard: bool = False) -> None:
        """Make Argo CD compare all Applications once more, with what it keeps of Git and charts fetched anew if ``hard``."""
        before = self._compared()
        self.refresh(hard=hard)
        until(lambda: all(at != before.get(name) for name, at in self._compared().items()), PATIENCE, lambda: f"no resync:\n{self.told()}")

    def _compared(self) -> dict[str, str]:
        return {name: one.status.get("reconciledAt", "") for name, one in self.applications().items()}

    def wait_synced(self, seconds: float = PATIENCE) -> dict[str, Application]:
        """Wait until the newest commit is everywhere, Synced and Healthy; returns the Applications."""
        commit = self.git("rev-parse", "HEAD").strip()
        if self.applications():
            self.refresh()

        def look() -> dict[str, Application] | None:
            found = self.applications()
            names = {self.read(str(file.relative_to(self.folder / self.rendered)))["metadata"]["name"] for file in self._files()}
            of_git = [one.commit for one in found.values() if not one.spec["source"]["repoURL"].startswith("oci://")]
            whole = found.keys() == {*names, f"mesh-{SITE}"} and all(one.is_well for one in found.values())
            return found if whole and set(of_git) == {commit} else None

        return until(look, seconds, lambda: f"not synced after {seconds} s:\n{self.told()}")

    def _files(self) -> list[Any]:
        return sorted((self.folder / self.rendered).glob("*/*/applications/*.yaml"))

    def told(self) -> str:
        """All Applications in a line each, for a failed assertion."""
        return "\n".join(
            f"{name}: {one.sync} {one.health} {one.phase} {one.message} {one.status.get('conditions', '')}"
            for name, one in self.applications().items()
        )


@contextmanager
def argo_world(name: str, nodes: Nodes = Nodes.REAL) -> Iterator[ArgoWorld]:
    """Start a cluster with Argo CD and a repository of a mesh, which nobody has told Argo CD of yet; it ends with the block."""
    with cluster_with(Engine.ARGOCD, name, nodes) as cluster:
        yield ArgoWorld(*make(cluster, "argocd"))


def _read(manifest: Mapping[str, Any]) -> Application:
    status = manifest.get("status", {})
    operation = status.get("operationState", {})
    return Application(
        sync=status.get("sync", {}).get("status", ""),
        health=status.get("health", {}).get("status", ""),
        phase=operation.get("phase", ""),
        started=operation.get("startedAt", ""),
        finished=operation.get("finishedAt", ""),
        message=operation.get("message", ""),
        commit=status.get("sync", {}).get("revision", ""),
        spec=manifest["spec"],
        status=status,
    )


def _cluster_secret(world: ArgoWorld) -> dict[str, Any]:
    """What ``argocd cluster add`` writes for a cluster, which is found by name."""
    pki = world.cluster.state / "pki"

    def text(name: str) -> str:
        return base64.b64encode((pki / name).read_bytes()).decode()

    config = {"tlsClientConfig": {"caData": text("ca.crt"), "certData": text("admin.crt"), "keyData": text("admin.key")}}
    labels = {"argocd.argoproj.io/secret-type": "cluster"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"cluster-{SITE}", "namespace": _NAMESPACE, "labels": labels},
        "stringData": {"name": SITE, "server": world.cluster.spec.server, "config": json.dumps(config)},
    }
