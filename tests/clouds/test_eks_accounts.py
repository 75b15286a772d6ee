"""What AWS accounts really look like: roles without a region, MFA, external ids, credential_process, policies above the account."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from meshinstall.adapters.eks.provider import EksProvider
from meshinstall.checks.clouds.eks_network import webhook_port
from meshinstall.errors import ForbiddenError, UnauthorizedError, UsageError
from meshinstall.model.cluster import Cloud, ClusterRef
from testbed.clouds import eks, eks_account, eks_awkward
from testbed.clouds.eks_account import ADMIN_ROLE, NAME, REGION
from testbed.clouds.eks_awkward import CODE, DEVICE, EXTERNAL_ID, PROFILE, ROLE
from testbed.clouds.eks_identity import ACCOUNT, Identity
from testbed.clouds.eks_trusts import Trust
from testbed.pki import Authority
from tests.clouds.eks_world import presigned
from tests.clouds.people import Person

NAMED = ("--cloud", "eks", "--cluster", NAME, "--region", REGION)
SESSION = "assumed-role/admin/"


@dataclass(frozen=True, slots=True)
class World:
    """The awkward account, its engineer's home, and a shell without anything of AWS's but the fake."""

    aws: eks.Aws
    owner: Identity
    home: Path
    shell: Person

    def keep_session(self) -> None:
        """As the AWS CLI leaves it behind an MFA code."""
        name, content = eks_awkward.cached_session(self.aws)
        cache = self.home / ".aws/cli/cache"
        cache.mkdir(parents=True)
        (cache / name).write_text(content)

    def signer(self, credential: str) -> str:
        """Whose token a printed ExecCredential has."""
        return self.aws.keys.of_query(presigned(json.loads(credential)["status"]["token"], NAME)).arn


@pytest.fixture(scope="module")
def made() -> Iterator[tuple[eks.Aws, Identity]]:
    """The account, for the module."""
    with eks.serving(eks.Aws()) as aws:
        yield aws, eks_awkward.awkward(aws, "https://127.0.0.1:1", Authority("cluster").pair.certificate)


@pytest.fixture
def world(made: tuple[eks.Aws, Identity], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The account as it was made; the test's own process is in the shell too."""
    aws, owner = made
    aws.roles[ROLE] = timedelta(hours=1)
    aws.roles.pop(ADMIN_ROLE, None)
    aws.trusts = {ROLE: Trust(external_id=EXTERNAL_ID, mfa={DEVICE: CODE})}
    aws.guardrails = dict(eks_awkward.GUARDRAILS)
    aws.regions_off.clear()
    aws.asked.clear()
    folder = tmp_path / ".aws"
    folder.mkdir()
    (folder / "config").write_text(eks_awkward.config(aws.url))
    (folder / "credentials").write_text(eks_awkward.credentials(owner))
    for name in [name for name in os.environ if name.startswith("AWS_") or name == "REQUESTS_CA_BUNDLE"]:
        monkeypatch.delenv(name)
    env = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": aws.url, "NO_PROXY": "127.0.0.1"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return World(aws, owner, tmp_path, Person({"PATH": os.environ["PATH"], **env}))


def provider(**selectors: str) -> EksProvider:
    return EksProvider(ClusterRef(Cloud.EKS, NAME, selectors={"region": REGION, **selectors}), print)


def test_a_role_is_assumed_in_the_region_of_the_option(world: World) -> None:
    """The profile has none, and the plugin that a kubeconfig names asks STS before it asks anything in a region."""
    world.aws.trusts.clear()
    plain = f"[profile plain]\nrole_arn = {ROLE}\nsource_profile = engineer\n[profile engineer]\n"
    (world.home / ".aws/config").write_text(plain)
    assert ":assumed-role/admin/" in world.signer(_printed(world.shell.meshinstall("credential", *NAMED, "--aws-profile", "plain")))
    world.aws.roles[ADMIN_ROLE] = timedelta(hours=1)
    made = provider(profile="plain", role_arn=ADMIN_ROLE).credential()
    assert ":assumed-role/admin/meshinstall" in world.aws.keys.of_query(presigned(made.token, NAME)).arn


