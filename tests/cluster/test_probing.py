"""Live probes on a real mesh: what proxies refuse and serve, and what must not be taken for it."""

import ipaddress
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from meshinstall import wiring
from meshinstall.config.project import load_project
from meshinstall.engine.probe.prober import Prober, probes
from meshinstall.engine.session import Session
from meshinstall.model.cluster import Cloud, ClusterRef
from meshinstall.model.mesh import Place
from meshinstall.model.wire import PROBE_LABEL, Answer, Probe, Seen, WireTarget
from testbed import pins
from testbed.cluster import Cluster
from tests.cluster.foreign_mesh import Foreign
from tests.cluster.mesh import Shell, injected_images, namespace, pod_processes, read_process, web
from tests.cluster.meshinstall_run import REPOSITORY, meshinstall

pytestmark = [pytest.mark.cluster, pytest.mark.anyio]

REFUSED = dict.fromkeys((Probe.PLAINTEXT, Probe.ANONYMOUS, Probe.FOREIGN), Answer.REFUSED)
STRICT = {**REFUSED, Probe.MESHED: Answer.SERVED}
# Starts probes and waits for its end, as a run that is in the middle of things.
HANGING = """
import anyio, sys
from pathlib import Path
from meshinstall import wiring
from meshinstall.config.project import load_project
from meshinstall.engine.probe.prober import probes
from meshinstall.model.cluster import Cloud, ClusterRef

async def main():
    project = load_project(None, {}, Path(sys.argv[2]))
    session = wiring.open_session(ClusterRef(Cloud.LOCAL, kubeconfig=Path(sys.argv[1])), project, print, print)
    async with probes(session, print) as prober:
        print(prober.namespace, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Threads and sockets."""
    return "asyncio"


@dataclass(frozen=True, slots=True)
class Mesh:
    """A STRICT mesh without a gateway, a shell on it and a folder of the test."""

    shell: Shell
    folder: Path

    def session(self, kubeconfig: Path | None = None) -> Session:
        """What the engine gets of the cluster."""
        cluster = ClusterRef(Cloud.LOCAL, kubeconfig=kubeconfig or self.shell.cluster.kubeconfig)
        return wiring.open_session(cluster, load_project(None, {}, self.folder), print, print)

    def target(self, place: Place, port: int = 8080) -> WireTarget:
        """A port of a pod that runs."""
        pod = json.loads(self.shell.ok("kubectl", "get", "pod", "-n", place.namespace, place.name, "-o", "json"))
        return WireTarget(place, pod["status"]["podIP"], port)

    def start(self, *objects: dict[str, Any]) -> None:
        """Apply objects and wait until their pods are ready."""
        self.shell.apply(*objects)
        for one in objects:
            if one["kind"] == "Pod":
                metadata = one["metadata"]
                self.shell.ok(
                    "kubectl", "wait", "-n", metadata["namespace"], f"pod/{metadata['name']}", "--for=condition=Ready", "--timeout=60s"
                )

    def namespaces(self) -> set[str]:
        """Those of probes that are still there."""
        found = self.shell.ok("kubectl", "get", "namespace", "-l", PROBE_LABEL, "-o", "name")
        return {line.removeprefix("namespace/") for line in found.split()}


