"""Turns errors of AWS into errors that say what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from meshinstall.errors import ClusterError, ForbiddenError, UnauthorizedError, UnreachableError, UsageError
from meshinstall.model.foreign_text import plain

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedException", "ForbiddenException"})
_ENDED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidIdentityToken",
    }
)
_SKEWED = re.compile(r"signature (?:not yet current|expired)", re.IGNORECASE)
_BUSY = re.compile(r"throttl|toomanyrequests|requestlimit|slowdown|serviceunavailable|internal|serverexception", re.IGNORECASE)
_LOGIN = "log in again (aws sso login), or renew the keys; aws sts get-caller-identity shows whose they are"
# What any request may come to first, because the SDK signs in with it: by operation its permission, and what to do when it is
# denied and when the credentials for it are refused.
_SIGNING_IN = {
    "AssumeRole": (
        "sts:AssumeRole",
        "the caller needs sts:AssumeRole, and the role's trust policy the caller: docs/clouds/eks/trust-policy.json",
        _LOGIN,
    ),
    "AssumeRoleWithWebIdentity": (
        "sts:AssumeRoleWithWebIdentity",
        "the role's trust policy must name this service account and its cluster's issuer: aws iam get-role --role-name ROLE",
        "check issuer, audience and expiry of the token in AWS_WEB_IDENTITY_TOKEN_FILE; aws sts get-caller-identity uses it too",
    ),
    "GetRoleCredentials": (
        "sso:GetRoleCredentials",
        "check that the profile's sso_role_name is assigned to you in sso_account_id; aws configure sso lists your roles",
        _LOGIN,
    ),
}


class DeniedError(ForbiddenError):
    """An IAM ``permission`` that the caller lacks."""

    def __init__(self, permission: str, said: str, hint: str = "") -> None:
        super().__init__(
            f"AWS does not allow {permission}: {said}",
            hint or f"give the caller {permission} (docs/clouds/eks/preflight-policy.json has all permissions)",
        )
        self.permission = permission


@contextmanager
def explained(action: str) -> Iterator[None]:
    """Turn botocore's errors into ours; ``action`` is the IAM permission, such as eks:DescribeCluster."""
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    try:
        yield
    except exceptions.ClientError as error:
        raise _refused(action, error) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.CredentialRetrievalError) as error:
        raise UnauthorizedError(f"no AWS credentials: {plain(error)}", _LOGIN) from error
    except (exceptions.TokenRetrievalError, exceptions.SSOTokenLoadError, exceptions.UnauthorizedSSOTokenError) as error:
        raise UnauthorizedError(f"the AWS login has expired: {plain(error)}", _LOGIN) from error
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        hint = "check the region (--region) and any proxy between this machine and AWS (HTTPS_PROXY)"
        raise UnreachableError(f"AWS does not answer {action}: {plain(error)}", hint) from error
    except (ResponseParserError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        # botocore's parser trusts that an answer has the shape that was announced.
        raise ClusterError(f"AWS's answer to {action} is not valid", "check that no proxy or login page answers in AWS's place") from error
    except OSError as error:
        # A file that the SDK signs in with, such as a service account's token.
        raise UnauthorizedError(f"the AWS credentials cannot be read: {plain(error)}", _LOGIN) from error
    except exceptions.BotoCoreError as error:
        raise UsageError(f"the AWS configuration cannot be used for {action}: {plain(error)}", "aws configure list shows it") from error


def _refused(action: str, error: "ClientError") -> ClusterError:
    action, denied, ended = _SIGNING_IN.get(error.operation_name, (action, "", _LOGIN))
    detail = error.response.get("Error", {})
    code, said = str(detail.get("Code", "")), plain(detail.get("Message", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if _SKEWED.search(said):
        return UnauthorizedError(
            f"AWS refuses {action} because of the time in its signature: {said}",
            "this machine's clock is wrong: timedatectl shows and sets it",
        )
    if code in _DENIED:
        return DeniedError(action, said, denied)
    if code in _ENDED:
        return UnauthorizedError(f"AWS does not accept the credentials: {code}: {said}", ended)
    if _BUSY.search(code) or status >= 500:  # noqa: PLR2004 - HTTP's own
        return UnreachableError(
            f"AWS did not answer {action} in several tries: {plain(code)}: {said}", "wait a moment, then repeat the command"
        )
    return ClusterError(f"AWS refuses {action}: {plain(code)}: {said}")