def _printed(done: object) -> str:
    assert done.status == 0, done.err  # type: ignore[attr-defined]
    return str(done.out)  # type: ignore[attr-defined]


def test_mfa_without_a_terminal_is_one_line(world: World) -> None:
    for command in ("credential", "kubeconfig"):
        argv = (sys.executable, "-P", "-m", "meshinstall", command, *NAMED, "--aws-profile", PROFILE)
        done = subprocess.run(
            argv, env=dict(world.shell.env), stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True, check=False
        )
        assert done.returncode == UnauthorizedError.exit_code
        assert done.stderr.startswith(f"meshinstall: the profile needs an MFA code of {DEVICE}, and there is no terminal")
        assert f"aws sts get-caller-identity --profile {PROFILE};" in done.stderr
        assert len(done.stderr.splitlines()) == 2
    assert world.aws.asked == []


def on_terminal(person: Person, typed: str, *argv: str) -> tuple[int, str, str]:
    """Run meshinstall on a terminal of its own, and type a line at the first prompt; status, stdout, and what the terminal shows."""
    ours, theirs = pty.openpty()
    command = ("setsid", "--ctty", "--wait", sys.executable, "-P", "-m", "meshinstall", *argv)
    with subprocess.Popen(command, env=dict(person.env), stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        shown, is_typed = b"", False
        # Reading fails once nobody has the other side open.
        with suppress(OSError):
            while chunk := os.read(ours, 4096):
                shown += chunk
                if b"MFA code" in shown and not is_typed:
                    is_typed = bool(os.write(ours, typed.encode() + b"\n"))
        out = process.communicate()[0]
    os.close(ours)
    return process.returncode, out, shown.decode()


def test_one_code_is_asked_for_on_the_terminal_and_serves_many_starts(world: World) -> None:
    status, out, shown = on_terminal(world.shell, CODE, "credential", *NAMED, "--aws-profile", PROFILE)
    assert status == 0, shown
    assert SESSION in world.signer(out)
    assert f"Enter MFA code for {DEVICE}" in shown
    assert CODE not in shown
    assert SESSION in world.signer(_printed(world.shell.meshinstall("credential", *NAMED, "--aws-profile", PROFILE)))
    assert world.aws.asked == ["sts:AssumeRole"]
    (kept,) = (world.home / ".aws/cli/cache").iterdir()
    assert kept.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("typed", "said"),
    [("000000", "AWS does not allow sts:AssumeRole: MultiFactorAuthentication failed"), ("", f"no MFA code of {DEVICE} was given")],
    ids=["wrong", "none"],
)
def test_a_code_of_no_use_is_one_line(world: World, typed: str, said: str) -> None:
    status, _, shown = on_terminal(world.shell, typed, "credential", *NAMED, "--aws-profile", PROFILE)
    assert status == 1
    assert said in shown
    assert "Traceback" not in shown


def test_a_session_that_cannot_be_kept_is_good_for_one_command(world: World) -> None:
    (world.home / ".aws/cli").write_text("not a folder")
    status, out, shown = on_terminal(world.shell, CODE, "credential", *NAMED, "--aws-profile", PROFILE)
    assert status == 0, shown
    assert SESSION in world.signer(out)
    assert "the session cannot be kept in ~/.aws/cli/cache" in shown


def test_a_half_written_session_in_the_cache_is_as_none(world: World) -> None:
    world.keep_session()
    (kept,) = (world.home / ".aws/cli/cache").iterdir()
    kept.write_text('{"Credentials": {}}')
    with pytest.raises(UnauthorizedError, match="MFA code"):
        provider(profile=PROFILE).credential()


PROCESSES = {
    "expired": (
        '{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "2020-01-01T00:00:00Z"}',
        "have expired",
    ),
    "no-json": ("<html>log in</html>", "cannot be used"),
    "no-object": ("[]", "cannot be used"),
    "no-date": ('{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s", "Expiration": "soon"}', "cannot be used"),
    "no-version": ("{}", "no AWS credentials: .*Unsupported version"),
}


