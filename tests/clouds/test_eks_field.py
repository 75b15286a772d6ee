"""AWS logins that fail, or that only variables hold together: each is told with what helps for that login, with the profile's name."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from meshinstall.adapters.eks.chosen import choose
from meshinstall.adapters.eks.provider import EksProvider
from meshinstall.errors import ClusterError, MeshinstallError, UnauthorizedError, UnreachableError, UsageError
from meshinstall.model.cluster import Cloud, ClusterRef
from testbed.clouds import eks
from testbed.clouds.eks_account import ADMIN_ROLE, NAME, REGION, account
from testbed.clouds.eks_identity import ACCOUNT, Identity
from testbed.clouds.eks_logins import PODS, WEB
from testbed.pki import Authority
from tests.clouds.eks_world import presigned
from tests.clouds.people import Person

SUBJECT = "system:serviceaccount:ci:deployer"
ROLE = f"role_arn = {ADMIN_ROLE}\n"
SSO = f"sso_session = corp\nsso_account_id = {ACCOUNT}\nsso_role_name = Mesh\n"
CORP = f"[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = {REGION}\n"
FULL_URI, TOKEN_FILE = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"


@pytest.fixture(scope="module")
def made() -> Iterator[tuple[eks.Aws, Identity]]:
    """The account, for the module."""
    with eks.serving(eks.Aws()) as aws:
        owner = account(aws, "https://127.0.0.1:1", Authority("cluster").pair.certificate)
        aws.logins.pods = {SUBJECT: ADMIN_ROLE}
        yield aws, owner


@pytest.fixture
def aws(made: tuple[eks.Aws, Identity], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> eks.Aws:
    """The account, for a process without any login."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith(("_proxy", "_ca_bundle"))]:
        monkeypatch.delenv(name)
    env = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": made[0].url, "NO_PROXY": "127.0.0.1"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    made[0].asked.clear()
    made[0].faults.clear()
    return made[0]


@dataclass(frozen=True, slots=True)
class Case:
    """Profiles, variables and selectors of somebody (HOME stands for the home folder); what is said, and what the hint has."""

    kind: type[MeshinstallError]
    said: str
    hint: str
    config: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    selectors: Mapping[str, str] = field(default_factory=dict)


def by(profile: str) -> dict[str, str]:
    return {"profile": profile}


