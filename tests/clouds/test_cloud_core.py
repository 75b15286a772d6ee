"""What all managed clusters share: how they are named, how credentials reach our clients and other people's tools."""

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest

from meshinstall.adapters.cloud.access import reach
from meshinstall.adapters.cloud.exec_kubeconfig import credential_command
from meshinstall.checks.clouds.judge import judge
from meshinstall.cli.output import exec_credential
from meshinstall.cli.output.cluster_tables import listing_json, listing_text
from meshinstall.config.project import load_project
from meshinstall.config.reference import named
from meshinstall.config.resolve import resolve
from meshinstall.engine.mesh.find_meshes import find_meshes
from meshinstall.engine.planning import make_plan
from meshinstall.engine.session import CloudSide
from meshinstall.errors import ClusterError, ConfigError, UnauthorizedError, UnreachableError, UsageError
from meshinstall.model.cluster import (
    Caller,
    Cloud,
    CloudCluster,
    ClusterRef,
    Credential,
    Endpoint,
    EndpointKind,
    Listing,
    MeshFound,
    Unread,
)
from meshinstall.model.foreign_text import cleaned, plain
from meshinstall.model.plan import Plan
from meshinstall.model.request import Request
from meshinstall.wiring import provider
from tests.clouds.fake_provider import AUTHORITY, PLANTED, SHOP, FakeProvider
from tests.fake_kube import REVIEWS, allow_everything
from tests.fakes import World

SCHEMA = Path(__file__).parents[2] / "docs/schemas/clusters.json"


def test_our_clients_share_one_credential() -> None:
    cloud = FakeProvider()
    way = reach(SHOP, cloud)
    assert way.tokens is not None
    assert [way.tokens.get() for _ in range(3)] == [f"{PLANTED}-0"] * 3
    assert way.config.server == "https://127.0.0.1:1"
    assert way.config.authority == AUTHORITY
    assert way.config.certificate is None
    assert PLANTED not in repr(way)


def test_a_token_near_its_end_is_renewed_once_for_sixteen_threads() -> None:
    cloud = FakeProvider(life=timedelta(0))
    way = reach(SHOP, cloud)
    assert way.tokens is not None
    assert way.tokens.get() == f"{PLANTED}-0"
    cloud.life = timedelta(minutes=14)
    together, seen = threading.Barrier(16), set[str]()

    def ask() -> None:
        together.wait()
        assert way.tokens is not None
        seen.add(way.tokens.get())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {f"{PLANTED}-1"}
    assert len(cloud.given) == 2


def test_a_client_certificate_stays_in_memory() -> None:
    way = reach(SHOP, FakeProvider(certificate=True))
    assert way.tokens is None
    assert way.config.certificate is not None
    assert way.config.key is not None
    assert b"PRIVATE" in way.config.key
    assert "PRIVATE" not in repr(way)


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        (replace(SHOP, status="CREATING", endpoint=None), "is CREATING and has no API server yet"),
        (replace(SHOP, endpoint=Endpoint("http://10.0.0.1", AUTHORITY, EndpointKind.PUBLIC)), "not an https address"),
        (replace(SHOP, endpoint=Endpoint("file:///etc/passwd", AUTHORITY, EndpointKind.PUBLIC)), "not an https address"),
    ],
)
def test_no_credential_is_made_for_what_is_no_api_server(cluster: CloudCluster, said: str) -> None:
    cloud = FakeProvider()
    with pytest.raises(ClusterError, match=said):
        reach(cluster, cloud)
    assert cloud.given == []


@pytest.mark.parametrize(
    ("info", "version"),
    [
        ("", "client.authentication.k8s.io/v1"),
        ('{"apiVersion": "client.authentication.k8s.io/v1"}', "client.authentication.k8s.io/v1"),
        ('{"apiVersion": "client.authentication.k8s.io/v1beta1", "spec": {"interactive": true}}', "client.authentication.k8s.io/v1beta1"),
    ],
)
def test_a_credential_is_of_the_version_that_is_asked_for(info: str, version: str) -> None:
    ends = datetime(2026, 11, 21, 12, 30, 5, 999, tzinfo=UTC)
    assert json.loads(exec_credential.document(Credential("t", expires=ends), exec_credential.wanted(info))) == {
        "apiVersion": version,
        "kind": "ExecCredential",
        "status": {"expirationTimestamp": "2026-11-21T12:30:05Z", "token": "t"},
    }


@pytest.mark.parametrize("info", ["{", "[]", "{}", '{"apiVersion": "client.authentication.k8s.io/v1alpha1"}', '{"apiVersion": 1}'])
def test_another_version_is_refused(info: str) -> None:
    with pytest.raises(UsageError):
        exec_credential.wanted(info)


