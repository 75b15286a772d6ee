"""Situations in which a PASS was wrong, on a real mesh: all at once, judged by one look before and one after they were mended."""

from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.cluster import Cluster
from testbed.waiting import until
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Program, meshinstall
from tests.cluster.situations import Right, Situation, peer
from tests.cluster.truth import SITUATIONS
from tests.cluster.verify_mesh import Said, mend, verify

pytestmark = pytest.mark.cluster

# The node is small, and each pod has a proxy.
SMALL = ("--set", "istiod.global.proxy.resources.requests.cpu=5m", "--set", "istiod.global.proxy.resources.requests.memory=20Mi")
BY_NAME = {one.name: one for one in SITUATIONS}


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell."""
    return Shell(own_module_cluster, (build_part("kubectl"),))


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster) -> Program:
    """Meshinstall for the control plane alone."""
    return meshinstall(own_module_cluster).having("--profile", "minimal")


@pytest.fixture(scope="module")
def before(program: Program, shell: Shell, build_part: Callable[[str], Path]) -> Said:
    """What is said of all situations at once."""
    shell.ok("kubectl", "apply", "--server-side", "-f", str(build_part("gateway-api") / "crds.yaml"))
    program.up(*SMALL, "--no-verify")
    objects = [one for situation in SITUATIONS for one in situation.objects]
    shell.apply(*(one for one in objects if one["kind"] == "Namespace"))
    shell.apply(*(one for one in objects if one["kind"] != "Namespace"))
    _settle(shell)
    return verify(Program(program.env))


@pytest.fixture(scope="module")
def after(before: Said, program: Program, shell: Shell) -> Said:
    """What is said when the advice of the findings was followed."""
    for situation in SITUATIONS:
        for code, found in situation.advice:
            mend(shell, before.finding(code, found)["hint"])
    shell.apply(*(one for situation in SITUATIONS for one in situation.mend))
    _settle(shell)
    # That a headless Service has no plain pod any more istiod tells clients with its next push to all.
    shell.apply(peer("headless/default", "STRICT"))
    look = ("--namespace", "headless", "--read-only")
    until(lambda: _clients(verify(Program(program.env), *look), "headless") == {"PASS"}, 60, lambda: "clients still send plaintext")
    return verify(Program(program.env))


@pytest.mark.parametrize("name", BY_NAME)
def test_what_is_wrong_is_said_of_the_side_that_it_is_on(before: Said, name: str) -> None:
    situation = BY_NAME[name]
    _check(before, situation, situation.right)
    for code, found in situation.findings:
        before.finding(code, found)


@pytest.mark.parametrize("name", BY_NAME)
def test_what_was_mended_passes(after: Said, name: str) -> None:
    _check(after, BY_NAME[name], BY_NAME[name].mended)


def _check(said: Said, situation: Situation, rights: tuple[Right, ...]) -> None:
    """Rows and findings are right; clients of other situations may spoil a row, but not name an object of this one."""
    spaces = {one["metadata"]["name"] for one in situation.objects if one["kind"] == "Namespace"}
    rows = {(row["workload"], row["port"]): row for row in said.document["ports"] if row["namespace"] in spaces}
    for right in rights:
        row = rows[right.workload, right.port]
        assert row["server"] == right.server, row
        own = [one for one in row["evidence"] if one["source"] == "client" and _is_of(one["object"], spaces)]
        assert (right.clients == "FAIL") == any(one["verdict"] == "FAIL" for one in own), row
        if right.clients == "PASS" and not _spoilers(said):
            assert row["clients"] == "PASS", row
        for code, found in right.findings:
            said.finding(code, found)


def _clients(said: Said, namespace: str) -> set[str]:
    return {port["clients"] for port in said.document["ports"] if port["namespace"] == namespace and port["port"]}


def _spoilers(said: Said) -> bool:
    """Whether clients of some situation send plaintext everywhere."""
    return bool({"MTL014", "MTL016", "MTL017"} & said.codes())


def _is_of(found: str, spaces: set[str]) -> bool:
    return found.partition(" ")[2].partition("/")[0] in spaces


def _settle(shell: Shell) -> None:
    """Wait until every workload is as it should be, and no older pod is left."""

    def unsettled() -> str:
        pods = shell.cluster.api().get("/api/v1/pods")["items"]
        return ", ".join(pod["metadata"]["name"] for pod in pods if not _is_ready(pod))

    for kind in ("deployment", "statefulset"):
        names = shell.ok("kubectl", "get", kind, "-A", "-o", "jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {end}")
        for name in names.split():
            where, _, one = name.partition("/")
            shell.ok("kubectl", "rollout", "status", "-n", where, f"{kind}/{one}", "--timeout=200s", seconds=220)
    until(lambda: not unsettled(), 60, lambda: f"not ready: {unsettled()}")


def _is_ready(pod: dict[str, object]) -> bool:
    metadata, status = pod["metadata"], pod["status"]
    assert isinstance(metadata, dict)
    assert isinstance(status, dict)
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", ()))
    return ready and "deletionTimestamp" not in metadata
