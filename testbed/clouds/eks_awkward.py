"""An AWS account as large companies have them: a role behind MFA and an external id, an organization's policy, hidden nodes."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha1

from testbed.clouds import eks_account
from testbed.clouds.eks import Aws
from testbed.clouds.eks_answers import stamp
from testbed.clouds.eks_identity import ACCOUNT, Identity
from testbed.clouds.eks_trusts import Trust

ROLE = f"arn:aws:iam::{ACCOUNT}:role/teams/mesh/admin"
EXTERNAL_ID = "mesh-7f3a"
DEVICE = f"arn:aws:iam::{ACCOUNT}:mfa/engineer"
CODE = "424242"
PROFILE = "mesh"
# The AWS CLI keeps a role's session for as long as STS gave it.
_SESSION = timedelta(hours=12)
_SCP = "arn:aws:organizations::210987654321:policy/o-corp/service_control_policy/p-regions"
# What nobody in the account may do, though nothing in the account says so.
GUARDRAILS: Mapping[str, str] = {"eks:DescribeClusterVersions": f"with an explicit deny in a service control policy: {_SCP}"}


def awkward(aws: Aws, server: str, authority: bytes) -> Identity:
    """The account, with one cluster in it; returns who may assume the role, with the device and the external id."""
    owner = eks_account.account(aws, server, authority)
    del aws.roles[eks_account.ADMIN_ROLE]
    aws.roles[ROLE] = timedelta(hours=1)
    aws.trusts[ROLE] = Trust(external_id=EXTERNAL_ID, mfa={DEVICE: CODE})
    aws.guardrails.update(GUARDRAILS)
    aws.hides_managed = True
    # Somebody's own entry is the last of many.
    aws.access_entries[:] = [*(f"arn:aws:iam::{ACCOUNT}:role/team-{number}" for number in range(250)), ROLE]
    return owner


def credentials(owner: Identity) -> str:
    """As ``aws configure`` writes them."""
    return f"[engineer]\naws_access_key_id = {owner.access_key}\naws_secret_access_key = {owner.secret}\n"


def config(url: str) -> str:
    """A profile that assumes the role; none has a region."""
    return (
        f"[profile {PROFILE}]\nendpoint_url = {url}\nrole_arn = {ROLE}\nsource_profile = engineer\n"
        f"external_id = {EXTERNAL_ID}\nmfa_serial = {DEVICE}\n\n[profile engineer]\nendpoint_url = {url}\n"
    )


def cached_session(aws: Aws) -> tuple[str, str]:
    """Name and content of the file in ~/.aws/cli/cache that is left after somebody typed a code for the AWS CLI."""
    asked = {"ExternalId": EXTERNAL_ID, "RoleArn": ROLE, "SerialNumber": DEVICE}
    name = sha1(json.dumps(asked, sort_keys=True).encode(), usedforsecurity=False).hexdigest()
    session = aws.keys.session(ROLE, "botocore-session-1")
    content = {
        "Credentials": {
            "AccessKeyId": session.access_key,
            "SecretAccessKey": session.secret,
            "SessionToken": session.token,
            "Expiration": stamp(datetime.now(UTC) + _SESSION),
        },
        "AssumedRoleUser": {"AssumedRoleId": session.user_id, "Arn": session.arn},
    }
    return f"{name}.json", json.dumps(content)
