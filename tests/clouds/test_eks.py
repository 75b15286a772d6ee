"""EKS over the wire: the unmodified SDK against servers that check what AWS checks."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import UnknownServiceError

from meshinstall.adapters.eks import session
from meshinstall.adapters.eks.provider import EksProvider
from meshinstall.adapters.eks.token import sts_host
from meshinstall.errors import ClusterError, ForbiddenError, UnauthorizedError, UnreachableError, UsageError
from meshinstall.model.cluster import Cloud, ClusterRef, EndpointKind, Unread
from testbed.clouds import eks, eks_account
from testbed.clouds.eks_account import ADMIN_ROLE, NAME, REGION, account
from testbed.clouds.eks_identity import ACCOUNT, Identity, RefusedError
from testbed.pki import Authority
from tests.clouds.eks_world import presigned, url_of

DOCS = Path(__file__).parents[2] / "docs"
SERVER = "https://127.0.0.1:1"
AUTHORITY = Authority("cluster").pair.certificate


@pytest.fixture(scope="module")
def made() -> Iterator[tuple[eks.Aws, Identity]]:
    """An account with one cluster in it, and its owner, for the module."""
    with eks.serving(eks.Aws()) as aws:
        yield aws, account(aws, SERVER, AUTHORITY)


@pytest.fixture
def aws(made: tuple[eks.Aws, Identity], monkeypatch: pytest.MonkeyPatch) -> Iterator[eks.Aws]:
    """The account as it was made, and its owner's keys in the environment."""
    serving, owner = made
    record = eks_account.record(NAME)
    before = dict(vars(record))
    serving.roles[ADMIN_ROLE] = timedelta(hours=1)
    serving.faults.clear()
    serving.asked.clear()
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    become(owner, monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", serving.url)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    yield serving
    vars(record).update(before)


def become(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", identity.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", identity.secret)


def provider(name: str = NAME, say: Callable[[str], None] = print, **selectors: str) -> EksProvider:
    return EksProvider(ClusterRef(Cloud.EKS, name, selectors={"region": REGION, **selectors}), say)


@pytest.mark.usefixtures("aws")
def test_a_cluster_is_described() -> None:
    found = provider().describe()
    assert found.name == NAME
    assert found.location == REGION
    assert found.version == "1.36"
    assert found.status == "ACTIVE"
    assert found.ready is True
    assert found.endpoint is not None
    assert found.endpoint.server == SERVER
    assert found.endpoint.authority == AUTHORITY
    assert found.endpoint.kind == EndpointKind.PUBLIC


def test_a_cluster_that_is_being_made_has_no_endpoint(aws: eks.Aws) -> None:
    record = eks_account.record(NAME)
    record.status, record.endpoint, record.certificate_authority = "CREATING", None, None
    found = provider().describe()
    assert found.ready is False
    assert found.endpoint is None
    assert aws.asked == ["eks:DescribeCluster"]


def test_a_token_names_its_cluster_and_the_real_sts(aws: eks.Aws) -> None:
    """Though AWS_ENDPOINT_URL names another host: the authenticator asks none but AWS's own."""
    made = provider().credential()
    parts = urlsplit(url_of(made.token))
    assert parts.scheme == "https"
    assert parts.netloc == f"sts.{REGION}.amazonaws.com"
    assert parts.path == "/"
    query = parse_qs(parts.query)
    assert query["X-Amz-Expires"] == ["60"]
    assert query["X-Amz-SignedHeaders"] == ["host;x-k8s-aws-id"]
    assert not made.token.endswith("=")
    assert aws.asked == []
    assert aws.keys.of_query(presigned(made.token, NAME)).arn.endswith("user/engineer")
    with pytest.raises(RefusedError) as refused:
        aws.keys.of_query(presigned(made.token, "other"))
    assert refused.value.code == "SignatureDoesNotMatch"


def test_the_sdk_makes_the_same_token(aws: eks.Aws) -> None:
    """The way that `aws eks get-token` makes it, through a client, on the parts that do not depend on the second."""
    session = botocore.session.Session()
    client = session.create_client("sts", region_name=REGION, config=Config(ignore_configured_endpoint_urls=True))
    client.meta.events.register("before-sign.sts.GetCallerIdentity", lambda request, **_: request.headers.add_header("x-k8s-aws-id", NAME))
    theirs = urlsplit(client.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET"))
    ours = urlsplit(url_of(provider().credential().token))
    assert ours[:3] == theirs[:3]
    assert [pair.partition("=")[0] for pair in ours.query.split("&")] == [pair.partition("=")[0] for pair in theirs.query.split("&")]
    assert aws.asked == []


@pytest.mark.parametrize(
    ("region", "options", "host"),
    [
        ("us-west-2", {}, "sts.us-west-2.amazonaws.com"),
        ("us-east-1", {}, "sts.us-east-1.amazonaws.com"),
        ("us-west-2", {"AWS_USE_FIPS_ENDPOINT": "true"}, "sts-fips.us-west-2.amazonaws.com"),
        ("us-gov-west-1", {}, "sts.us-gov-west-1.amazonaws.com"),
        ("us-gov-west-1", {"AWS_USE_FIPS_ENDPOINT": "true"}, "sts.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", {}, "sts.cn-north-1.amazonaws.com.cn"),
        ("us-west-2", {"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "sts.us-west-2.api.aws"),
        ("eusc-de-east-1", {}, "sts.eusc-de-east-1.amazonaws.eu"),
        ("us-iso-east-1", {}, "sts.us-iso-east-1.c2s.ic.gov"),
        ("us-east-1", {"AWS_STS_REGIONAL_ENDPOINTS": "legacy"}, "sts.us-east-1.amazonaws.com"),
    ],
)
def test_every_partition_has_its_own_sts(
    region: str, options: dict[str, str], host: str, monkeypatch: pytest.MonkeyPatch, aws: eks.Aws
) -> None:
    assert aws.url
    for name, value in options.items():
        monkeypatch.setenv(name, value)
    assert sts_host(session.open_aws({"region": region}, os.environ, print)) == host


@pytest.mark.parametrize(("life", "expected"), [(timedelta(hours=1), timedelta(minutes=14)), (timedelta(minutes=8), timedelta(minutes=8))])
def test_a_token_lives_no_longer_than_the_session_that_signed_it(aws: eks.Aws, life: timedelta, expected: timedelta) -> None:
    aws.roles[ADMIN_ROLE] = life
    made = provider(role_arn=ADMIN_ROLE).credential()
    assert made.expires is not None
    assert abs(made.expires - datetime.now(UTC) - expected) < timedelta(seconds=5)
    assert ":assumed-role/admin/" in aws.keys.of_query(presigned(made.token, NAME)).arn


def test_a_role_is_used_with_the_profile_that_assumes_it(aws: eks.Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its endpoints and authorities are the network's, not the caller's."""
    file = tmp_path / "config"
    authorities = tmp_path / "proxy.pem"
    authorities.write_bytes(AUTHORITY)
    keys = f"aws_access_key_id = {os.environ['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {os.environ['AWS_SECRET_ACCESS_KEY']}\n"
    file.write_text(f"[profile shop]\nuse_fips_endpoint = true\nca_bundle = {authorities}\n{keys}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    for role in ("", ADMIN_ROLE):
        opened = session.open_aws({"region": REGION, "profile": "shop", "role_arn": role}, os.environ, print)
        assert sts_host(opened) == f"sts-fips.{REGION}.amazonaws.com"
        assert opened.session.get_config_variable("ca_bundle") == str(authorities)
    assert aws.url


def test_the_services_of_the_sdk_are_known_without_a_look_into_each(aws: eks.Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = session.open_aws({"region": REGION}, os.environ, print)
    looked, listdir = [], os.listdir

    def look(folder: str) -> list[str]:
        looked.append(folder)
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", look)
    assert opened.client("eks").describe_cluster(name=NAME)["cluster"]["name"] == NAME
    # The folders of all services, and those of the one.
    assert len(looked) < 10
    assert aws.asked == ["eks:DescribeCluster"]
    monkeypatch.undo()
    known = opened.session.get_component("data_loader").list_available_services("service-2")
    assert set(botocore.session.Session().get_available_services()) <= set(known)
    with pytest.raises(UnknownServiceError):
        opened.client("nope")


def test_one_session_of_a_role_signs_many_tokens(aws: eks.Aws) -> None:
    asked = provider(role_arn=ADMIN_ROLE)
    for _ in range(5):
        asked.credential()
    asked.describe()
    assert aws.asked == ["sts:AssumeRole", "eks:DescribeCluster"]


def test_a_role_that_may_not_be_assumed_is_named(aws: eks.Aws) -> None:
    del aws.roles[ADMIN_ROLE]
    for ask in (provider(role_arn=ADMIN_ROLE).describe, provider(role_arn=ADMIN_ROLE).credential):
        with pytest.raises(ForbiddenError, match=r"AWS does not allow sts:AssumeRole: .* arn:aws:iam::\d+:role/admin"):
            ask()


@pytest.mark.usefixtures("aws")
def test_a_cluster_that_is_not_there_is_said_with_what_to_look_at() -> None:
    with pytest.raises(UsageError, match="there is no EKS cluster 'nope' in eu-west-1") as caught:
        provider("nope").describe()
    assert caught.value.hint == "list the clusters: meshinstall clusters --cloud eks --region eu-west-1"


@pytest.mark.parametrize(
    ("name", "selectors", "said"),
    [
        ("", {}, "no EKS cluster given"),
        ("shop", {"region": ""}, "no AWS region given"),
        ("shop", {"region": "evil.example/"}, "is not a valid AWS region"),
        ("shop", {"profile": "nope"}, "nope"),
    ],
)
@pytest.mark.usefixtures("aws")
def test_what_does_not_name_a_cluster_is_refused(name: str, selectors: dict[str, str], said: str) -> None:
    ref = ClusterRef(Cloud.EKS, name, selectors={"region": REGION, **selectors})
    for ask in (EksProvider(ref).describe, EksProvider(ref).credential):
        with pytest.raises(UsageError, match=said):
            ask()


def test_a_missing_permission_is_named(aws: eks.Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = aws.keys.add(Identity(f"arn:aws:iam::{ACCOUNT}:user/r", "AIDAR", denied=frozenset({"eks:DescribeCluster"})))
    become(reader, monkeypatch)
    with pytest.raises(ForbiddenError, match="AWS does not allow eks:DescribeCluster") as caught:
        provider().describe()
    assert "preflight-policy.json" in caught.value.hint


def test_dead_and_missing_credentials_are_told_apart_from_a_wrong_clock(aws: eks.Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = aws.keys.add(Identity(f"arn:aws:iam::{ACCOUNT}:user/e", "AIDAE", ended=True))
    become(ended, monkeypatch)
    with pytest.raises(UnauthorizedError, match="ExpiredToken"):
        provider().describe()
    become(eks_account.engineer(aws), monkeypatch)
    for shift in (timedelta(hours=1), -timedelta(hours=1)):
        with monkeypatch.context() as clock:
            clock.setattr("botocore.auth.get_current_datetime", lambda shift=shift: datetime.now(UTC).replace(tzinfo=None) + shift)
            with pytest.raises(UnauthorizedError, match="because of the time in its signature") as caught:
                provider().describe()
        assert "clock" in caught.value.hint
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    for ask in (provider().describe, provider().credential):
        with pytest.raises(UnauthorizedError, match="no AWS credentials"):
            ask()


def test_a_short_burst_is_sat_out_and_told(aws: eks.Aws) -> None:
    said: list[str] = []
    aws.fail("eks:DescribeCluster", eks.refuse(503, "ServiceUnavailableException"), eks.refuse(429, "ThrottlingException"))
    assert provider(say=said.append).describe().status == "ACTIVE"
    assert said == [f"AWS call eks DescribeCluster failed; retry {number} of 3" for number in (2, 3)]


@pytest.mark.parametrize(("status", "code"), [(429, "ThrottlingException"), (500, "ServerException"), (503, "ServiceUnavailableException")])
def test_a_long_burst_ends(aws: eks.Aws, status: int, code: str) -> None:
    aws.fail("eks:DescribeCluster", *[eks.refuse(status, code)] * 9)
    with pytest.raises(UnreachableError, match=rf"did not answer eks:DescribeCluster in several tries: {code}"):
        provider().describe()
    assert aws.asked.count("eks:DescribeCluster") == 3


def test_a_server_that_never_answers_is_given_up(aws: eks.Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_READ", 0.2)
    done = threading.Event()
    aws.fail("eks:DescribeCluster", *[eks.hang(done)] * 3)
    try:
        with pytest.raises(UnreachableError, match="AWS does not answer eks:DescribeCluster"):
            provider().describe()
    finally:
        done.set()


def test_a_server_that_is_not_there_is_said(aws: eks.Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    assert aws.url
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(UnreachableError, match="AWS does not answer"):
        provider().describe()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (eks.say(b" " * (100 * 1024**2)), "more than 8 MiB"),
        (eks.say(b"<html><form>Log in</form></html>", "text/html"), "without a cluster|AWS's answer to eks:DescribeCluster is not valid"),
        (eks.say(b'{"cluster": {"name": "sh', length=4000), "without a cluster"),
        (eks.say(b"[]"), "without a cluster|AWS's answer to eks:DescribeCluster is not valid"),
        (eks.say(b'{"cluster": {"name": "shop"}}'), "without a usable 'status'"),
        (eks.say(b'{"cluster": {"name": "shop", "status": "ACTIVE\\u001b[2J", "version": "1.36"}}'), "without a usable 'status'"),
        (eks.say(b'{"cluster": {"name": ["shop"], "status": "ACTIVE"}}'), "without a usable 'name'"),
        (
            eks.say(
                b'{"cluster": {"name": "shop", "status": "ACTIVE", "version": "1", "endpoint": "https://a",'
                b' "certificateAuthority": {"data": "?"}}}'
            ),
            "not base64",
        ),
        (eks.say(b'{"cluster": {"name": "shop", "status": "ACTIVE", "outpostConfig": {"controlPlaneInstanceType": "m5"}}}'), "Outpost"),
    ],
)
def test_what_is_no_description_is_refused(aws: eks.Aws, fault: eks.Fault, said: str) -> None:
    aws.fail("eks:DescribeCluster", *[fault] * 3)
    with pytest.raises((ClusterError, UsageError), match=said) as caught:
        provider().describe()
    assert "\x1b" not in str(caught.value)


def test_a_token_that_no_verifier_takes_is_told(aws: eks.Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t" * 2700)
    said: list[str] = []
    assert aws.url
    assert len(provider(say=said.append).credential().token) > 4096
    assert said[0].startswith("the token is ")


@pytest.fixture(scope="module")
def inhabited(made: tuple[eks.Aws, Identity]) -> None:
    """A node group and a Fargate profile in the cluster."""
    client = eks_account.client(*made, "eks")
    role = f"arn:aws:iam::{ACCOUNT}:role/node"
    client.create_nodegroup(clusterName=NAME, nodegroupName="win", subnets=["s"], nodeRole=role, amiType="WINDOWS_CORE_2022_x86_64")
    selectors = [{"namespace": "istio-system"}]
    client.create_fargate_profile(clusterName=NAME, fargateProfileName="mesh", podExecutionRoleArn=role, selectors=selectors)


@pytest.mark.usefixtures("inhabited", "aws")
def test_preflights_answers_are_gathered() -> None:
    asked = provider()
    found = asked.inspect(asked.describe())
    assert found.unread == {}
    details = found.details
    assert details["nodegroups"] == [{"nodegroupName": "win", "amiType": "WINDOWS_CORE_2022_x86_64", "status": "ACTIVE"}]
    assert details["fargateProfiles"] == [{"fargateProfileName": "mesh", "namespaces": ["istio-system"]}]
    assert details["versions"][0]["versionStatus"] == "STANDARD_SUPPORT"
    assert details["caller"] == f"arn:aws:iam::{ACCOUNT}:user/engineer"
    assert details["accessEntries"] == [ADMIN_ROLE]
    ((group,),) = details["network"]["nodeGroupSets"]
    assert details["network"]["rules"][group][0]["groups"] == [details["resourcesVpcConfig"]["clusterSecurityGroupId"]]
    assert len(details["network"]["controlPlaneCidrs"]) == 2


def test_what_is_told_of_health_is_plain(aws: eks.Aws) -> None:
    issue = {"code": "Ec2SubnetNotFound", "message": "gone\x1b[2J", "resourceIds": ["subnet-1"]}
    cluster = {"name": NAME, "status": "ACTIVE", "version": "1.36", "health": {"issues": [issue]}}
    aws.fail("eks:DescribeCluster", eks.say(json.dumps({"cluster": cluster}).encode()))
    assert provider().describe().details["health"] == {"issues": [{**issue, "message": "gone[2J"}]}


@pytest.mark.usefixtures("inhabited")
def test_the_policy_file_allows_what_is_asked_and_no_more(aws: eks.Aws) -> None:
    asked = provider()
    asked.inspect(asked.describe())
    asked.discover()
    statements = json.loads((DOCS / "clouds/eks/preflight-policy.json").read_text())["Statement"]
    allowed = {action for statement in statements for action in statement["Action"]}
    assert set(aws.asked) - {"sts:GetCallerIdentity"} == allowed


_PERMISSIONS = {
    "nodegroups": "eks:ListNodegroups",
    "fargateProfiles": "eks:ListFargateProfiles",
    "versions": "eks:DescribeClusterVersions",
    "accessEntries": "eks:ListAccessEntries",
    "network": "ec2:DescribeInstances",
}


def test_what_may_not_be_read_is_noted_with_its_permission(aws: eks.Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    become(aws.keys.add(Identity(f"arn:aws:iam::{ACCOUNT}:user/r", "AIDAR", denied=frozenset(_PERMISSIONS.values()))), monkeypatch)
    asked = provider()
    found = asked.inspect(asked.describe())
    assert found.unread == {name: Unread(permission) for name, permission in _PERMISSIONS.items()}
    assert found.details["caller"].endswith("user/r")


def test_what_does_not_answer_does_not_stop_the_rest(aws: eks.Aws) -> None:
    aws.fail("eks:ListNodegroups", *[eks.refuse(500, "ServerException")] * 3)
    asked = provider()
    found = asked.inspect(asked.describe())
    assert list(found.unread) == ["nodegroups"]
    assert "did not answer eks:ListNodegroups" in found.unread["nodegroups"].why


@pytest.mark.parametrize(
    ("variables", "region", "error", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": ""}, REGION, UnauthorizedError, "Partial credentials"),
        ({}, f"{REGION}, evil.example/", UsageError, "is not a valid AWS region"),
    ],
    ids=["half a key", "a region that is none"],
)
@pytest.mark.usefixtures("aws")
def test_discovery_with_what_cannot_be_used_is_no_traceback(
    variables: dict[str, str], region: str, error: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    with pytest.raises(error, match=said):
        provider(region=region).discover()


def test_discovery_asks_several_regions_and_reads_every_page(aws: eks.Aws) -> None:
    pages = (b'{"clusters": ["gone"], "nextToken": "more"}', b'{"clusters": ["shop"]}')
    aws.fail("eks:ListClusters", *(eks.say(page) for page in pages))
    found = provider().discover()
    assert [(cluster.name, cluster.location, cluster.selectors) for cluster in found.clusters] == [(NAME, REGION, {"region": REGION})]
    assert list(found.failures) == [f"{REGION}/gone"]
    aws.fail("eks:ListClusters", eks.refuse(403, "AccessDeniedException", "explicit deny"))
    found = provider(region=f"eu-north-1,{REGION}").discover()
    assert len(found.failures) == 1
    assert "AWS does not allow eks:ListClusters: explicit deny" in str(found.failures)
    found = provider(region=f"eu-north-1, {REGION},").discover()
    assert [cluster.name for cluster in found.clusters] == [NAME]
    assert dict(found.failures) == {}
