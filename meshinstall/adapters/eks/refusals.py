"""What AWS's refusals mean, by code and words; each names the page that says so."""

from meshinstall.adapters.cloud.refusals import Refusal

_IAM = "https://docs.aws.amazon.com/IAM/latest/UserGuide"
_DENIED_PAGE = f"{_IAM}/troubleshoot_access-denied.html"

DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedException", "ForbiddenException")
ENDED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
# Keys that AWS does not know, or not in this region.
UNKNOWN = ("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "AuthFailure")
CLOCK = ("RequestTimeTooSkewed", "RequestInTheFuture")
CLOCK_IS_WRONG = "the clock of this machine is wrong: AWS accepts five minutes of difference"
SIGNATURE = ("SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature")
HIDDEN = "Encoded authorization failure message"
# Refusals that are about who asks, and not about what may be done.
REGION = ("RegionDisabledException",)
TOKEN = ("InvalidIdentityToken", "IDPCommunicationError")
UNAUTHORIZED = frozenset({*ENDED, *UNKNOWN, *CLOCK, *SIGNATURE, *REGION, *TOKEN, "MissingAuthenticationToken"})


def _by_policy(says: str, means: str, do: str) -> Refusal:
    return Refusal(DENIED, means, do, _DENIED_PAGE, says)


TABLE = (
    _by_policy(
        "service control policy",
        "a service control policy (SCP) of the organization denies it, whatever the account allows",
        "ask who manages AWS Organizations for an exception, with the policy that the message names",
    ),
    _by_policy(
        "resource control policy",
        "a resource control policy (RCP) of the organization denies it, whatever the account allows",
        "ask who manages AWS Organizations for an exception; permissions of the caller do not help",
    ),
    _by_policy(
        "permissions boundary",
        "the permissions boundary of the caller's role or user does not allow it",
        "ask who set the boundary to add the permission: aws iam get-role --role-name ROLE --query Role.PermissionsBoundary",
    ),
    _by_policy(
        "session policy",
        "the session policy does not allow it: the session was made with less than the role has",
        "start the session without that policy, or with the permission in it; for IAM Identity Center ask who manages the permission set",
    ),
    _by_policy(
        "VPC endpoint policy",
        "the policy of the VPC endpoint that the request passes does not allow it",
        "ask who manages the VPC: aws ec2 describe-vpc-endpoints --query 'VpcEndpoints[].[ServiceName,PolicyDocument]'",
    ),
    _by_policy(
        "role trust policy",
        "the trust policy of the role does not accept the caller, or a condition in it is not met (external id, MFA, source identity)",
        "aws iam get-role --role-name ROLE shows it; --external-id, --source-identity, --session-tags give what it asks for",
    ),
    _by_policy(
        "MultiFactorAuthentication failed",
        "the MFA code is wrong, was used before, or the device belongs to somebody else",
        "wait for the next code and type it; check mfa_serial of the profile: aws iam list-mfa-devices",
    ),
    _by_policy(
        "explicit deny",
        "a policy of the account denies it, often because a condition is not met, such as MFA, a region or a network",
        "look for Deny statements in the policies of the caller: aws iam list-attached-role-policies --role-name ROLE",
    ),
    _by_policy(
        HIDDEN,
        "the caller lacks a permission, and AWS hides the details",
        "aws sts decode-authorization-message --encoded-message TEXT shows the policy",
    ),
    Refusal(
        DENIED,
        "the token of IAM Identity Center (SSO) is not valid any more",
        "aws sso login (with --profile NAME for a profile)",
        "https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-sso.html",
        "Session token not found or invalid",
    ),
    Refusal(
        DENIED,
        "the caller lacks the permission",
        "give it to the caller: docs/clouds/eks/preflight-policy.json has all of them",
        _DENIED_PAGE,
    ),
    Refusal(
        SIGNATURE,
        CLOCK_IS_WRONG,
        "timedatectl shows and sets it",
        f"{_IAM}/signature-v4-troubleshooting.html",
        "signature not yet current",
    ),
    Refusal(
        SIGNATURE,
        CLOCK_IS_WRONG,
        "timedatectl shows and sets it",
        f"{_IAM}/signature-v4-troubleshooting.html",
        "signature expired",
    ),
    Refusal(
        CLOCK,
        CLOCK_IS_WRONG,
        "timedatectl shows and sets it",
        f"{_IAM}/signature-v4-troubleshooting.html",
    ),
    Refusal(
        ENDED,
        "the session of the credentials has expired",
        "log in again (aws sso login, or get new keys); aws sts get-caller-identity shows whose they are",
        "https://docs.aws.amazon.com/cli/latest/userguide/cli-chap-troubleshooting.html",
    ),
    Refusal(
        UNKNOWN,
        "AWS does not know the keys: deleted, deactivated, of another partition, or the region is opt-in and not enabled in the account",
        "aws account get-region-opt-status --region-name REGION shows the region; aws sts get-caller-identity tries the keys elsewhere",
        "https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html",
    ),
    Refusal(
        REGION,
        "the region is not enabled in the account",
        "ask an administrator of the account: aws account enable-region --region-name REGION",
        "https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html",
    ),
    Refusal(
        SIGNATURE,
        "the secret key does not belong to the access key, or a proxy changes the requests",
        "compare both keys with those that were handed out; aws configure list shows where they come from",
        f"{_IAM}/signature-v4-troubleshooting.html",
    ),
    Refusal(
        TOKEN,
        "the token of the service account is not accepted: its issuer, its audience or its signature",
        "check issuer, audience and expiry of the token in AWS_WEB_IDENTITY_TOKEN_FILE: aws iam list-open-id-connect-providers",
        "https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html",
    ),
    Refusal(
        ("OptInRequired", "SubscriptionRequiredException"),
        "the account is not signed up for the service: it is new, closed or unpaid, or the region is not enabled in it",
        "ask who owns the account to complete its sign-up; aws account get-region-opt-status --region-name REGION shows the region",
        "https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html",
    ),
    Refusal(
        ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown"),
        "AWS limits how often the account is asked in a region, for all its programs together",
        "wait a minute, then repeat the command; ask for fewer regions at a time: --region",
        "https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html",
    ),
    Refusal(
        ("ValidationError", "ValidationException"),
        "the session is asked for longer than the role allows, or than one hour for a role that a role assumes",
        "lower duration_seconds in the profile",
        f"{_IAM}/id_roles_use.html",
        "DurationSeconds exceeds",
    ),
    Refusal(
        ("PackedPolicyTooLarge", "PackedPolicyTooLargeException"),
        "the session tags and policies are too long together",
        "give fewer --session-tags",
        f"{_IAM}/id_session-tags.html",
    ),
)
