"""AWS without keys, by the unmodified SDK: a service account's web identity (IRSA), EKS Pod Identity, and a person's SSO login."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from pathlib import Path

import pytest

from testbed.clouds import eks
from testbed.clouds.eks_account import ADMIN_ROLE, NAME, REGION, account
from testbed.clouds.eks_identity import ACCOUNT
from testbed.clouds.eks_logins import PODS, WEB
from testbed.pki import Authority
from tests.clouds.eks_world import presigned
from tests.clouds.people import Person
from tests.cluster.meshinstall_run import Done

SUBJECT = "system:serviceaccount:ci:deployer"
SSO_ROLE = "MeshAdmin"
CREDENTIAL = ("credential", "--cloud", "eks", "--cluster", NAME, "--region", REGION)
DESCRIBE = ("kubeconfig", "--cloud", "eks", "--cluster", NAME, "--region", REGION)


@dataclass(frozen=True, slots=True)
class World:
    """AWS, and somebody who has no keys."""

    aws: eks.Aws
    home: Path
    nobody: Person

    def pod(self, token: str) -> Person:
        """A program in a pod whose service account is annotated with the role."""
        return self.nobody.having(AWS_ROLE_ARN=ADMIN_ROLE, AWS_WEB_IDENTITY_TOKEN_FILE=self.file("token", token))

    def associated_pod(self, token: str) -> Person:
        """A program in a pod whose service account has a Pod Identity association."""
        url = f"{self.aws.url}/v1/credentials"
        return self.nobody.having(AWS_CONTAINER_CREDENTIALS_FULL_URI=url, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=self.file("token", token))

    def signed_in(self, cached: dict[str, str] | None) -> Person:
        """A person with an SSO profile, and what ``aws sso login`` left."""
        profile = f"[profile shop]\nsso_session = corp\nsso_account_id = {ACCOUNT}\nsso_role_name = {SSO_ROLE}\n"
        session = f"[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = {REGION}\n"
        if cached:
            # Where the AWS CLI keeps it.
            name = sha1(b"corp", usedforsecurity=False).hexdigest()
            self.file(f".aws/sso/cache/{name}.json", json.dumps({"startUrl": "https://corp.awsapps.com/start", "region": REGION, **cached}))
        return self.nobody.having(AWS_PROFILE="shop", AWS_CONFIG_FILE=self.file(".aws/config", profile + session))

    def file(self, name: str, text: str) -> str:
        """A file below the home folder."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)


@pytest.fixture(scope="module")
def aws() -> Iterator[eks.Aws]:
    """An account with one cluster in it, for the module."""
    with eks.serving(eks.Aws()) as serving:
        account(serving, "https://127.0.0.1:1", Authority("cluster").pair.certificate)
        yield serving


@pytest.fixture
def world(aws: eks.Aws, tmp_path: Path) -> World:
    """Where everybody may become the role."""
    logins = aws.logins
    logins.trusts = {ADMIN_ROLE: SUBJECT}
    logins.pods = {SUBJECT: ADMIN_ROLE}
    logins.assignments = {(ACCOUNT, SSO_ROLE)}
    logins.life = timedelta(hours=1)
    aws.asked.clear()
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_ENDPOINT_URL": aws.url, "AWS_EC2_METADATA_DISABLED": "true"}
    return World(aws, tmp_path, Person({**env, "NO_PROXY": "127.0.0.1"}))


@dataclass(frozen=True, slots=True)
class Way:
    """How somebody comes to a session, the role that it is one of, and what is asked for it."""

    who: Callable[[World], Person]
    role: str
    asked: str


WAYS = {
    "web-identity": Way(lambda it: it.pod(it.aws.logins.service_account(SUBJECT, WEB)), "admin", "sts:AssumeRoleWithWebIdentity"),
    "pod-identity": Way(
        lambda it: it.associated_pod(it.aws.logins.service_account(SUBJECT, PODS)), "admin", "pods:AssumeRoleForPodIdentity"
    ),
    "sso": Way(lambda it: it.signed_in(it.aws.logins.sign_in()), f"AWSReservedSSO_{SSO_ROLE}_0123456789abcdef", "sso:GetRoleCredentials"),
}
EACH_WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def printed(done: Done) -> tuple[str, datetime]:
    """The token, and when it ends."""
    assert done.status == 0, done.err
    found = json.loads(done.out)["status"]
    return found["token"], datetime.fromisoformat(found["expirationTimestamp"])


