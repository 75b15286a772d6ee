"""Turns refusals of Google's token services into errors; what they describe may repeat what was sent, so codes alone are shown."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from subprocess import SubprocessError
from typing import Any

from meshinstall.adapters.cloud.refusals import Refusal, find
from meshinstall.adapters.gke import refusals
from meshinstall.adapters.gke.chosen import Login
from meshinstall.adapters.gke.errors import filled, read_info, refusal
from meshinstall.adapters.gke.trust import unreachable_hint
from meshinstall.errors import ClusterError, ForbiddenError, UnauthorizedError, UnreachableError
from meshinstall.model import json_text
from meshinstall.model.foreign_text import plain

LOGIN = "log in: gcloud auth application-default login; or set GOOGLE_APPLICATION_CREDENTIALS to a key or federation file"
BETWEEN = "check that no proxy or login page answers in Google's place"
IMPERSONATE = "iam.serviceAccounts.getAccessToken"
# What each account of a chain but the last needs on the next; roles/iam.serviceAccountTokenCreator has both.
_DELEGATE = "iam.serviceAccounts.implicitDelegation"
# google.auth's words: of a federated identity's token, of a code, and of a login whose proof of the person is over.
_MISSING = re.compile(r"File '([^']*)' was not found\.")
_CODE = re.compile(r"Error code ([a-z_]+)")
_REAUTHENTICATION = "Reauthentication is needed"
# Of these google.auth says in its own words what it could not read on this machine; what follows may be what a program printed.
_LOCAL = re.compile(
    r"(Executable (?:exited with non-zero return code -?\d+|returned unsuccessful response|response)"
    r"|Unable to (?:determine AWS region|retrieve AWS [\w ]{1,40}|retrieve Identity Pool subject token|parse subject_token)"
    r"|Missing subject_token|Error reading from|Subject token)"
)
_GOOGLE = re.compile(r"https://[\w.-]+\.(googleapis\.com|google\.internal)/")
_WORKFORCE = "external_account_authorized_user"
_AGAIN = "log in again: gcloud auth application-default login --login-config=FILE"
JOB = "check credential_source in the file of GOOGLE_APPLICATION_CREDENTIALS, and that the CI job has what it names"
_GCLOUD_ALONE = ("CLOUDSDK_AUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE")
_FEDERATED = (
    "check that the token's issuer, audience and expiry match the pool's provider, and that the job meets its attribute condition: "
    "gcloud iam workload-identity-pools providers describe; a wrong clock also causes this (timedatectl)"
)


def refused(error: Exception, login: Login) -> ClusterError:
    """The error for a token that was not given."""
    from google.auth.exceptions import OAuthError, TransportError

    # Where the metadata server is away, google.auth wraps one in the other.
    cause = error.args[0] if error.args and isinstance(error.args[0], TransportError) else error
    if isinstance(cause, TransportError):
        return _silent(cause, login)
    if body := impersonation_answer(error):
        return _not_impersonated(body, login)
    if missing := _MISSING.fullmatch(str(error)):
        return UnauthorizedError(f"the job's own token file is missing: {plain(missing[1])}", JOB)
    code, said = _code(error)
    if kind := find(refusals.TABLE, code, said):
        # The one that google.auth raises of a federated identity.
        return _job_refused(kind, code, login) if isinstance(error, OAuthError) else _login_refused(kind, code, login)
    return _unexplained(error, login)


def _silent(cause: Exception, login: Login) -> UnreachableError:
    if _is_job(login) and not _GOOGLE.match(plain(cause)):
        return UnreachableError(f"the service of the job's own token does not answer: {plain(cause)}", JOB)
    return UnreachableError(f"Google's token service does not answer: {plain(cause)}", unreachable_hint(cause))


def _unexplained(error: Exception, login: Login) -> ClusterError:
    """The error for what no code explains: google.auth's own words of what it could not read here, and no others."""
    local = _LOCAL.match(str(error.args[0])) if error.args else None
    if local and _is_job(login):
        return UnauthorizedError(f"the job's own token cannot be read: {plain(local[0])}", JOB)
    if getattr(error, "retryable", False):
        return UnreachableError("Google's token service did not answer in several tries", "wait a moment, then repeat the command")
    return ClusterError("Google gave no access token", JOB if _is_job(login) else LOGIN)


def not_found(login: Login, environ: Mapping[str, str]) -> str:
    """What to do when there are no credentials: gcloud has ways of its own to log in, which none of Google's libraries read."""
    own = next((name for name in _GCLOUD_ALONE if environ.get(name)), "")
    return f"{own} is read by gcloud alone; {LOGIN}" if own and login.file is None else LOGIN


