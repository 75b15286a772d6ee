"""An API server that asks the real aws-iam-authenticator who a token is, and meshinstall in front of it."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest

from testbed import cluster as testbed_cluster
from testbed.clouds import eks, eks_account
from testbed.clouds.access import make_administrators
from testbed.clouds.eks_account import ADMIN_ROLE, GROUP, NAME, REGION, account
from testbed.clouds.eks_authenticator import authenticating, webhook
from testbed.clouds.eks_identity import ACCOUNT, Identity
from testbed.cluster import Cluster
from testbed.pki import Authority
from testbed.shell import write_configuration
from testbed.spec import Nodes
from testbed.waiting import until
from tests.clouds.eks_world import person
from tests.clouds.people import Person, assert_secret, watch
from tests.cluster.meshinstall_run import Done

pytestmark = pytest.mark.cluster

SCHEMA = Path(__file__).parents[2] / "docs/schemas/clusters.json"
# A second role that may do everything; how long its sessions last, a test decides.
SHORT = f"arn:aws:iam::{ACCOUNT}:role/short"


@dataclass(frozen=True, slots=True)
class World:
    """A cluster that AWS's authenticator guards, the account that it belongs to, and an engineer."""

    cluster: Cluster
    aws: eks.Aws
    owner: Identity
    engineer: Person

    @property
    def authority(self) -> bytes:
        """Who signed the API server's certificate."""
        return (self.cluster.state / "pki/ca.crt").read_bytes()


@pytest.fixture(scope="module")
def world(build_part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All of it, for the whole module."""
    authority = Authority("testbed-aws")
    name = f"eks-{os.getpid()}"
    program = build_part("eks")
    found = testbed_cluster.up(name, Nodes.REAL, print, authenticate=webhook(authority, "2s"))
    try:
        with eks.serving(eks.Aws()) as aws:
            owner = account(aws, found.spec.server, (found.state / "pki/ca.crt").read_bytes())
            staging = {"cloud": "eks", "cluster": {"name": NAME, "region": REGION, "roleArn": ADMIN_ROLE}}
            folder = write_configuration(found, build_part("charts"), staging=staging)
            path = ":".join([str(build_part("helm4")), str(build_part("kubectl")), str(build_part("istioctl")), os.environ["PATH"]])
            engineer = person(tmp_path_factory.mktemp("home"), aws, owner, PATH=path, MESHINSTALL_CONFIG=str(folder))
            groups = {ADMIN_ROLE: GROUP, SHORT: GROUP}
            with authenticating(found.spec, program, authority, aws.keys, name=NAME, region=REGION, groups=groups):
                make_administrators(found.api(), "Group", GROUP)
                found.api().post(*eks_account.INGRESS_CLASS)
                yield World(found, aws, owner, engineer)
    finally:
        testbed_cluster.down(name)


UP = ("up", "--cloud", "eks", "--env", "staging", "--yes")


@pytest.fixture(scope="module")
def first(world: World) -> Done:
    """The literal command on an empty cluster."""
    return world.engineer.meshinstall(*UP)


def test_up_installs_a_mesh_on_an_eks_cluster(first: Done, world: World) -> None:
    assert first.status == 0, first
    assert "NOT PROVEN" not in first.err
    assert "EKS0" not in first.err
    again = world.engineer.meshinstall(*UP)
    assert again.status == 0, again
    assert "Nothing to do." in again.err, again


@pytest.mark.usefixtures("first")
def test_status_and_discovery_find_the_mesh(world: World) -> None:
    assert "Everything is Current." in world.engineer.meshinstall("status", "--cloud", "eks", "--env", "staging").out
    done = world.engineer.meshinstall("clusters", "--cloud", "eks", f"--region={REGION}", f"--role-arn={ADMIN_ROLE}", "-o", "json")
    assert done.status == 0, done
    document = json.loads(done.out)
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    (found,) = document["clusters"]
    assert found["name"] == NAME
    assert found["endpoint"]["kind"] == "public"
    assert found["mesh"] == {"istiodVersions": ["1.31.0"], "unknown": ""}


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
    done = world.engineer.meshinstall("kubeconfig", "--cloud", "eks", "--env", "staging", "--file", str(file))
    assert done.status == 0, done
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    used = world.engineer.having(KUBECONFIG=str(file)).run(*command)
    assert used.status == 0, used


def test_nothing_is_left_behind(first: Done, world: World) -> None:
    assert first.status == 0
    assert not list(Path(world.engineer.env["TMPDIR"]).glob("meshinstall-*"))


def test_a_token_of_another_cluster_is_no_use_here(world: World) -> None:
    eks_account.make(world.aws, world.owner, "other", world.cluster.spec.server, world.authority, "1.36")
    done = world.engineer.meshinstall(*UP, "--cluster", "other")
    assert done.status == 1
    assert "does not accept the credentials" in done.err


@pytest.mark.parametrize("command", ["up", "down", "status", "check", "verify"])
def test_a_role_without_an_access_entry_is_told_how_to_get_one(world: World, command: str) -> None:
    auditor = f"arn:aws:iam::{ACCOUNT}:role/auditor"
    world.aws.roles[auditor] = timedelta(hours=1)
    done = world.engineer.meshinstall(command, "--cloud", "eks", "--env", "staging", "--role-arn", auditor)
    assert done.status == 1
    assert f"EKS007: {auditor} has no access entry in the cluster" in done.err
    arn = '"$(aws iam get-role --role-name auditor --query Role.Arn --output text)"'
    assert f"aws eks create-access-entry --region {REGION} --cluster-name {NAME} --principal-arn {arn}" in done.err


def test_a_run_outlives_its_tokens(world: World) -> None:
    """A session of 2 min 4 s: tokens of it are good for 4 s of what the client keeps back, and a new one must be had."""
    world.aws.asked.clear()
    world.aws.roles[SHORT] = timedelta(minutes=2, seconds=4)
    done = world.engineer.meshinstall(*UP, "--role-arn", SHORT, "--set-string", "istio-ingress.podAnnotations.example=tokens")
    assert done.status == 0, done
    # Once for the plan, once for helm's plugin, and again for what took longer.
    assert world.aws.asked.count("sts:AssumeRole") > 2


def test_a_session_revoked_in_the_middle_ends_the_run_with_a_reason(world: World, tmp_path: Path) -> None:
    log = tmp_path / "stderr"
    # No node takes the gateway's pods, so the run waits for them and asks the API server all the while.
    argv = (*UP, "--role-arn", SHORT, "--set-string", "istio-ingress.nodeSelector.nowhere=true")
    world.aws.roles[SHORT] = timedelta(hours=1)
    with world.engineer.started(log, *argv) as process:
        until(lambda: "nodes are available" in log.read_text(), 60, log.read_text)
        world.aws.keys.end(SHORT)
        process.wait(60)
    assert process.returncode == 1, log.read_text()
    assert "does not accept the credentials" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_no_secret_is_written_shown_or_passed_on(world: World, tmp_path: Path) -> None:
    argv = (*UP, "--set-string", "istio-ingress.podAnnotations.example=secrets")
    traces = watch(world.engineer, "eks", tmp_path / "log", *argv)
    secrets = world.aws.keys.secrets()
    assert len(secrets) > 2
    assert_secret(traces, (*secrets, "k8s-aws-v1."), "eks", Path(world.engineer.env["HOME"]), tmp_path)
