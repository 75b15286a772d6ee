"""Credential plugins and pipes: the real kubectl and we run the same program with the same words, as often as each other."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.test_ways import TOKEN, V1, V1BETA1, Place, a_place, given, runs
from tests.contracts.ways import PATH, Seen, Way, by_kubectl, by_us

pytestmark = pytest.mark.tools


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with a_place(tmp_path) as found:
        yield found


def told(place: Place, ask: Callable[[], object]) -> list[str]:
    """What a plugin that keeps its environment and arguments saw, run by run."""
    log = place.folder / "told"
    log.unlink(missing_ok=True)
    ask()
    return log.read_text().split("----\n")[:-1]


KEEP = 'printf "%s\\n" "$@" "$FROM" "$KUBERNETES_EXEC_INFO" >>told; echo ---- >>told'
SETTINGS = {"extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a", "deep": [1, {"b": None}]}}]}
INFOS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "without the cluster": ({}, {}),
    "with the cluster": ({"provideClusterInfo": True}, {}),
    "with settings of its own": ({"provideClusterInfo": True}, SETTINGS),
    "with everything": (
        {"provideClusterInfo": True},
        {**SETTINGS, "tls-server-name": "api.example.org", "disable-compression": True},
    ),
}


@pytest.mark.parametrize("version", [V1, V1BETA1])
@pytest.mark.parametrize("name", INFOS)
def test_a_plugin_is_told_the_same(kubectl: Path, place: Place, name: str, version: str) -> None:
    stated, cluster = INFOS[name]
    answer = given(token=TOKEN) | {"apiVersion": version}
    plugin = runs(
        place.plugin(answer, before=f"cd {place.folder}; {KEEP}"),
        apiVersion=version,
        args=["a b", "--flag", ""],
        env=[{"name": "FROM", "value": "kubeconfig"}],
        **stated,
    )
    way = place.config(plugin, cluster)
    servers = [place.server]
    theirs = told(place, lambda: by_kubectl(kubectl, way, servers))
    ours = told(place, lambda: by_us(way, servers))
    assert [parts(one) for one in ours] == [parts(one) for one in theirs]
    assert len(ours) == 1


def parts(text: str) -> tuple[list[str], Any]:
    """Arguments and variables as they are, and the JSON by its value."""
    # That of kubectl ends with a line break.
    lines = text.rstrip("\n").splitlines()
    return lines[:-1], json.loads(lines[-1])


def test_a_proxy_is_told_with_the_cluster(kubectl: Path, place: Place) -> None:
    plugin = runs(place.plugin(given(token=TOKEN), before=f"cd {place.folder}; {KEEP}"), provideClusterInfo=True)
    way = place.config(plugin, {"proxy-url": "http://127.0.0.1:1"})
    theirs, ours = (told(place, ask) for ask in (lambda: by_kubectl(kubectl, way, []), lambda: by_us(way, [])))
    assert parts(ours[0]) == parts(theirs[0])


def piped(place: Place, kind: str) -> Way:
    way = place.config({"token": TOKEN})
    assert way.file
    if kind == "a pipe":
        reader, writer = os.pipe()
        os.write(writer, way.file.read_bytes())
        os.close(writer)
    else:
        reader = os.open(way.file, os.O_RDONLY)
    return Way(Path(f"/dev/fd/{reader}"), {}, (reader,))


@pytest.mark.parametrize("kind", ["a pipe", "an open file"])
def test_a_kubeconfig_may_be_a_descriptor(kubectl: Path, place: Place, kind: str) -> None:
    def through_one(ask: Callable[[Way], object]) -> object:
        way = piped(place, kind)
        found = ask(way)
        os.close(way.descriptors[0])
        return found

    theirs = through_one(lambda way: by_kubectl(kubectl, way, [place.server]))
    assert through_one(lambda way: by_us(way, [place.server])) == theirs == [Seen(PATH, f"Bearer {TOKEN}")]


POD = """
mount -t tmpfs none /run
account=/run/secrets/kubernetes.io/serviceaccount
mkdir -p $account
cp token namespace ca.crt $account
exec "$@"
"""
AS_US = """
import anyio
from meshinstall import wiring
from meshinstall.config.project import load_project
from meshinstall.errors import HelmError
from meshinstall.model.cluster import Cloud, ClusterRef
from meshinstall.model.release import ReleaseKey
from pathlib import Path
import sys