@pytest.mark.parametrize("case", PROCESSES)
def test_a_credential_process_that_gives_nothing_of_use_is_one_line(world: World, case: str) -> None:
    printed, said = PROCESSES[case]
    (world.home / "printed").write_text(printed)
    (world.home / ".aws/config").write_text(f"[profile tool]\ncredential_process = cat {world.home}/printed\n")
    for ask in (provider(profile="tool").credential, provider(profile="tool").describe, provider(profile="tool").discover):
        with pytest.raises(UnauthorizedError, match=said) as caught:
            ask()
        assert caught.value.hint


def test_a_credential_process_that_is_not_there_is_named(world: World) -> None:
    (world.home / ".aws/config").write_text("[profile tool]\ncredential_process = /nowhere/tool\n")
    with pytest.raises(UnauthorizedError, match=r"/nowhere/tool.*\(profile tool\)"):
        provider(profile="tool").credential()


def exec_entry(world: World, made_in: Person) -> list[str]:
    """The plugin of a kubeconfig that somebody makes, as a command with its own variables before it."""
    done = made_in.meshinstall("kubeconfig", *NAMED)
    plugin = json.loads(_printed(done))["users"][0]["user"]["exec"]
    assert world.owner.secret not in done.out
    return ["env", *(f"{one['name']}={one['value']}" for one in plugin["env"] or ()), plugin["command"], *plugin["args"]]


def test_a_kubeconfig_made_with_a_profile_signs_as_the_same_in_any_shell(world: World) -> None:
    world.keep_session()
    command = exec_entry(world, world.shell.having(AWS_PROFILE=PROFILE))
    other = world.aws.keys.add(Identity(f"arn:aws:iam::{ACCOUNT}:user/other", "AIDAO"))
    keys = {"AWS_ACCESS_KEY_ID": other.access_key, "AWS_SECRET_ACCESS_KEY": other.secret}
    for shell in (world.shell, world.shell.having(**keys), world.shell.having(AWS_PROFILE="engineer", AWS_CONFIG_FILE="/nowhere")):
        assert SESSION in world.signer(_printed(shell.run(*command)))


def test_a_kubeconfig_made_with_keys_in_variables_needs_them_and_says_so(world: World) -> None:
    keys = {"AWS_ACCESS_KEY_ID": world.owner.access_key, "AWS_SECRET_ACCESS_KEY": world.owner.secret}
    done = world.shell.having(**keys).meshinstall("kubeconfig", *NAMED)
    assert "it works only in a shell that has AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY" in done.err
    command = exec_entry(world, world.shell.having(**keys))
    assert "user/engineer" in world.signer(_printed(world.shell.having(**keys, AWS_PROFILE="gone").run(*command)))
    # The default profile there is somebody else's.
    refused = world.shell.having(AWS_PROFILE="engineer").run(*command)
    assert refused.status == 1
    assert "no AWS credentials" in refused.err


@pytest.mark.parametrize(("selectors", "variables"), [({}, {"AWS_PROFILE": "gone"}), ({"profile": "gone", "login": "environment"}, {})])
@pytest.mark.usefixtures("world")
def test_a_profile_that_is_not_there_is_named(
    selectors: dict[str, str], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="gone"):
        provider(**selectors).credential()


def test_what_a_trust_policy_asks_for_is_given_by_options(world: World) -> None:
    world.aws.trusts[ROLE] = Trust(external_id=EXTERNAL_ID, source_identity="ann", tags=frozenset({("team", "mesh")}))
    given = {
        "profile": "engineer",
        "role_arn": ROLE,
        "external_id": EXTERNAL_ID,
        "source_identity": "ann",
        "session_tags": "team=mesh,stage=prod",
    }
    assert provider(**given).credential().token
    for name in ("external_id", "source_identity", "session_tags"):
        with pytest.raises(ForbiddenError, match="AWS does not allow sts:AssumeRole") as caught:
            provider(**{key: value for key, value in given.items() if key != name}).credential()
        assert f"--{name.replace('_', '-')}" in caught.value.hint