def test_a_certificate_is_printed_without_a_time() -> None:
    printed = json.loads(exec_credential.document(Credential(certificate="c", key="k"), exec_credential.wanted("")))
    assert printed["status"] == {"clientCertificateData": "c", "clientKeyData": "k"}


def test_options_of_another_cloud_are_refused() -> None:
    assert named(Cloud.EKS, {"name": "a", "region": "r", "roleArn": "x"}) == ClusterRef(
        Cloud.EKS, "a", selectors={"region": "r", "role_arn": "x"}
    )
    with pytest.raises(ConfigError, match="--resource-group: does not apply to --cloud eks"):
        named(Cloud.EKS, {"name": "a", "resourceGroup": "g"})
    with pytest.raises(ConfigError, match="--aws-profile: does not apply to --cloud gke"):
        named(Cloud.GKE, {"profile": "work"})


def test_every_option_that_the_plugin_is_given_is_one_that_it_takes() -> None:
    ref = ClusterRef(Cloud.GKE, "a", selectors={"project": "p", "location": "l", "endpoint": "dns", "login": "entra"})
    command = credential_command(ref)
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    for word in command[5:]:
        assert word.partition("=")[0] in done.stdout


def test_a_missing_sdk_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for cloud, module, extra in ((Cloud.EKS, "botocore", "aws"), (Cloud.AKS, "azure.identity", "azure"), (Cloud.GKE, "google.auth", "gcp")):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, module, None)
            with pytest.raises(UsageError, match="is not installed") as caught:
                provider(ClusterRef(cloud, "a"), print)
        assert caught.value.hint == f"pip install 'meshinstall[{extra}]'"
    with pytest.raises(UsageError, match="--cloud local has no cloud API") as caught:
        provider(ClusterRef(Cloud.LOCAL), print)
    assert caught.value.hint == "--cloud is one of aks, eks, gke"


_SDKS = {Cloud.EKS: {"botocore"}, Cloud.AKS: {"azure"}, Cloud.GKE: {"google", "grpc"}}
_HEAVY = {"kubernetes", "anyio", "pydantic", "rich", "websocket", "pyhelm3"}


def loaded_by(cloud: Cloud, *flags: str) -> set[str]:
    """Top-level packages in a plugin that fails, as it has no credentials."""
    code = (
        "import sys\n"
        f"sys.argv = ['meshinstall', 'credential', '--cloud={cloud}', '--cluster=a', *{flags!r}]\n"
        "from meshinstall.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('\\n'.join({name.partition('.')[0] for name in sys.modules}))"
    )
    env = {
        "PATH": "/nowhere",
        "HOME": "/nowhere",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_PLANTED_ACCESS_KEY": "b",
    }
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_a_plugin_loads_its_own_cloud_and_nothing_heavy() -> None:
    loaded = loaded_by(Cloud.EKS, "--region=eu-west-1")
    assert "botocore" in loaded
    others = {package for cloud, packages in _SDKS.items() if cloud is not Cloud.EKS for package in packages}
    assert not loaded & (others | _HEAVY)


def test_a_cloud_is_judged_by_its_own_rules(tmp_path: Path) -> None:
    for cloud in (Cloud.AKS, Cloud.EKS, Cloud.GKE):
        desired = resolve(Request(environment="dev", cloud=cloud), load_project(None, {}, tmp_path))
        unread = replace(SHOP, cloud=cloud, unread={"something": Unread("some:Permission")})
        found = [finding for finding in judge(unread, [], desired) if finding.title.startswith("NOT PROVEN")]
        assert {finding.code[:3] for finding in found} == {cloud.name}
    assert judge(replace(SHOP, cloud=Cloud.LOCAL), [], desired) == ()


@pytest.mark.parametrize(
    ("text", "said"), [("a\x1b[2Jb\x07\n\tc", "a[2Jb c"), ("x" * 10_000, "x" * 300), ("\u202eevil", "evil"), (ValueError("a\nb"), "a b")]
)
def test_what_a_cloud_says_cannot_move_the_cursor(text: object, said: str) -> None:
    assert plain(text) == said


@dataclass
class Cloudy(FakeProvider):
    """A provider of a cluster that may not be read, or whose cloud does not answer."""

    silent: bool = False
    told: list[str] = field(default_factory=list)

    def inspect(self, cluster: CloudCluster) -> CloudCluster:
        """One thing is not known."""
        if self.silent:
            raise UnreachableError("the cloud is silent")
        return replace(cluster, unread={"versions": Unread("eks:DescribeClusterVersions")}, caller=Caller("ann", "AWS_PROFILE"))


