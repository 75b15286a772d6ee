"""``meshinstall up --cloud aks --env staging`` on an API server that takes Entra ID's tokens as AKS does, and no other."""

import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import urllib3
from azure.mgmt.containerservice import models

from testbed import cluster as testbed_cluster
from testbed.clouds.access import make_administrators
from testbed.clouds.aks import FakeAzure
from testbed.clouds.aks_arm import USER_ROLE
from testbed.clouds.aks_entra import SERVER_APP, Entra, Principal
from testbed.clouds.aks_shop import (
    GROUP,
    NAME,
    PIPELINE,
    SUBSCRIPTION,
    TENANT,
    add_cluster,
    certificate_kubeconfig,
    entra_kubeconfig,
    managed_cluster,
    shop,
)
from testbed.cluster import Cluster
from testbed.pki import KeyPair
from testbed.shell import write_configuration
from testbed.spec import Nodes
from testbed.waiting import until
from tests.clouds.aks_world import person
from tests.clouds.people import Person, assert_secret, watch
from tests.cluster.meshinstall_run import Done

pytestmark = pytest.mark.cluster

UP = ("up", "--cloud", "aks", "--env", "staging", "--yes")
PLAN = ("plan", "--cloud", "aks", "--env", "staging")
ANNA = Principal(oid="99999999-0000-0000-0000-000000000003", upn="anna@example.org")
STRANGER = replace(PIPELINE, oid="99999999-0000-0000-0000-000000000009", client_id="99999999-0000-0000-0000-00000000dddd", groups=())


HARMLESS = f"--resource-group={GROUP}"


@dataclass(frozen=True, slots=True)
class World:
    """A cluster, the Azure that knows it, and who works with it."""

    cluster: Cluster
    azure: FakeAzure
    engineer: Person

    @property
    def authority(self) -> bytes:
        """What vouches for the API server."""
        return (self.cluster.state / "pki/ca.crt").read_bytes()

    @contextmanager
    def being(self, kubeconfig: bytes | None = None, **settings: Any) -> Iterator[None]:
        """The cluster with another kubeconfig or other settings in Azure, for a while."""
        known = self.azure.arm.clusters[0]
        before = known.kubeconfig, known.model
        known.kubeconfig, known.model = kubeconfig or known.kubeconfig, managed_cluster(**settings)
        yield
        known.kubeconfig, known.model = before

    def ask(self, token: str) -> int:
        """The status that the API server has for a token."""
        pool = urllib3.PoolManager(ca_certs=str(self.cluster.state / "pki/ca.crt"))
        url = f"{self.cluster.spec.server}/api/v1/namespaces"
        return pool.request("GET", url, headers={"Authorization": f"Bearer {token}"}, timeout=10).status


