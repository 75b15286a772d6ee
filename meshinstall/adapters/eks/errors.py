"""Turns errors of AWS into errors that say what to do."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from meshinstall.adapters.eks import trust
from meshinstall.errors import ClusterError, ForbiddenError, MeshinstallError, UnauthorizedError, UnreachableError, UsageError
from meshinstall.model.cluster_ref import Chosen
from meshinstall.model.foreign_text import plain

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from botocore.session import Session

    from meshinstall.adapters.cloud.refusals import Refusal

_BUSY = re.compile(r"throttl|toomanyrequests|requestlimit|slowdown|serviceunavailable|internal|serverexception", re.IGNORECASE)
# Characters of a refusal.
_LONGEST = 700
_LOGIN = "log in again (aws sso login), or renew the keys; aws sts get-caller-identity shows whose they are"
_CODE = "run the same command again at a terminal: it asks for a new MFA code and continues"
_WAY = "check the region (--region) and any proxy between this machine and AWS (HTTPS_PROXY)"
_PART = "install it where meshinstall is: uv tool install '.[aws]' --with 'botocore[crt]', or pip install 'botocore[crt]'"
_CORRECT = "correct the profile in ~/.aws/config, or in the file of AWS_CONFIG_FILE"
# What any request may come to first, because the SDK signs in with it: by operation its permission, and what to do when it is
# denied without a reason, and when the credentials for it are refused.
_SIGNING_IN = {
    "AssumeRole": (
        "sts:AssumeRole",
        (
            "the caller needs sts:AssumeRole, and the role's trust policy the caller (docs/clouds/eks/trust-policy.json); "
            "if it asks for an external id, a source identity or tags: --external-id, --source-identity, --session-tags"
        ),
        "",
    ),
    "AssumeRoleWithWebIdentity": (
        "sts:AssumeRoleWithWebIdentity",
        "the role's trust policy must name this service account and its cluster's issuer: aws iam get-role --role-name ROLE",
        "check issuer, audience and expiry of the token in AWS_WEB_IDENTITY_TOKEN_FILE; aws sts get-caller-identity uses it too",
    ),
    "GetRoleCredentials": (
        "sso:GetRoleCredentials",
        "check that the profile's sso_role_name is assigned to you in sso_account_id; aws configure sso lists your roles",
        "",
    ),
}


class DeniedError(ForbiddenError):
    """An IAM ``permission`` that the caller lacks; with ``whose``, what denies it is not the caller's own policies."""

    def __init__(self, permission: str, said: str, hint: str, whose: str = "") -> None:
        super().__init__(f"AWS does not allow {permission}: {said}", hint)
        self.permission = permission
        self.whose = whose


@contextmanager
def signing_in(session: "Session", chosen: Chosen) -> Iterator[None]:
    """Turn what goes wrong while credentials are read, fetched or renewed into our errors, whose hints are for what was chosen."""
    try:
        with _signing_in(chosen.by):
            yield
    except ClusterError as error:
        # Where AWS itself said why, its refusal has a hint of its own.
        if error.hint == _LOGIN:
            from meshinstall.adapters.eks.advice import advice

            error.hint = advice(chosen, session.full_config["profiles"])
        raise


@contextmanager
def _signing_in(by: str) -> Iterator[None]:
    from botocore import exceptions

    whose = f" ({by})" if by else ""
    try:
        yield
    except (exceptions.BotoCoreError, exceptions.ClientError):
        with explained("the request for credentials"):
            raise
    except OSError as error:
        # A file that the SDK signs in with, such as a service account's token, or the program of a credential_process.
        raise UnauthorizedError(f"the AWS credentials cannot be read: {plain(error)}{whose}", _LOGIN) from error
    except RuntimeError as error:
        # So botocore says that a credential_process, a container or a cache gave a session that is over.
        raise UnauthorizedError(f"the AWS credentials have expired: {plain(error)}{whose}", _LOGIN) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnauthorizedError(f"the AWS credentials cannot be used: {plain(error)}{whose}", _LOGIN) from error


