"""An API server that asks Google who a token is, behind a DNS endpoint where IAM stands in front, and meshinstall before both."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed import cluster as testbed_cluster
from testbed.clouds.access import make_administrators
from testbed.clouds.gke import CONNECT
from testbed.clouds.gke_identity import PLATFORM, Issuer
from testbed.clouds.gke_project import DNS, LOCATION, NAME, PROJECT, lead_to
from testbed.clouds.gke_server import Answer
from testbed.cluster import Cluster
from testbed.shell import write_configuration
from testbed.spec import Authentication, Nodes, Spec
from tests.clouds.gke_world import World, world
from tests.clouds.people import Person, assert_secret, watch
from tests.cluster.meshinstall_run import Done

pytestmark = pytest.mark.cluster

# Seconds into the first run: helm is at work by then.
_REVOKED = 12.0
UP = ("up", "--cloud", "gke", "--env", "staging", "--yes")


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster, the Google that it belongs to, and an engineer."""

    cluster: Cluster
    world: World
    engineer: Person


@pytest.fixture(scope="module")
def place(build_part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """All of it, for the whole module."""
    name = f"gke-{os.getpid()}"
    home = tmp_path_factory.mktemp("home")
    with world(home) as google:

        def authenticate(of: Spec) -> Authentication:
            return google.google.authenticate(of)

        found = testbed_cluster.up(name, Nodes.REAL, print, authenticate=authenticate)
        try:
            authority = (found.state / "pki/ca.crt").read_bytes()
            lead_to(google.google, found.spec, authority)
            make_administrators(found.api(), "User", google.caller.email, google.deputy.email)
            staging = {"cloud": "gke", "cluster": {"name": NAME, "project": PROJECT, "location": LOCATION}}
            folder = write_configuration(found, build_part("charts"), staging=staging)
            yield Place(
                found,
                google,
                Person(
                    {
                        "PATH": ":".join([str(build_part(part)) for part in ("helm4", "kubectl", "istioctl")] + [os.environ["PATH"]]),
                        "HOME": str(home),
                        "XDG_STATE_HOME": str(home / "state"),
                        "TMPDIR": str(home),
                        "MESHINSTALL_CONFIG": str(folder),
                        **google.env,
                        **google.be("key"),
                    }
                ),
            )
        finally:
            testbed_cluster.down(name)


@pytest.fixture(scope="module")
def first(place: Place) -> Done:
    """The literal command on an empty cluster, with tokens that the API server refuses after some seconds, and one revocation."""
    issuer = place.world.google.issuer
    # Renewed at two minutes before the end: every five seconds here.
    issuer.life = 125
    try:
        with _revoked_once(issuer):
            return place.engineer.meshinstall(*UP)
    finally:
        issuer.life = 3600


@contextmanager
def _revoked_once(issuer: Issuer) -> Iterator[None]:
    """Revokes all tokens in the middle of a run."""
    timer = threading.Timer(_REVOKED, issuer.revoke_all)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def test_up_installs_a_mesh_by_the_dns_endpoint_with_tokens_that_end_and_are_revoked_in_the_middle(place: Place, first: Done) -> None:
    assert first.status == 0, first
    assert "GKE" not in first.err
    assert place.world.google.count(DNS) > 0
    # Several tokens were needed, and few of them: one renewal serves all.
    assert 3 <= place.world.google.count("oauth2.googleapis.com") < 60


@pytest.mark.usefixtures("first")
def test_the_second_up_has_nothing_to_do(place: Place) -> None:
    again = place.engineer.meshinstall(*UP)
    assert again.status == 0, again
    assert "Nothing to do." in again.err, again


@pytest.mark.usefixtures("first")
def test_kubectl_helm_and_istioctl_use_the_kubeconfig_without_secrets(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    assert place.engineer.meshinstall("kubeconfig", "--cloud", "gke", "--env", "staging", "--file", str(file)).status == 0
    assert "ya29." not in file.read_text()
    assert "certificate-authority-data" not in file.read_text()
    said = place.engineer.run("kubectl", "--kubeconfig", str(file), "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert said.out == place.world.caller.email, said
    assert "istiod" in place.engineer.run("helm", "--kubeconfig", str(file), "list", "-n", "istio-system").out
    assert "istio-ingress" in place.engineer.run("istioctl", "--kubeconfig", str(file), "proxy-status").out


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize("endpoint", ["dns", "public"])
def test_each_way_leads_to_the_same_cluster(place: Place, endpoint: str) -> None:
    done = place.engineer.meshinstall("plan", "--cloud", "gke", "--env", "staging", "--endpoint", endpoint)
    assert done.status == 0, done
    assert "Nothing to do." in done.out + done.err, done


def test_a_token_without_the_email_scope_is_a_number_without_rights(place: Place) -> None:
    issuer = place.world.google.issuer
    issuer.machine, issuer.machine_scopes = place.world.caller, frozenset({PLATFORM})
    done = place.engineer.having(GOOGLE_APPLICATION_CREDENTIALS="").meshinstall("plan", "--cloud", "gke", "--env", "staging")
    assert done.status == 1, done
    assert f'User "{place.world.caller.number}"' in done.err


def test_iam_stands_in_front_of_the_dns_endpoint(place: Place) -> None:
    granted = place.world.caller.roles[PROJECT]
    granted.remove(CONNECT)
    try:
        done = place.engineer.meshinstall("plan", "--cloud", "gke", "--env", "staging")
    finally:
        granted.add(CONNECT)
    assert done.status == 1, done
    assert CONNECT in done.err, done


def test_a_cluster_that_another_token_opens_does_not_open_for_this_one(place: Place) -> None:
    place.world.google.issuer.revoke_all()
    place.world.google.fault("oauth2", Answer(400, b'{"error": "invalid_grant"}'), 10)
    try:
        done = place.engineer.meshinstall("plan", "--cloud", "gke", "--env", "staging")
    finally:
        place.world.google.faults.clear()
    assert done.status == 1, done
    assert "gcloud auth application-default login" in done.err


@pytest.mark.usefixtures("first")
def test_no_secret_is_written_shown_or_passed_on(place: Place, tmp_path: Path) -> None:
    argv = (*UP, "--set-string", "istio-ingress.podAnnotations.example=secrets")
    traces = watch(place.engineer, "gke", tmp_path / "log", *argv)
    # The caller's key file is where it always was.
    tokens = tuple(place.world.google.issuer.tokens)
    assert tokens
    assert_secret(traces, tokens, "gke", Path(place.engineer.env["HOME"]), tmp_path)
    # The private kubeconfig went with the run.
    assert not list(Path(place.engineer.env["TMPDIR"]).glob("meshinstall-*"))