@pytest.fixture(scope="module")
def world(build_part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All of it, for the whole module."""
    name = f"aks-{os.getpid()}"
    with shop(tmp_path_factory.mktemp("azure")).running() as azure:
        azure.arm.allow(ANNA, *USER_ROLE)
        azure.entra.principals.append(STRANGER)
        azure.arm.allow(STRANGER, *USER_ROLE)
        cluster = testbed_cluster.up(name, Nodes.REAL, print, authenticate=azure.authenticate)
        try:
            authority = (cluster.state / "pki/ca.crt").read_bytes()
            add_cluster(azure, entra_kubeconfig(cluster.spec.server, authority))
            make_administrators(cluster.api(), "Group", PIPELINE.groups[0])
            make_administrators(cluster.api(), "User", ANNA.upn)
            staging = {"cloud": "aks", "cluster": {"name": NAME, "resourceGroup": GROUP, "subscription": SUBSCRIPTION}}
            folder = write_configuration(cluster, build_part("charts"), staging=staging)
            path = ":".join([*(str(build_part(part)) for part in ("helm4", "kubectl", "istioctl")), "/usr/bin", "/bin"])
            engineer = person(tmp_path_factory.mktemp("home"), azure, cluster, PATH=path, MESHINSTALL_CONFIG=str(folder))
            found = World(cluster, azure, engineer)
            until(lambda: found.ask(azure.entra.sign(PIPELINE, SERVER_APP)) == 200, 60, lambda: "no token is taken")
            yield found
        finally:
            testbed_cluster.down(name)


@pytest.fixture(scope="module")
def first(world: World) -> Done:
    """The literal command on an empty cluster."""
    return world.engineer.meshinstall(*UP)


def test_up_installs_a_mesh_on_an_aks_cluster(first: Done, world: World) -> None:
    assert first.status == 0, first
    assert "NOT PROVEN" not in first.err
    assert "AKS0" not in first.err
    again = world.engineer.meshinstall(*UP)
    assert again.status == 0, again
    assert "Nothing to do." in again.err, again
    assert "Everything is Current." in world.engineer.meshinstall("status", "--cloud", "aks", "--env", "staging").out


def test_the_api_server_takes_the_right_tokens_only(world: World) -> None:
    entra = world.azure.entra
    assert world.ask(entra.sign(PIPELINE, SERVER_APP)) == 200
    assert world.ask(entra.sign(STRANGER, SERVER_APP)) == 403
    assert world.ask(entra.sign(PIPELINE, "https://management.azure.com")) == 401
    # The same tenant's name, signed by another.
    assert world.ask(Entra(TENANT, PIPELINE).sign(PIPELINE, SERVER_APP)) == 401
    try:
        entra.skew = -7200
        assert world.ask(entra.sign(PIPELINE, SERVER_APP)) == 401
        entra.skew = 7200
        assert world.ask(entra.sign(PIPELINE, SERVER_APP)) == 401
    finally:
        entra.skew = 0


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize(
    "command",
    [
        ("kubectl", "get", "deployment", "istiod", "-n", "istio-system"),
        ("helm", "status", "istiod", "-n", "istio-system"),
        ("istioctl", "proxy-status"),
    ],
)
def test_the_kubeconfig_serves_other_tools(world: World, tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "kubeconfig"
    done = world.engineer.meshinstall("kubeconfig", "--cloud", "aks", "--env", "staging", "--file", str(file))
    assert done.status == 0, done
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    used = world.engineer.having(KUBECONFIG=str(file)).run(*command)
    assert used.status == 0, used


@pytest.mark.parametrize(("who", "name"), [(PIPELINE, PIPELINE.oid), (ANNA, ANNA.upn)], ids=["application", "user"])
def test_the_cluster_knows_the_caller_as_aks_does(world: World, who: Principal, name: str) -> None:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": world.azure.entra.sign(who, SERVER_APP)}}
    user = world.cluster.api().post("/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]["user"]
    assert user["username"] == name
    assert set(user["groups"]) == {*who.groups, "system:authenticated"}


def test_tokens_are_renewed_in_the_middle_of_a_run(first: Done, world: World) -> None:
    assert first.status == 0
    entra = world.azure.entra
    assert world.engineer.meshinstall("down", "--cloud", "aks", "--env", "staging", "--yes").status == 0
    entra.life, begun = 8, len(entra.issued)
    try:
        done = world.engineer.meshinstall(*UP)
    finally:
        entra.life = 3600
    assert done.status == 0, done
    ours = [token for token in entra.issued[begun:] if SERVER_APP in _audience(token)]
    assert len(ours) > 2
    # What it began with was worth nothing at the end.
    assert until(lambda: world.ask(ours[0]) == 401, 30, lambda: "an old token is still taken")


def _audience(token: str) -> str:
    import jwt

    return str(jwt.decode(token, options={"verify_signature": False})["aud"])


def test_a_cluster_without_entra_is_reached_by_its_certificate(first: Done, world: World, tmp_path: Path) -> None:
    assert first.status == 0
    folder = world.cluster.state / "pki"
    pair = KeyPair((folder / "admin.crt").read_bytes(), (folder / "admin.key").read_bytes())
    given = certificate_kubeconfig(world.cluster.spec.server, world.authority, pair)
    secrets = [pair.key.decode().splitlines()[1], PIPELINE.secret, "planted-static-token-51c2"]
    engineer = world.engineer.having(HOME=str(tmp_path), TMPDIR=str(tmp_path), XDG_STATE_HOME=str(tmp_path))
    with world.being(given, aad_profile=None), watched([*secrets, HARMLESS], tmp_path) as seen:
        done = engineer.meshinstall(*UP, "--set-string", "istio-ingress.podAnnotations.certificate=1")
    assert done.status == 0, done
    assert "AKS013" in done.err
    written = "".join(file.read_text(errors="replace") for file in tmp_path.rglob("*") if file.is_file())
    # What is no secret was seen on the plugin's command line, so the others would have been.
    assert seen.found == {HARMLESS}
    assert "istio-ingress" in written
    assert not [secret for secret in secrets if secret in f"{written}{done.out}{done.err}"]


@dataclass(slots=True)
class Seen:
    """What was seen of what was looked for."""

    found: set[str]


@contextmanager
def watched(secrets: list[str], folder: Path) -> Iterator[Seen]:
    """Look at every command line of this machine, and every file in ``folder``, for secrets that have no place there."""
    seen, ended = Seen(set()), threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            # os.walk goes on when a folder vanishes under it.
            written = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
            for file in (*Path("/proc").glob("[0-9]*/cmdline"), *written):
                text = _text(file)
                seen.found |= {secret for secret in secrets if secret in text}

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace") if file.is_file() else ""
    except OSError:
        return ""


def test_a_cluster_that_cannot_be_reached_is_explained(world: World) -> None:
    access = models.ManagedClusterAPIServerAccessProfile(enable_private_cluster=True, disable_run_command=True)
    nowhere = entra_kubeconfig("https://127.0.0.1:1", world.authority)
    with world.being(nowhere, api_server_access_profile=access):
        done = world.engineer.meshinstall(*PLAN)
    assert done.status == 1
    assert "AKS003: the cluster is private" in done.err
    assert "az aks command invoke is turned off too" in done.err


def test_the_add_on_stops_up(world: World) -> None:
    with world.being(service_mesh_profile=models.ServiceMeshProfile(mode="Istio")):
        done = world.engineer.meshinstall(*UP, "--set", "istiod.env.ANOTHER=1")
    assert done.status == 1
    assert "AKS005" in done.err
    assert f"az aks mesh disable --name {NAME}" in done.err


def test_who_has_no_role_in_the_cluster_is_told_what_to_do(world: World) -> None:
    stranger = world.engineer.having(AZURE_CLIENT_ID=STRANGER.client_id)
    done = stranger.meshinstall(*PLAN)
    assert done.status == 1
    assert "forbidden" in done.err.lower()


@pytest.mark.usefixtures("first")
def test_discovery_finds_the_mesh(world: World) -> None:
    done = world.engineer.meshinstall("clusters", "--cloud", "aks", "-o", "json")
    assert done.status == 0, done
    (found,) = json.loads(done.out)["clusters"]
    assert found["name"] == NAME, found
    assert found["endpoint"]["kind"] == "public", found
    assert found["mesh"]["istiodVersions"] == ["1.31.0"], found


def test_no_secret_is_written_shown_or_passed_on(world: World, tmp_path: Path) -> None:
    argv = (*UP, "--set-string", "istio-ingress.podAnnotations.example=secrets")
    traces = watch(world.engineer, "aks", tmp_path / "log", *argv)
    assert world.azure.entra.issued
    assert_secret(traces, (PIPELINE.secret, *world.azure.entra.issued), "aks", Path(world.engineer.env["HOME"]), tmp_path)


def test_nothing_is_left_behind(first: Done, world: World) -> None:
    assert first.status == 0
    assert not list(Path(world.engineer.env["TMPDIR"]).glob("meshinstall-*"))