def planned(tmp_path: Path, world: World, cloud: Cloudy) -> Plan:
    desired = resolve(Request(environment="dev", cloud=Cloud.EKS), load_project(None, {}, tmp_path))
    session = replace(world.session(), cloud=CloudSide(cloud, SHOP), tell=cloud.told.append)
    return anyio.run(make_plan, desired, session)


def test_what_the_cloud_says_joins_the_plan(tmp_path: Path) -> None:
    world = World()
    world.kube.answers[REVIEWS] = allow_everything
    found = planned(tmp_path, world, cloud := Cloudy())
    assert "EKS013" in {finding.code for finding in found.findings}
    assert cloud.told == ["to eks as ann (AWS_PROFILE)"]


def test_a_cluster_that_lets_nobody_in_is_explained_by_its_cloud(tmp_path: Path) -> None:
    world = World()
    world.kube.refusals["GET /version"] = UnauthorizedError("who are you?", "log in")
    with pytest.raises(UnauthorizedError, match="who are you") as caught:
        planned(tmp_path, world, Cloudy())
    assert caught.value.hint.splitlines()[0] == "log in"
    assert "EKS013: NOT PROVEN" in caught.value.hint
    assert "the cloud was asked as ann (AWS_PROFILE)" in caught.value.hint
    with pytest.raises(UnauthorizedError, match="who are you") as caught:
        planned(tmp_path, world, Cloudy(silent=True))
    assert caught.value.hint == "log in"


def test_what_is_kept_of_an_answer_is_plain() -> None:
    found = cleaned({"a\x1b": [{"b": "c\x1b[2J"}, 3, True, None], "long": "x" * 10_000})
    assert found == {"a": [{"b": "c[2J"}, "3", True, None], "long": "x" * 300}


class FakeKube:
    """The part of ports.Kube that a look for meshes uses."""

    def __init__(self, *images: str, error: ClusterError | None = None) -> None:
        self._images = images
        self._error = error

    async def list(self, path: str, **_: Any) -> Any:
        """A webhook configuration that leads to the istiods; one that only looks like one is elsewhere."""
        if self._error:
            raise self._error
        service = {"namespace": "istio-system", "name": "istiod"}
        labels = {"app": "istiod"}
        match path.rpartition("/")[2]:
            case "mutatingwebhookconfigurations" if self._images:
                hook = {"name": "object.sidecar-injector.istio.io", "clientConfig": {"service": service}}
                yield {"metadata": {"name": "istio-sidecar-injector"}, "webhooks": [hook]}
            case "services":
                yield {"metadata": service, "spec": {"selector": labels}}
            case "deployments":
                assert "istio-system" in path
                for image in self._images:
                    pods = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "discovery", "image": image}]}}
                    yield {"metadata": {"namespace": "istio-system", "name": image[:3]}, "spec": {"template": pods}}


def found_in(*kubes: FakeKube, clusters: Sequence[CloudCluster] = ()) -> list[MeshFound]:
    given = iter(kubes)
    reach: Any = lambda _: next(given)  # noqa: E731 - a function of its own would need the whole port
    return anyio.run(find_meshes, clusters or [SHOP] * len(kubes), reach)


def test_meshes_are_found_by_their_istiods() -> None:
    one = FakeKube("docker.io/istio/pilot:1.31.0", "registry.example:5000/istio/pilot:1.30.2-distroless@sha256:00")
    assert found_in(one) == [MeshFound(("1.30.2-distroless", "1.31.0"))]
    assert found_in(FakeKube()) == [MeshFound(())]
    assert found_in(FakeKube(error=UnreachableError("no way there"))) == [MeshFound((), "no way there")]
    assert found_in(clusters=[replace(SHOP, status="CREATING", ready=False)]) == [MeshFound((), "the cluster is CREATING")]


def test_clusters_are_listed_for_people_and_for_programs() -> None:
    listing = Listing((SHOP, replace(SHOP, name="new", status="CREATING", ready=False, endpoint=None)), {"eu-north-1": "not allowed"})
    meshes = [MeshFound(("1.31.0",)), MeshFound((), "the cluster is CREATING")]
    assert listing_text(listing, meshes).splitlines() == [
        "CLUSTER  LOCATION   KUBERNETES  STATUS    ENDPOINT  MESH",
        "shop     eu-west-1  1.36        ACTIVE    public    istiod 1.31.0",
        "new      eu-west-1  1.36        CREATING  none      unknown: the cluster is CREATING",
        "✗ eu-north-1: not allowed",
    ]
    document = listing_json(listing, meshes)
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    document = listing_json(replace(listing, caller=Caller("ann", "AWS_PROFILE")), meshes)
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert document["caller"] == {"name": "ann", "chosenBy": "AWS_PROFILE"}
    assert document["failures"] == [{"place": "eu-north-1", "reason": "not allowed"}]
    assert listing_text(Listing(()), []) == "No cluster is visible to you."