@contextmanager
def explained(action: str) -> Iterator[None]:
    """Turn botocore's errors into ours; ``action`` is the IAM permission, such as eks:DescribeCluster."""
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    try:
        yield
    except exceptions.ClientError as error:
        raise _refused(action, error) from error
    except exceptions.BotoCoreError as error:
        raise _of_sdk(action, error) from error
    except (ResponseParserError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        # botocore's parser trusts that an answer has the shape that was announced.
        raise ClusterError(f"AWS's answer to {action} is not valid", "check that no proxy or login page answers in AWS's place") from error
    except (OSError, RuntimeError) as error:
        # A file that the SDK renews them with, or that what it has renewed is over already.
        raise UnauthorizedError(f"the AWS credentials cannot be renewed: {plain(error)}", _LOGIN) from error


def _of_sdk(action: str, error: Exception) -> MeshinstallError:
    """An error of ours for one that the SDK raises by itself, the first that fits."""
    from botocore import exceptions as sdk

    said = plain(error)
    kinds: tuple[tuple[tuple[type[Exception], ...], Callable[[], MeshinstallError]], ...] = (
        (
            (sdk.NoCredentialsError, sdk.PartialCredentialsError, sdk.CredentialRetrievalError),
            lambda: UnauthorizedError(f"no AWS credentials: {said}", _LOGIN),
        ),
        ((sdk.RefreshWithMFAUnsupportedError,), lambda: UnauthorizedError(f"the session with MFA has expired: {said}", _CODE)),
        ((sdk.SSOTokenLoadError,), lambda: UnauthorizedError(f"the AWS login is missing: {said}", _LOGIN)),
        (
            (sdk.TokenRetrievalError, sdk.UnauthorizedSSOTokenError),
            lambda: UnauthorizedError(f"the AWS login has expired: {said}", _LOGIN),
        ),
        ((sdk.SSLError,), lambda: UnreachableError(f"the certificate of AWS is not trusted: {action}: {said}", trust.hint(os.environ))),
        ((sdk.HTTPClientError, sdk.ConnectionError), lambda: UnreachableError(f"AWS does not answer {action}: {said}", _WAY)),
        (
            (sdk.MissingDependencyException,),
            lambda: UsageError(f"the SDK of AWS lacks a part that this login needs: {said}", _PART),
        ),
        # Empty tokens, and names that cannot be any.
        ((sdk.ParamValidationError,), lambda: UnauthorizedError(f"the AWS credentials cannot be used for {action}: {said}", _LOGIN)),
    )
    found = next((make for classes, make in kinds if isinstance(error, classes)), None)
    return found() if found else UsageError(f"the AWS configuration cannot be used for {action}: {said}", _CORRECT)


def _refused(action: str, error: "ClientError") -> ClusterError:
    # A credential plugin that works needs none of it.
    from meshinstall.adapters.cloud.refusals import find
    from meshinstall.adapters.eks.refusals import CLOCK_IS_WRONG, DENIED, HIDDEN, TABLE, UNAUTHORIZED

    action, denied, ended = _SIGNING_IN.get(error.operation_name, (action, "", ""))
    detail = error.response.get("Error", {})
    code, message = str(detail.get("Code", "")), str(detail.get("Message", ""))
    # A denial ends with what it is about, behind long names.
    said = plain(message, _LONGEST)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    kind = find(TABLE, code, message)
    if code in DENIED:
        # A denial without a reason: what is known of signing in says more than what is known of all denials.
        general = kind is None or not kind.says
        hint = denied if denied and general else _do(kind)
        return DeniedError(action, said, hint, "" if general or kind is None or kind.says == HIDDEN else kind.means)
    if kind and kind.means == CLOCK_IS_WRONG:
        return UnauthorizedError(f"AWS refuses {action} because of the time in its signature: {said}", _do(kind))
    if code in UNAUTHORIZED:
        return UnauthorizedError(f"AWS does not accept the credentials: {plain(code)}: {said}", ended or _do(kind))
    if _BUSY.search(code) or status >= 500:  # noqa: PLR2004 - HTTP's own
        hint = _do(kind) or "wait a moment, then repeat the command"
        return UnreachableError(f"AWS did not answer {action} in several tries: {plain(code)}: {said}", hint)
    return ClusterError(f"AWS refuses {action}: {plain(code)}: {said}", _do(kind))


def _do(kind: "Refusal | None") -> str:
    return f"{kind.means}: {kind.do} ({kind.page})" if kind else ""