def not_given(error: Exception) -> ClusterError:
    """The error for what google.auth has no error of its own for."""
    if isinstance(error, SubprocessError):
        # The program of an executable-sourced identity, which google.auth stops.
        return UnauthorizedError("the program that gives the job's own token did not answer in time", JOB)
    return not_valid(f" ({type(error).__name__})")


def not_valid(how: str = "") -> ClusterError:
    """The error for an answer that has no token in it."""
    return ClusterError(f"Google's token service did not return a valid token{how}", BETWEEN)


def _is_job(login: Login) -> bool:
    return login.file is not None and login.file.kind == "external_account"


def _job_refused(kind: Refusal, code: str, login: Login) -> ClusterError:
    if login.file and login.file.kind == _WORKFORCE:
        return UnauthorizedError(f"Google does not accept the login of the workforce ({code}): it has expired or was revoked", _AGAIN)
    better = f"{kind.do} ({kind.page}); " if kind.says or code == "invalid_target" else ""
    return UnauthorizedError(f"Google does not accept the job's own token ({code})", f"{better}{_FEDERATED}")


def _login_refused(kind: Refusal, code: str, login: Login) -> ClusterError:
    text = f"Google does not accept the credentials ({code}): {kind.means}"
    return UnauthorizedError(text, f"{filled(kind.do, email=login.source)} ({kind.page})")


def impersonation_answer(error: Exception) -> Mapping[str, Any]:
    """The ``error`` object of IAM's answer to an impersonation; empty for other refusals."""
    if len(error.args) < 2 or "impersonated" not in str(error.args[0]):  # noqa: PLR2004 - the words and the answer
        return {}
    text = error.args[1]
    try:
        found = json_text.load(text.encode() if isinstance(text, str) else text)
    except (ValueError, TypeError, AttributeError):
        return {}
    body = found.get("error") if isinstance(found, dict) else None
    return body if isinstance(body, dict) else {}


def lacks_permission(body: Mapping[str, Any]) -> bool:
    """Whether an account of the chain may not act as the next."""
    said = f"{body.get('message', '')} {read_info(body).permission}"
    return IMPERSONATE in said or _DELEGATE in said


def may_not(login: Login, hop: int) -> ForbiddenError:
    """The account before the ``hop``-th of those that are impersonated may not act as it."""
    names = login.acts_as
    whom = plain(names[hop]) if hop < len(names) else "that service account"
    caller = plain(login.source) or "the caller"
    who = plain(names[hop - 1]) if hop else caller
    member = f"serviceAccount:{who}" if hop or ".gserviceaccount.com" in who else f"user:{who}" if "@" in who else "CALLER"
    through = f" (account {hop + 1} of {len(names)} in the chain)" if len(names) > 1 else ""
    return ForbiddenError(
        f"{who} may not impersonate {whom}{through}: {IMPERSONATE} is missing",
        f"gcloud iam service-accounts add-iam-policy-binding {whom} --role=roles/iam.serviceAccountTokenCreator --member={member}",
    )


def _not_impersonated(body: Mapping[str, Any], login: Login) -> ClusterError:
    target = plain(login.email) or "the service account"
    if lacks_permission(body):
        return may_not(login, max(len(login.acts_as) - 1, 0))
    status = body.get("code")
    if status == HTTPStatus.NOT_FOUND:
        hint = "list those that exist: gcloud iam service-accounts list --project=PROJECT"
        return ClusterError(f"there is not a service account {target}, or one of the chain to it", hint)
    project = read_info(body).consumer or login.quota_project or login.own_project or "of the caller"
    return refusal(IMPERSONATE, project, status if isinstance(status, int) else 0, body, plain(login.source))


def _code(error: Exception) -> tuple[str, str]:
    """The code of a refusal, and its description, which is for comparing only."""
    if _REAUTHENTICATION in str(error):
        return "invalid_rapt", ""
    body = error.args[1] if len(error.args) > 1 and isinstance(error.args[1], Mapping) else {}
    code, described = body.get("error_subtype") or body.get("error"), str(body.get("error_description", ""))
    if isinstance(code, str) and find(refusals.TABLE, code, described):
        return code, described
    if isinstance(body.get("error"), str) and find(refusals.TABLE, body["error"], described):
        return body["error"], described
    said = str(error.args[0]) if error.args else ""
    match = _CODE.search(said)
    first = match[1] if match else said.partition(":")[0]
    return (first, said) if find(refusals.TABLE, first, said) and first.islower() else ("", said)