@EACH_WAY
def test_each_way_ends_in_a_token_of_its_role(world: World, way: Way) -> None:
    token, ends = printed(way.who(world).meshinstall(*CREDENTIAL))
    assert f":assumed-role/{way.role}/" in world.aws.keys.of_query(presigned(token, NAME)).arn
    assert timedelta(minutes=13) < ends - datetime.now(UTC) <= timedelta(minutes=14)
    assert world.aws.asked == [way.asked]


@EACH_WAY
def test_a_token_ends_with_the_session(world: World, way: Way) -> None:
    world.aws.logins.life = timedelta(minutes=12)
    _, ends = printed(way.who(world).meshinstall(*CREDENTIAL))
    assert timedelta(minutes=11) < ends - datetime.now(UTC) <= timedelta(minutes=12)


@EACH_WAY
def test_a_cluster_is_described_by_each(world: World, way: Way) -> None:
    done = way.who(world).meshinstall(*DESCRIBE)
    assert done.status == 0, done.err
    assert world.aws.asked == [way.asked, "eks:DescribeCluster"], done.err


def test_a_login_near_its_end_is_renewed_and_kept_for_the_aws_cli(world: World) -> None:
    somebody = world.signed_in(world.aws.logins.sign_in(timedelta(minutes=5)))
    printed(somebody.meshinstall(*CREDENTIAL))
    assert world.aws.asked == ["sso-oidc:CreateToken", "sso:GetRoleCredentials"]
    printed(somebody.meshinstall(*CREDENTIAL))
    assert world.aws.asked[2:] == ["sso:GetRoleCredentials"]


def over(world: World) -> Person:
    """Somebody whose login was ended by an administrator."""
    somebody = world.signed_in(world.aws.logins.sign_in())
    world.aws.logins.sign_out()
    return somebody


def another(world: World) -> Person:
    """A pod of a service account that the role does not trust."""
    return world.pod(world.aws.logins.service_account("system:serviceaccount:ci:other", WEB))


def unassigned(world: World) -> Person:
    """A person to whom the role is not assigned."""
    world.aws.logins.assignments.clear()
    return world.signed_in(world.aws.logins.sign_in())


# What goes wrong, what is said, and what the hint names.
REFUSED: dict[str, tuple[Callable[[World], Person], str, str]] = {
    "not-signed-in": (lambda world: world.signed_in(None), "the AWS login is missing", "aws sso login --profile shop"),
    "signed-out": (over, "the AWS login has expired", "aws sso login --profile shop"),
    "not-assigned": (unassigned, "AWS does not allow sso:GetRoleCredentials: No access", "sso_role_name"),
    "not-trusted": (another, "AWS does not allow sts:AssumeRoleWithWebIdentity", "trust policy"),
    "expired": (
        lambda world: world.pod(world.aws.logins.service_account(SUBJECT, WEB, timedelta(seconds=-10))),
        "AWS does not accept the credentials: ExpiredTokenException",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
    "another-audience": (
        lambda world: world.pod(world.aws.logins.service_account(SUBJECT, PODS)),
        "AWS does not accept the credentials: InvalidIdentityToken: Incorrect token audience",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
    "another-issuer": (
        lambda world: world.pod(world.aws.logins.service_account(SUBJECT, WEB, issuer="https://oidc.example")),
        "InvalidIdentityToken: No OpenIDConnect provider",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
    "no-association": (
        lambda world: world.associated_pod(world.aws.logins.service_account("system:serviceaccount:ci:other", PODS)),
        "no AWS credentials",
        "aws sts get-caller-identity",
    ),
    "no-token-file": (
        lambda world: world.nobody.having(AWS_ROLE_ARN=ADMIN_ROLE, AWS_WEB_IDENTITY_TOKEN_FILE=str(world.home / "gone")),
        "the AWS credentials cannot be read: [Errno 2] No such file or directory",
        "aws sts get-caller-identity",
    ),
}


@pytest.mark.parametrize("command", [CREDENTIAL, DESCRIBE], ids=["credential", "describe"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_goes_wrong_is_told_in_one_line_with_what_to_do(world: World, case: str, command: tuple[str, ...]) -> None:
    way, said, hint = REFUSED[case]
    done = way(world).meshinstall(*command)
    assert done.status != 0
    assert said in done.err
    assert hint in done.err.partition("hint:")[2]
    assert len(done.err.splitlines()) == 2
    tokens = [file.read_text() for file in world.home.glob("token")]
    assert not [token for token in tokens if token in done.err + done.out]
