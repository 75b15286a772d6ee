"""A cluster that Flux keeps as a Git repository says, as far as it can without a helm-controller, whose module nobody can fetch.

Releases are made by ``up``, and the test writes that they are ready, as a helm-controller does when a release is as its HelmRelease says.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from testbed.spec import Engine, Nodes
from testbed.waiting import until
from tests.engines.git_world import CLOUD, ENVIRONMENT, GitWorld, cluster_with, make

_NAMESPACE = "flux-system"
PATIENCE = 120


@dataclass(frozen=True, slots=True)
class FluxWorld(GitWorld):
    """A GitWorld whose engine is Flux."""

    def deliver(self) -> None:
        """Do by hand what docs/gitops.md says: make the repository known, as ``flux bootstrap`` does, and apply the folder ``flux``."""
        spec = {"interval": "10m", "url": self.repository, "ref": {"branch": "main"}}
        source = {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository"}
        self.shell.apply({**source, "metadata": {"name": "flux-system", "namespace": _NAMESPACE}, "spec": spec})
        self.shell.ok("kubectl", "apply", "-k", str(self.folder / self.rendered / ENVIRONMENT / CLOUD / "flux"))

    def of_kind(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """All objects of a kind of Flux by name."""
        return {one["metadata"]["name"]: one for one in self.get(kind, "-n", _NAMESPACE)["items"]}

    def wait_ready(self, kind: str, *names: str) -> None:
        """Wait until objects of Flux say that they are ready."""

        def look() -> bool:
            found = self.of_kind(kind)
            return found.keys() >= set(names) and all(ready(found[name])[0] == "True" for name in names)

        until(look, PATIENCE, lambda: f"not ready: { {name: ready(one) for name, one in self.of_kind(kind).items()} }")

    def wait_for_release(self, name: str) -> None:
        """Wait until a step has brought a HelmRelease."""
        until(lambda: name in self.of_kind("helmreleases"), PATIENCE, lambda: str(self.of_kind("helmreleases").keys()))

    def answer_for_helm_controller(self, *names: str) -> None:
        """Write that releases are ready, in place of a helm-controller."""
        for name in names:
            generation = self.of_kind("helmreleases")[name]["metadata"]["generation"]
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            condition = {"type": "Ready", "status": "True", "reason": "InstallSucceeded", "message": "by a test", "lastTransitionTime": now}
            status = {"status": {"observedGeneration": generation, "conditions": [{**condition, "observedGeneration": generation}]}}
            argv = ("patch", "-n", _NAMESPACE, f"helmrelease/{name}", "--subresource=status", "--type=merge", "-p", json.dumps(status))
            self.shell.ok("kubectl", *argv)

    def reconcile(self, kustomization: str) -> None:
        """Make Flux read the repository and put a step right now; wait until it has, and is ready."""
        self._ask("gitrepositories", "flux-system")
        self._ask("kustomizations", kustomization)

    def _ask(self, kind: str, name: str) -> None:
        asked = str(time.time_ns())
        resource = f"{kind}.{'source' if kind == 'gitrepositories' else 'kustomize'}.toolkit.fluxcd.io/{name}"
        self.shell.ok("kubectl", "annotate", "-n", _NAMESPACE, "--overwrite", resource, f"reconcile.fluxcd.io/requestedAt={asked}")

        def is_done() -> bool:
            found = self.of_kind(kind)[name]
            return found["status"].get("lastHandledReconcileAt") == asked and ready(found)[0] == "True"

        until(is_done, PATIENCE, lambda: f"{name}: {ready(self.of_kind(kind)[name])}")


def ready(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """What an object of Flux says of itself: True, False or Unknown, and why."""
    conditions = manifest.get("status", {}).get("conditions", [])
    return next(((one["status"], f"{one['reason']}: {one['message']}") for one in conditions if one["type"] == "Ready"), ("", ""))


@contextmanager
def flux_world(name: str, nodes: Nodes = Nodes.REAL) -> Iterator[FluxWorld]:
    """Start a cluster with Flux and a repository of a mesh, which nobody has told Flux of yet; it ends with the block."""
    with cluster_with(Engine.FLUX, name, nodes) as cluster:
        yield FluxWorld(*make(cluster, "flux"))