# What AWS adds to a denial, and whom to ask.
DENIALS = {
    "with an explicit deny in a service control policy": "AWS Organizations",
    "because no service control policy allows the eks:DescribeCluster action": "AWS Organizations",
    "with an explicit deny in a resource control policy": "AWS Organizations",
    "because no permissions boundary allows the eks:DescribeCluster action": "who set the boundary",
    "because no session policy allows the eks:DescribeCluster action": "session policy",
    "because no VPC endpoint policy allows the eks:DescribeCluster action": "who manages the VPC",
    "with an explicit deny in an identity-based policy": "Deny statements",
    "because no identity-based policy allows the eks:DescribeCluster action": "preflight-policy.json",
}


@pytest.mark.parametrize("words", DENIALS)
def test_a_denial_says_whose_it_is_and_whom_to_ask(world: World, words: str) -> None:
    world.aws.guardrails["eks:DescribeCluster"] = words
    with pytest.raises(ForbiddenError, match=f"AWS does not allow eks:DescribeCluster: .*{words}") as caught:
        provider(profile="engineer").describe()
    assert DENIALS[words] in caught.value.hint
    assert "https://docs.aws.amazon.com/" in caught.value.hint


def test_the_reason_of_a_denial_is_read_behind_long_names(world: World) -> None:
    long = world.aws.keys.add(Identity(f"arn:aws:sts::{ACCOUNT}:assumed-role/{'r' * 200}/{'s' * 200}", "AROAL"))
    (world.home / ".aws/credentials").write_text(eks_awkward.credentials(long))
    world.aws.guardrails["eks:DescribeCluster"] = "with an explicit deny in a service control policy"
    with pytest.raises(ForbiddenError, match="service control policy") as caught:
        provider(profile="engineer").describe()
    assert "AWS Organizations" in caught.value.hint


def test_a_region_that_is_not_enabled_is_told_and_clusters_exits_1(world: World) -> None:
    world.aws.regions_off.add("me-central-1")
    with pytest.raises(UnauthorizedError, match="UnrecognizedClientException") as caught:
        provider(profile="engineer", region="me-central-1").describe()
    assert "opt-in" in caught.value.hint
    done = world.shell.meshinstall("clusters", "--cloud", "eks", "--region", "me-central-1", "--aws-profile", "engineer")
    assert done.status == 1
    assert "me-central-1" in done.out + done.err
    assert "Traceback" not in done.err


def test_preflight_of_the_awkward_account(world: World) -> None:
    world.keep_session()
    asked = provider(profile=PROFILE)
    found = asked.inspect(asked.describe())
    assert found.caller is not None
    assert ":assumed-role/admin/" in found.caller.name
    assert found.caller.chosen_by == f"profile {PROFILE}, role {ROLE}"
    assert len(found.details["accessEntries"]) == 251
    assert found.details["accessEntries"][-1] == ROLE
    assert len(found.details["network"]["nodeGroupSets"]) == 1
    assert list(found.unread) == ["versions"]
    assert "service control policy" in found.unread["versions"].why
    assert list(webhook_port(found, [])) == []


def test_a_control_plane_that_may_send_nothing_is_a_finding(world: World) -> None:
    asked = provider(profile="engineer")
    group = asked.describe().details["resourcesVpcConfig"]["clusterSecurityGroupId"]
    ec2 = eks_account.client(world.aws, world.owner, "ec2")
    (before,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    eks_account.close_egress(world.aws, world.owner, group)
    try:
        (finding,) = webhook_port(asked.inspect(asked.describe()), [])
    finally:
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=before["IpPermissionsEgress"])
    assert finding.code == "EKS016"
    assert "15017" in finding.title
    assert "aws ec2 authorize-security-group-egress" in finding.hint


def test_who_asks_is_told_before_the_clusters(world: World) -> None:
    world.keep_session()
    listing = provider(profile=PROFILE).discover()
    assert listing.caller is not None
    assert listing.caller.name.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/")
    assert [cluster.name for cluster in listing.clusters] == [NAME]