CASES = {
    "sso": Case(
        UnauthorizedError, "the AWS login is missing", "aws sso login --profile shop;", f"[profile shop]\n{SSO}{CORP}", {}, by("shop")
    ),
    "sso behind a role": Case(
        UnauthorizedError,
        "the AWS login is missing",
        "aws sso login --profile shop;",
        f"[profile up]\n{ROLE}source_profile = shop\n[profile shop]\n{SSO}{CORP}",
        {"AWS_PROFILE": "up"},
    ),
    "sso of old, cut short": Case(
        UnauthorizedError,
        "no AWS credentials",
        "lacks sso_account_id and sso_role_name: aws configure sso --profile shop",
        "[profile shop]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = eu-west-1\n",
        {},
        by("shop"),
    ),
    "a name that is no word of a shell": Case(
        UnauthorizedError, "the AWS login is missing", "aws sso login;", f'[profile "a b"]\n{SSO}{CORP}', {}, by("a b")
    ),
    "a role of nobody": Case(
        UnauthorizedError,
        "missing: source_profile or credential_source",
        "set source_profile NAME --profile a",
        f"[profile a]\n{ROLE}",
        {},
        by("a"),
    ),
    "a source that is not there": Case(
        UsageError, 'source_profile "b"', "correct the profile", f"[profile a]\n{ROLE}source_profile = b\n", {}, by("a")
    ),
    "a loop": Case(
        UsageError,
        "Infinite loop",
        "correct the profile",
        f"[profile a]\n{ROLE}source_profile = b\n[profile b]\n{ROLE}source_profile = a\n",
        {},
        by("a"),
    ),
    "a role by keys that are not set": Case(
        UnauthorizedError,
        "credential_source",
        "credential_source = Environment: set AWS_ACCESS_KEY_ID",
        f"[profile a]\n{ROLE}credential_source = Environment\n",
        {},
        by("a"),
    ),
    "a role by an instance that is not one": Case(
        UnauthorizedError,
        "credential_source",
        "credential_source = Ec2InstanceMetadata: this machine",
        f"[profile a]\n{ROLE}credential_source = Ec2InstanceMetadata\n",
        {},
        by("a"),
    ),
    "a profile of nothing": Case(
        UnauthorizedError, "no AWS credentials", "profile a has no credentials: aws configure sso --profile a", "[profile a]\n", {}, by("a")
    ),
    "nothing at all": Case(UnauthorizedError, "no AWS credentials", "set keys in variables, choose a profile"),
    "half a key": Case(UnauthorizedError, "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "", {"AWS_ACCESS_KEY_ID": "A"}),
    "an instance without metadata": Case(
        UnauthorizedError,
        "no AWS credentials",
        "this machine has no role to give",
        "",
        {"AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9/", "AWS_METADATA_SERVICE_TIMEOUT": "1"},
    ),
    "a container of another host": Case(
        UnauthorizedError, "Unsupported host", "list-pod-identity-associations", "", {FULL_URI: "http://example.com/x"}
    ),
    "a container's token that is gone": Case(
        UnauthorizedError, "No such file", TOKEN_FILE, "", {FULL_URI: "http://127.0.0.1:9/x", TOKEN_FILE: "HOME/gone"}
    ),
    "an empty web identity": Case(
        UnauthorizedError,
        "WebIdentityToken",
        "check AWS_ROLE_ARN",
        "",
        {"AWS_ROLE_ARN": ADMIN_ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": "HOME/.aws/empty"},
    ),
    "a program that fails": Case(
        UnauthorizedError,
        "custom-process",
        "run the credential_process of profile p by itself",
        "[profile p]\ncredential_process = sh -c 'exit 3'\n",
        {},
        by("p"),
    ),
    "a login that needs more of the SDK": Case(
        UsageError, "lacks a part", "botocore[crt]", "[profile p]\nlogin_session = arn:aws:iam::1:user/x\n", {}, by("p")
    ),
    "a file that is no configuration": Case(UsageError, "Unable to parse config file", "correct the file", "[profile x\nfoo"),
    "a role that is not an ARN": Case(UsageError, "'nope' is not the ARN of a role", "aws iam get-role", selectors={"role_arn": "nope"}),
    "a role of another partition": Case(
        UsageError,
        "is a role of the partition aws-cn, and the region eu-west-1 is in aws",
        "--role-arn, --region",
        selectors={"role_arn": ADMIN_ROLE.replace("aws:", "aws-cn:", 1)},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_login_that_fails_is_told_with_what_helps_for_it(
    aws: eks.Aws, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/empty").touch()
    (tmp_path / ".aws/config").write_text(case.config)
    for name, value in case.variables.items():
        monkeypatch.setenv(name, value.replace("HOME", str(tmp_path)))
    for ask in ("credential", "describe", "discover"):
        with pytest.raises(case.kind) as caught:
            getattr(EksProvider(ClusterRef(Cloud.EKS, NAME, selectors={"region": REGION, **case.selectors}), print), ask)()
        assert case.said in caught.value.message
        assert case.hint in caught.value.hint
    assert aws.asked == []


@pytest.mark.usefixtures("aws")
def test_a_profile_without_a_region_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text(f"[profile shop]\n{SSO}{CORP}")
    monkeypatch.setenv("AWS_PROFILE", "shop")
    with pytest.raises(UsageError, match="no AWS region given, and profile shop has none"):
        EksProvider(ClusterRef(Cloud.EKS, NAME)).credential()


def test_an_endpoint_that_is_no_url_is_told_without_what_is_in_it(aws: eks.Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "A")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "user:planted@nowhere in particular")
    with pytest.raises(UsageError, match="the endpoint that is set for eks is not a URL") as caught:
        EksProvider(ClusterRef(Cloud.EKS, NAME, selectors={"region": REGION})).describe()
    assert "AWS_ENDPOINT_URL_EKS" in caught.value.hint
    assert "planted" not in caught.value.in_one_line()
    assert aws.asked == []


CODES: dict[str, tuple[int, type[ClusterError], str]] = {
    "ThrottlingException": (400, UnreachableError, "for all its programs together"),
    "OptInRequired": (400, ClusterError, "not signed up for the service"),
    "SubscriptionRequiredException": (400, ClusterError, "not signed up for the service"),
    "RequestExpired": (400, UnauthorizedError, "has expired"),
}


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_told_with_its_meaning_and_page_in_a_list_too(
    aws: eks.Aws, made: tuple[eks.Aws, Identity], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, kind, means = CODES[code]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", made[1].access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", made[1].secret)
    asked = EksProvider(ClusterRef(Cloud.EKS, NAME, selectors={"region": REGION}))
    for action in ("eks:DescribeCluster", "eks:ListClusters"):
        aws.fail(action, *[eks.refuse(status, code)] * 3)
    with pytest.raises(kind) as caught:
        asked.describe()
    assert means in caught.value.hint
    assert "https://docs.aws.amazon.com/" in caught.value.hint
    assert means in asked.discover().failures[REGION]


def person(aws: eks.Aws, home: Path, **more: str) -> Person:
    plain = {"PATH": os.environ["PATH"], "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1"}
    return Person({**plain, "AWS_ENDPOINT_URL": aws.url, **more})


def test_a_kubeconfig_of_a_role_that_a_container_assumes_works_in_any_shell(aws: eks.Aws, tmp_path: Path) -> None:
    """The profile says only that a container's credentials are used; where they are, variables say."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text(
        f"[profile up]\n{ROLE}source_profile = pod\n[profile pod]\n{ROLE}credential_source = EcsContainer\n"
    )
    (tmp_path / "token").write_text(aws.logins.service_account(SUBJECT, PODS))
    there = person(aws, tmp_path, **{FULL_URI: f"{aws.url}/v1/credentials", TOKEN_FILE: str(tmp_path / "token"), "AWS_PROFILE": "up"})
    made = there.meshinstall("kubeconfig", "--cloud", "eks", "--cluster", NAME, "--region", REGION)
    assert made.status == 0, made.err
    plugin = json.loads(made.out)["users"][0]["user"]["exec"]
    variables = [f"{one['name']}={one['value']}" for one in plugin["env"]]
    other = person(aws, tmp_path, AWS_PROFILE="gone").run("env", *variables, plugin["command"], *plugin["args"])
    assert other.status == 0, other.err
    assert ":assumed-role/admin/" in aws.keys.of_query(presigned(json.loads(other.out)["status"]["token"], NAME)).arn


def test_a_role_by_keys_in_variables_names_them_as_secrets() -> None:
    profiles = {"a": {"role_arn": ADMIN_ROLE, "credential_source": "Environment"}}
    keys = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s"}
    assert choose({"profile": "a"}, keys, profiles).secrets == tuple(keys)
    assert choose({"profile": "a"}, keys, {"a": {"credential_source": "Environment"}}).secrets == ()


def test_a_token_of_pod_identity_that_has_expired_says_which_file_kubelet_renews(
    aws: eks.Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text(aws.logins.service_account(SUBJECT, PODS, timedelta(seconds=-10)))
    monkeypatch.setenv(FULL_URI, f"{aws.url}/v1/credentials")
    monkeypatch.setenv(TOKEN_FILE, str(token))
    with pytest.raises(UnauthorizedError, match="Token expired") as caught:
        EksProvider(ClusterRef(Cloud.EKS, NAME, selectors={"region": REGION})).credential()
    assert TOKEN_FILE in caught.value.hint
    assert WEB not in caught.value.hint