@pytest.fixture(scope="module")
def mesh(own_module_cluster: Cluster, build_part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    """Istio as meshinstall installs it, an injected pod in shop and one outside in legacy."""
    mesh = Mesh(Shell(own_module_cluster, (build_part("kubectl"),)), tmp_path_factory.mktemp("probing"))
    meshinstall(own_module_cluster).up("--profile", "minimal")
    mesh.start(namespace("shop", **{"istio-injection": "enabled"}), namespace("legacy"), *web("shop"), *web("legacy"))
    return mesh


@dataclass
class Probes:
    """Probes that are ready, and what they saw of a port, by probe."""

    prober: Prober
    mesh: Mesh
    seen: dict[Probe, Seen] = field(default_factory=dict)

    async def answers(self, place: Place, port: int = 8080) -> dict[Probe, Answer]:
        """The answers of one port."""
        target = self.mesh.target(place, port)
        found = await self.prober.probe([target])
        assert not found.problem
        self.seen = {seen.probe: seen for seen in found.seen[target]}
        return {probe: seen.answer for probe, seen in self.seen.items()}

    async def until(self, place: Place, expected: dict[Probe, Answer]) -> None:
        """Wait until a push has reached the proxy; half a minute at most."""
        with anyio.move_on_after(30):
            while await self.answers(place) != expected:
                pass
        assert await self.answers(place) == expected, self.seen


@asynccontextmanager
async def started(mesh: Mesh, kubeconfig: Path | None = None) -> AsyncIterator[Probes]:
    """Probes for one test, without a problem and without a gap."""
    async with probes(mesh.session(kubeconfig), print) as prober:
        assert prober.problem == ""
        assert prober.gaps == []
        yield Probes(prober, mesh)
    assert prober.gaps == []


def strict_but(mode: str, space: str) -> dict[str, Any]:
    """A PeerAuthentication for a namespace."""
    metadata = {"name": "test", "namespace": space}
    return {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": metadata, "spec": {"mtls": {"mode": mode}}}


async def test_an_empty_strict_mesh_is_proven_on_our_own_target_and_nothing_stays(
    mesh: Mesh, until_true: Callable[[Callable[[], bool]], None]
) -> None:
    async with started(mesh) as running:
        space = running.prober.namespace
        assert await running.answers(Place(space, "target")) == STRICT, running.seen
        own = f"spiffe://cluster.local/ns/{space}/sa/probe"
        meshed = running.seen[Probe.MESHED]
        assert meshed.identity == own
        assert meshed.client_identity == own
        assert meshed.words == "TLSv1.2"
        assert running.seen[Probe.ANONYMOUS].words == "tlsv13 alert certificate required"
        assert running.seen[Probe.ANONYMOUS].identity == own
        assert running.seen[Probe.FOREIGN].words == "tlsv1 alert unknown ca"
        assert running.seen[Probe.FOREIGN].identity == own
    until_true(lambda: not mesh.namespaces())


async def test_workloads_are_proven_and_what_is_not_theirs_is_told_apart(mesh: Mesh) -> None:
    async with started(mesh) as running:
        assert await running.answers(Place("shop", "web")) == STRICT, running.seen
        assert running.seen[Probe.MESHED].identity == "spiffe://cluster.local/ns/shop/sa/default"
        # No proxy: the application itself answers, and speaks no TLS.
        answers = await running.answers(Place("legacy", "web"))
        assert answers == {**dict.fromkeys(Probe, Answer.ENDED), Probe.PLAINTEXT: Answer.SERVED}, running.seen
        assert running.seen[Probe.PLAINTEXT].words == "answered plaintext bytes: HTTP/1.1 400"
        # Nobody there, and a proxy before nobody.
        assert set((await running.answers(Place("legacy", "web"), 8099)).values()) == {Answer.NOTHING}
        behind = await running.answers(Place("shop", "web"), 8099)
        assert behind[Probe.PLAINTEXT] is Answer.NOTHING, running.seen


async def test_a_permissive_namespace_serves_plaintext_until_it_is_mended(mesh: Mesh) -> None:
    async with started(mesh) as running:
        mesh.shell.apply(strict_but("PERMISSIVE", "shop"))
        try:
            await running.until(Place("shop", "web"), {**STRICT, Probe.PLAINTEXT: Answer.SERVED})
        finally:
            mesh.shell.ok("kubectl", "delete", "-n", "shop", "peerauthentication", "test")
        await running.until(Place("shop", "web"), STRICT)


async def test_a_disabled_namespace_serves_nobody_of_the_mesh(mesh: Mesh) -> None:
    async with started(mesh) as running:
        mesh.shell.apply(strict_but("DISABLE", "shop"))
        try:
            await running.until(Place("shop", "web"), {**dict.fromkeys(Probe, Answer.ENDED), Probe.PLAINTEXT: Answer.SERVED})
        finally:
            mesh.shell.ok("kubectl", "delete", "-n", "shop", "peerauthentication", "test")
        await running.until(Place("shop", "web"), STRICT)


async def test_a_pod_that_cannot_answer_is_silent_and_proves_nothing(mesh: Mesh) -> None:
    pod, _ = web("legacy", "blocked")
    # Its answers to other pods have nowhere to go.
    network = ipaddress.ip_network(f"{mesh.target(Place('legacy', 'web')).ip}/24", strict=False)
    routes = [f"busybox ip route add blackhole {half}" for half in network.subnets()]
    block = {"name": "block", "image": pins.APP_IMAGE, "imagePullPolicy": "Never", "command": ["/bin/sh", "-ec", "; ".join(routes)]}
    pod["spec"]["initContainers"] = [{**block, "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}]
    mesh.shell.apply(pod)
    mesh.shell.ok("kubectl", "wait", "-n", "legacy", "pod/blocked", "--for=jsonpath={.status.phase}=Running", "--timeout=60s")
    target = mesh.target(Place("legacy", "blocked"))
    async with started(mesh) as running:
        began = anyio.current_time()
        found = await running.prober.probe([target])
        took = anyio.current_time() - began
    assert not found.problem
    assert {(seen.answer, seen.words) for seen in found.seen[target]} == {(Answer.SILENT, "no connection within 2 s")}
    # Where no connection can be made, the three other probes are not tried: with them it takes 8 s.
    assert took < 4 * 2
    mesh.shell.ok("kubectl", "delete", "-n", "legacy", "pod", "blocked", "--wait=false")


async def test_a_proxy_that_hangs_is_silent(mesh: Mesh) -> None:
    async with started(mesh) as running:
        with stopped(mesh.shell.cluster, "web"):
            answers = await running.answers(Place("shop", "web"))
        assert set(answers.values()) == {Answer.SILENT}, running.seen
        assert running.seen[Probe.PLAINTEXT].words == "connected, but neither an answer nor a close came"


@contextmanager
def stopped(cluster: Cluster, pod: str) -> Iterator[None]:
    """Stop the Envoy of a pod for a while."""
    wanted = f"\0POD_NAME={pod}\0".encode()
    found = [
        int(process.name)
        for process in pod_processes(cluster)
        if read_process(process / "comm") == b"envoy\n" and wanted in b"\0" + read_process(process / "environ")
    ]
    assert found
    send(signal.SIGSTOP, *found)
    try:
        yield
    finally:
        send(signal.SIGCONT, *found)


def send(number: signal.Signals, *pids: int) -> None:
    subprocess.run(["kill", f"-{number.name}", *map(str, pids)], check=True)


async def test_who_shows_a_certificate_of_another_root_is_no_server_of_the_mesh(mesh: Mesh) -> None:
    foreign = Foreign()
    spaces = namespace("foreign", **{"istio-injection": "enabled"})
    mesh.start(spaces, *foreign.objects("stranger", trusts_anyone=False), *foreign.objects("gullible", trusts_anyone=True))
    async with started(mesh) as running:
        answers = await running.answers(Place("foreign", "stranger"), 9443)
        assert answers == {**REFUSED, Probe.MESHED: Answer.REFUSED}, running.seen
        assert running.seen[Probe.MESHED].words == "the mesh's client refuses the server's certificate"
        assert {seen.identity for seen in running.seen.values()} == {""}
        # Who believes anyone is seen to.
        answers = await running.answers(Place("foreign", "gullible"), 9443)
        assert answers == {**dict.fromkeys(Probe, Answer.REFUSED), Probe.ANONYMOUS: Answer.SERVED, Probe.FOREIGN: Answer.SERVED}
    mesh.shell.ok("kubectl", "delete", "namespace", "foreign", "--wait=false")


@contextmanager
def changed(mesh: Mesh, name: str, key: str, change: Callable[[str], str]) -> Iterator[None]:
    """A ConfigMap of istiod's with one entry changed, for a while."""
    path = ("-n", "istio-system", "configmap", name)
    before = json.loads(mesh.shell.ok("kubectl", "get", *path, "-o", "json"))["data"][key]
    after = change(before)
    assert after != before
    mesh.shell.ok("kubectl", "patch", *path, "--patch", json.dumps({"data": {key: after}}))
    try:
        yield
    finally:
        mesh.shell.ok("kubectl", "patch", *path, "--patch", json.dumps({"data": {key: before}}))


async def test_a_mesh_of_tls_1_3_alone_is_proven_too(mesh: Mesh) -> None:
    with changed(mesh, "istio", "mesh", lambda text: f"{text}\nmeshMTLS:\n  minProtocolVersion: TLSV1_3\n"):
        async with started(mesh) as running:
            with anyio.move_on_after(30):
                while running.seen.get(Probe.MESHED, Seen(Probe.MESHED, Answer.FAILED)).words != "TLSv1.3":
                    answers = await running.answers(Place("shop", "web"))
            assert answers == STRICT, running.seen
            assert running.seen[Probe.MESHED].words == "TLSv1.3"


async def test_an_image_that_is_nowhere_is_a_problem_in_seconds_and_nothing_stays(
    mesh: Mesh, until_true: Callable[[Callable[[], bool]], None]
) -> None:
    def missing(text: str) -> str:
        return text.replace('"image": "proxyv2"', '"image": "no-such-proxy"')

    def is_missing() -> bool:
        return any("no-such-proxy" in image for image in injected_images(mesh.shell, "shop"))

    with changed(mesh, "istio-sidecar-injector", "values", missing):
        # istiod takes a moment to read it.
        until_true(is_missing)
        began = anyio.current_time()
        async with probes(mesh.session(), print) as prober:
            took = anyio.current_time() - began
    assert "no-such-proxy" in prober.problem
    assert "ErrImagePull" in prober.problem or "ImagePullBackOff" in prober.problem
    # A pod that may still start is given 45 s.
    assert took < 30
    until_true(lambda: not mesh.namespaces())
    until_true(lambda: not is_missing())


async def test_without_injection_there_is_a_problem_and_nothing_stays(mesh: Mesh, until_true: Callable[[Callable[[], bool]], None]) -> None:
    name = "istio-sidecar-injector"
    before = mesh.shell.ok("kubectl", "get", "mutatingwebhookconfiguration", name, "-o", "json")
    mesh.shell.ok("kubectl", "delete", "mutatingwebhookconfiguration", name)
    try:
        async with probes(mesh.session(), print) as prober:
            assert "the injection webhook did not inject a pod" in prober.problem
            found = await prober.probe([WireTarget(Place("shop", "web"), "192.0.2.1", 80)])
            assert found.seen == {}
            assert found.problem == prober.problem
    finally:
        mesh.shell.apply({key: value for key, value in json.loads(before).items() if key != "status"})
    until_true(lambda: not mesh.namespaces())


async def test_a_killed_run_is_cleaned_up_by_the_next_one(mesh: Mesh, until_true: Callable[[Callable[[], bool]], None]) -> None:
    argv = [sys.executable, "-c", HANGING, str(mesh.shell.cluster.kubeconfig), str(mesh.folder)]
    async with await anyio.open_process(argv, cwd=REPOSITORY) as process:
        assert process.stdout
        left = (await process.stdout.receive()).decode().strip()
        process.kill()
    assert left in mesh.namespaces()
    async with started(mesh):
        until_true(lambda: left not in mesh.namespaces())


async def test_the_rights_that_are_named_are_enough(mesh: Mesh, tmp_path: Path) -> None:
    rules = [
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "create", "delete"]},
        {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["create"]},
        {"apiGroups": ["networking.istio.io"], "resources": ["sidecars", "envoyfilters"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "create", "get", "delete"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["create", "get"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["services"], "verbs": ["list"]},
        {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
            "verbs": ["list"],
        },
    ]
    rbac = "rbac.authorization.k8s.io"
    account = {"kind": "ServiceAccount", "name": "prober", "namespace": "default"}
    mesh.shell.apply(
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": "prober"}, "rules": rules},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "prober", "namespace": "default"}},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "prober"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "prober"},
            "subjects": [account],
        },
    )
    config = json.loads(mesh.shell.ok("kubectl", "config", "view", "--raw", "-o", "json"))
    config["users"][0]["user"] = {"token": mesh.shell.ok("kubectl", "create", "token", "prober").strip()}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    async with started(mesh, kubeconfig) as running:
        assert await running.answers(Place("shop", "web")) == STRICT, running.seen
