"""A cluster with a real Istio of the minor before, in the mesh of dirty_mesh, and a meshinstall whose charts are of several versions."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from meshinstall.model.upgrade import StageName
from testbed import cluster as testbed_cluster
from testbed import pins
from testbed.cluster import Cluster
from testbed.spec import Authenticate, Nodes
from testbed.waiting import until
from tests.cluster import dirty_mesh
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import REPOSITORY, Done, Program, meshinstall

BuildPart = Callable[[str], Path]
_SCHEMA = REPOSITORY / "docs" / "schemas" / "upgrade-plan.json"
# Support of the older one may have ended on the day of the test.
EOL = ("--allow", "eol")
# Seconds for a whole upgrade: several times what it takes.
_PATIENCE = 480.0
# Exit status of an upgrade that left something to others.
_HELD = 3


@dataclass(frozen=True, slots=True)
class TwoIstios:
    """meshinstall in its folder, and a person's shell."""

    program: Program
    shell: Shell
    folder: Path

    def wants(self, *waves: dict[str, Any], windows: Sequence[dict[str, Any]] = (), **istio: Any) -> None:
        """Write into meshinstall.yaml which Istio there shall be, in which waves workloads follow, and in which windows of nights."""
        settings = {
            "apiVersion": "meshinstall.dev/v1",
            "istio": istio,
            "upgrade": {"waves": list(waves), "windows": list(windows)},
            "charts": {"source": "charts"},
            "environments": {"dev": {"cloud": "local", "gateways": dict(dirty_mesh.GATEWAY_SETTINGS)}},
        }
        (self.folder / "meshinstall.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))

    def plan(self, target: str, *flags: str) -> dict[str, Any]:
        """``upgrade plan`` as JSON, held against its schema; its exit status says whether there is something to do."""
        done = self.printed(target, "-o", "json", *flags)
        found: dict[str, Any] = json.loads(done.out)
        Draft202012Validator(json.loads(_SCHEMA.read_text())).validate(found)
        assert done.status == (3 if found["pending"] else 0), done
        return found

    def printed(self, target: str, *flags: str) -> Done:
        """The same as text, unless flags say otherwise."""
        return self.program.run("upgrade plan", "--to", target, *flags)

    def carry_out(self, command: str, *flags: str) -> Done:
        """Run a command of ``upgrade`` without being asked; where it leaves workloads to their owners, restart them, and run it again.

        What is printed is that of both; ``err`` has all of it in its order.
        """
        first = self.program.run(command, "--yes", *EOL, *flags)
        if first.status != _HELD or f"held at stage {StageName.WORKLOADS}: their owners" not in first.out:
            return first
        self.restart()
        then = self.program.run(command, "--yes", *EOL, *flags)
        return Done(then.status, first.out + then.out, first.err + first.out + then.err + then.out)

    def restart(self) -> None:
        """Replace all pods of the applications, as their owners do."""
        for where in dirty_mesh.INJECTED:
            for name in dirty_mesh.deployments(self.shell, where):
                if f"{where}/{name}" in dirty_mesh.BROKEN:
                    # A rollout waits for ever beside a pod that was not ready before.
                    self.shell.ok("kubectl", "delete", "pods", "-n", where, "-l", f"app={name}", "--wait=false")
                else:
                    self.shell.ok("kubectl", "rollout", "restart", "-n", where, f"deployment/{name}")
        dirty_mesh.wait_for_rollouts(self.shell)

    def where(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Where each part is but the CRDs, which do not go back, and what is proven of mTLS."""
        position = dict(self.plan(pins.ISTIO)["position"])
        del position["crds"]
        return position, self.verdicts()

    def istiods(self) -> dict[str, str]:
        """The version of each istiod by its revision, as their Deployments say."""
        text = self.shell.ok("kubectl", "get", "deployment", "-n", "istio-system", "-l", "app=istiod", "-o", "json")
        found = {}
        for item in json.loads(text)["items"]:
            (container,) = item["spec"]["template"]["spec"]["containers"]
            found[item["metadata"]["labels"]["istio.io/rev"]] = container["image"].rpartition(":")[2]
        return found

    def proxies(self, *namespaces: str) -> set[tuple[str, str, str]]:
        """Namespace, revision and version of the proxies of all pods there that are not ending."""
        return {(where, *proxy) for where in namespaces for proxy in self._proxies(where)}

    def templates(self) -> dict[str, dict[str, str]]:
        """The annotations of the pod template of each application."""
        found = {}
        for where in dirty_mesh.INJECTED:
            items = json.loads(self.shell.ok("kubectl", "get", "deployments", "-n", where, "-o", "json"))["items"]
            for item in items:
                notes = item["spec"]["template"]["metadata"].get("annotations") or {}
                found[f"{where}/{item['metadata']['name']}"] = notes
        return found

    def _proxies(self, where: str) -> Iterator[tuple[str, str]]:
        pods = json.loads(self.shell.ok("kubectl", "get", "pods", "-n", where, "-o", "json"))["items"]
        for pod in pods:
            spec, metadata = pod["spec"], pod["metadata"]
            images = [one["image"] for one in (*spec["containers"], *spec.get("initContainers", ())) if one["name"] == "istio-proxy"]
            if images and "deletionTimestamp" not in metadata:
                status = json.loads(metadata["annotations"]["sidecar.istio.io/status"])
                yield status["revision"], images[0].rpartition(":")[2]

    def verdicts(self) -> dict[str, str]:
        """What ``verify`` says of each port: where it is, and how it is judged. A pod that is ending would be NOT PROVEN."""
        until(lambda: not self._ending(), 60, lambda: f"pods do not end: {self._ending()}")
        found = json.loads(self.program.run("verify", "-o", "json").out)
        ports = (port for port in found["ports"] if not port["namespace"].startswith("meshinstall-probe-"))
        return {f"{port['namespace']}/{port['workload']}:{port['port']}": port["verdict"] for port in ports}

    def _ending(self) -> list[str]:
        pods = self.shell.cluster.api().get("/api/v1/pods")["items"]
        return [f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in pods if "deletionTimestamp" in pod["metadata"]]


@contextmanager
def two_istios(  # noqa: PLR0913 - what such a cluster is
    name: str,
    build_part: BuildPart,
    folder: Path,
    images: tuple[str, ...],
    *,
    helm: str = "helm4",
    first: str = pins.PREVIOUS,
    authenticate: Authenticate | None = None,
    signed_in: Callable[[Cluster], Path] | None = None,
) -> Iterator[TwoIstios]:
    """The mesh with its ``first`` Istio installed by meshinstall with a Helm; ``images`` are parts with further images for the node.

    ``authenticate`` is the testbed's own; ``signed_in`` gives the kubeconfig of who runs meshinstall from the start.
    """
    parts = (*(("images-previous",) if first == pins.PREVIOUS else ()), *images)
    cluster = testbed_cluster.up(f"{name}-{os.getpid()}", Nodes.REAL, print, parts=parts, authenticate=authenticate)
    try:
        program = meshinstall(cluster, helm)
        if signed_in:
            program = program.having(KUBECONFIG=str(signed_in(cluster)))
        shutil.copytree(Path(program.env["MESHINSTALL_CONFIG"]) / "values", folder / "values")
        _ask_for_little(folder / "values" / "components" / "istiod.yaml")
        (folder / "charts").mkdir()
        for part in ("charts-previous", "charts", "charts-restamp"):
            for archive in build_part(part).glob("*.tgz"):
                shutil.copy(archive, folder / "charts")
        shell = Shell(cluster, tuple(build_part(tool) for tool in (helm, "kubectl")))
        found = TwoIstios(program.having(MESHINSTALL_CONFIG=str(folder)).patient(_PATIENCE), shell, folder)
        found.wants(version=first)
        found.program.up("--no-verify", *EOL)
        dirty_mesh.fill(shell)
        yield found
    finally:
        testbed_cluster.down(cluster.spec.name)


def _ask_for_little(values: Path) -> None:
    """Let proxies request little: while all are replaced the node has twice as many, and Istio's 100m each would be more than it has."""
    requests = {"cpu": "10m", "memory": "40Mi"}
    values.write_text(json.dumps({**json.loads(values.read_text()), "global": {"proxy": {"resources": {"requests": requests}}}}))