async def ask():
    file = Path(sys.argv[1]) if sys.argv[1:] else None
    session = wiring.open_session(ClusterRef(Cloud.LOCAL, kubeconfig=file), load_project(None, {}, Path.cwd()), print, print)
    await session.kube.get("/api/v1/namespaces/a/pods/b")
    try:
        await session.helm.uninstall(ReleaseKey("jobs", "demo"))
    except HelmError as error:
        print(error)

anyio.run(ask)
"""


def test_in_a_pod_kubectl_we_and_our_helm_are_its_service_account(kubectl: Path, helm4: Path, place: Place) -> None:
    place.file("token", f"{TOKEN}\n")
    place.file("namespace", "jobs")
    place.file("ca.crt", place.authority.cert_pem.bytes())
    environ = {
        "PATH": f"{helm4.parent}:{os.environ['PATH']}",
        "HOME": str(place.folder),
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(place.server.server_port),
    }

    def in_pod(*command: object) -> list[tuple[str, str]]:
        script = ["unshare", "--map-root-user", "--mount", "sh", "-ec", POD, "sh", *command]
        done = subprocess.run([*map(str, script)], cwd=place.folder, env=environ, capture_output=True, text=True, check=False)
        found = [(one.path, one.authorization) for one in place.server.seen]
        place.server.seen.clear()
        assert found, done.stdout + done.stderr
        return found

    theirs = in_pod(kubectl, "get", "--raw", "/api/v1/namespaces/a/pods/b")
    ours = in_pod(sys.executable, "-c", AS_US)
    assert ours[0] == theirs[0] == ("/api/v1/namespaces/a/pods/b", f"Bearer {TOKEN}")
    by_helm = ours[1:]
    assert by_helm
    assert {token for _, token in by_helm} == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("kind", ["a pipe", "an open file"])
def test_helm_gets_what_was_read_of_a_descriptor(helm4: Path, place: Place, kind: str) -> None:
    way = piped(place, kind)
    assert way.file
    environ = {"PATH": f"{helm4.parent}:{os.environ['PATH']}", "HOME": str(place.folder), "TMPDIR": str(place.folder)}
    before = set(place.folder.rglob("*"))
    command = [sys.executable, "-c", AS_US, str(way.file)]
    done = subprocess.run(
        command,
        cwd=place.folder,
        env=environ,
        pass_fds=way.descriptors,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    os.close(way.descriptors[0])
    assert len(place.server.seen) > 1, done.stdout + done.stderr
    assert {one.authorization for one in place.server.seen} == {f"Bearer {TOKEN}"}
    kept = [file for file in set(place.folder.rglob("*")) - before if file.is_file() and TOKEN.encode() in file.read_bytes()]
    assert kept == []


def test_helm_gets_the_credential_of_a_plugin_that_needs_a_terminal(helm4: Path, place: Place) -> None:
    way = place.config({**runs(place.plugin(given(token=TOKEN)), interactiveMode="Always"), "as": "bob"})
    environ = {"PATH": f"{helm4.parent}:{os.environ['PATH']}", "HOME": str(place.folder)}
    controller, terminal = pty.openpty()
    command = [sys.executable, "-c", AS_US, str(way.file)]
    done = subprocess.run(command, cwd=place.folder, env=environ, capture_output=True, text=True, check=False, stdin=terminal)
    os.close(terminal)
    os.close(controller)
    assert len(place.server.seen) > 1, done.stdout + done.stderr
    assert {(one.authorization, one.impersonation) for one in place.server.seen} == {(f"Bearer {TOKEN}", (("impersonate-user", "bob"),))}
