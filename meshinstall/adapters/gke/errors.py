"""Turns errors of Google into errors that say what to do."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from meshinstall.adapters.cloud.refusals import Refusal, find
from meshinstall.adapters.gke import refusals
from meshinstall.adapters.gke.trust import unreachable_hint
from meshinstall.errors import ClusterError, ForbiddenError, MeshinstallError, UnauthorizedError, UnreachableError
from meshinstall.model.foreign_text import plain

BETWEEN = "check that no proxy or login page answers in Google's place"
_LOGIN = "log in: gcloud auth application-default login"
# Where a permission's first word is not the name of its API; and what stands for a project where none is asked.
_SERVICES = {
    "gkehub.gateway.generateCredentials": "connectgateway",
    "resourcemanager.projects.get": "cloudresourcemanager",
    "iam.serviceAccounts.getAccessToken": "iamcredentials",
}
ANY = "any"
# Codes of APIs without an ErrorInfo (Compute Engine's error.errors), and words of messages without a code, as reasons.
_OLD = {
    "accessNotConfigured": "SERVICE_DISABLED",
    "rateLimitExceeded": "RATE_LIMIT_EXCEEDED",
    "userRateLimitExceeded": "RATE_LIMIT_EXCEEDED",
    "quotaExceeded": "RESOURCE_QUOTA_EXCEEDED",
    "vpcServiceControls": "SECURITY_POLICY_VIOLATED",
    "policyViolated": "SECURITY_POLICY_VIOLATED",
}
_WORDS = {
    "SERVICE_DISABLED": "SERVICE_DISABLED",
    "it is disabled": "SERVICE_DISABLED",
    "vpcServiceControlsUniqueIdentifier": "SECURITY_POLICY_VIOLATED",
    "required permission to use project": "USER_PROJECT_DENIED",
    "requires billing to be enabled": "BILLING_DISABLED",
    "organization's constraints/": "RESOURCE_USAGE_RESTRICTION_VIOLATED",
    "insufficient authentication scopes": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
}
_CONSUMER = re.compile(r"\bin project ([a-z0-9][a-z0-9.:-]*)\b|[?&]project=([a-z0-9][a-z0-9.:-]*)\b")
# What the SDK puts before Google's own words.
_ASKED = re.compile(r"\A[A-Z]+ https://\S+: ")
_IDENTIFIER = re.compile(r"vpcServiceControlsUniqueIdentifier: ?([\w-]+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,120}")
_CAPITALS = re.compile(r"\b(SERVICE|CONSUMER|PERMISSION|PROJECT|EMAIL)\b")
# The projects of Google's own that logins of gcloud without a quota project are counted for.
_GOOGLES = frozenset({"764086051850", "32555940559"})


class DeniedError(ForbiddenError):
    """The caller lacks an IAM permission."""


class DisabledError(ForbiddenError):
    """An API is disabled in a project, so the project has no objects of it; ``consumer`` is its ID or number as Google says it."""

    def __init__(self, message: str, hint: str = "", service: str = "", consumer: str = "") -> None:
        super().__init__(message, hint)
        self.service = service
        self.consumer = consumer


class CountedError(ForbiddenError):
    """An API is disabled in the project that calls are counted for, so nothing is known of the one that was asked."""


class MissingError(ClusterError):
    """The object does not exist at Google."""


@dataclass(frozen=True, slots=True)
class Info:
    """What google.rpc.ErrorInfo says, or what older answers say in its place; empty where nothing is said."""

    reason: str = ""
    consumer: str = ""
    service: str = ""
    permission: str = ""
    identifier: str = ""


@contextmanager
def explained(permission: str, project: str, who: str = "") -> Iterator[None]:
    """Turn the SDK's errors into ours; ``permission`` is what the call needs, such as container.clusters.get, ``who`` is who calls."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]

    try:
        yield
    except MeshinstallError:
        raise
    except api.RetryError as error:
        if isinstance(error.cause, api.GoogleAPICallError):
            raise _answered(error.cause, (permission, project), who) from error
        cause = error.cause if isinstance(error.cause, Exception) else error
        raise UnreachableError(f"Google did not answer {permission} in several tries: {plain(cause)}", _later()) from error
    except api.GoogleAPICallError as error:
        raise _answered(error, (permission, project), who) from error
    except auth.TransportError as error:
        raise UnreachableError(f"Google does not answer {permission}: {plain(error)}", unreachable_hint(error)) from error
    except auth.GoogleAuthError as error:
        # The SDK was refused (401) and wanted another token than the one it was given.
        raise _unknown(permission) from error
    except (ParseError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ClusterError(f"Google's answer to {permission} is not valid", BETWEEN) from error


def _answered(error: Any, asked: tuple[str, str], who: str) -> ClusterError:
    body = {"message": error.message, "details": error.details, "errors": error.errors}
    return refusal(*asked, int(error.code or 0), body, who)


def said_by(error: Any) -> str:
    """What Google answered, without the request that the SDK puts before it."""
    return f"{int(error.code or 0)}: {plain(_ASKED.sub('', str(error.message)))}"


def refusal(permission: str, project: str, status: int, body: Mapping[str, Any], who: str = "") -> ClusterError:
    """The error for an answer with status 400 or more, whose ``error`` object is ``body``."""
    said = plain(_ASKED.sub("", str(body.get("message", ""))))
    info = read_info(body)
    if status == HTTPStatus.FORBIDDEN and said.startswith("<"):
        return ForbiddenError(f"{permission} was refused with a page, and not by Google: {said}", BETWEEN)
    if info.reason == "SERVICE_DISABLED":
        return _disabled(permission, project, said, info)
    if kind := find(refusals.TABLE, info.reason, said):
        return _of_kind(kind, info, (permission, project, said), who)
    if status == HTTPStatus.FORBIDDEN:
        return _of_kind(_DENIED, info, (permission, project, said), who)
    return _by_status(permission, project, status, said)


def _by_status(permission: str, project: str, status: int, said: str) -> ClusterError:
    match status:
        case 401:
            return _unknown(permission)
        case 404:
            return MissingError(f"Google answers not found ({permission} in project {project}): {said}")
        case 429 | 500 | 502 | 503 | 504:
            return UnreachableError(f"Google did not answer {permission} in several tries: {status}: {said}", _later())
        case _:
            return ClusterError(f"Google refuses {permission}: {status}: {said}")


def read_info(body: Mapping[str, Any]) -> Info:
    """What an ``error`` object says of its reason, as the SDK parsed it or as JSON."""
    message = str(body.get("message", ""))
    reason, metadata = "", None
    for detail in _each(body.get("details")):
        reason = _text(_field(detail, "reason"))
        if reason:
            metadata = _field(detail, "metadata")
            break
    reason = reason or next((_OLD[old] for each in _each(body.get("errors")) if (old := _text(_field(each, "reason"))) in _OLD), "")
    reason = reason or next((known for words, known in _WORDS.items() if words in message), "")
    known: Any = metadata if hasattr(metadata, "get") else {}
    told = {key: _text(known.get(key)) for key in ("consumer", "service", "permission", "uid")}
    named, identifier = _CONSUMER.search(message), _IDENTIFIER.search(message)
    consumer = told["consumer"].removeprefix("projects/") or (named[1] or named[2] if named else "")
    uid = told["uid"] or (identifier[1] if identifier else "")
    return Info(_word(reason), _word(consumer), _word(told["service"]), _word(told["permission"]), _word(uid))


def filled(text: str, **known: str) -> str:
    """The text of a refusal with what is known in place of its words in capitals."""
    return _CAPITALS.sub(lambda word: known.get(word[0].lower(), "") or word[0], text)


_DENIED = next(kind for kind in refusals.TABLE if kind.codes == ("IAM_PERMISSION_DENIED",) and not kind.says)


def _of_kind(kind: Refusal, info: Info, asked: tuple[str, str, str], who: str) -> ClusterError:
    permission, project, said = asked
    needed = info.permission or permission
    known = {"service": info.service, "consumer": info.consumer, "permission": needed, "project": project, "email": who}
    hint = f"{filled(kind.do, **known)} ({kind.page})"
    by = f" to {who}" if who else ""
    if kind is _DENIED:
        other = f" ({needed} is missing)" if needed != permission else ""
        return DeniedError(f"Google does not allow {permission} in project {project}{by}{other}: {said}", hint)
    identifier = f" (unique identifier {info.identifier})" if info.identifier and info.identifier not in said else ""
    text = f"Google refuses {permission} in project {project}{by}: {filled(kind.means, **known)}{identifier} ({info.reason}): {said}"
    if info.reason in refusals.WAIT:
        return UnreachableError(text, hint)
    return UnauthorizedError(text, hint) if info.reason in refusals.LOGIN else ForbiddenError(text, hint)


def _disabled(permission: str, project: str, said: str, info: Info) -> ClusterError:
    if info.consumer in _GOOGLES or "quota project" in said.lower():
        # Off in a project of Google's that logins without one are counted for: it says nothing of ours.
        hint = "gcloud auth application-default set-quota-project PROJECT, or --quota-project"
        return ClusterError(f"Google needs a quota project for {permission}: {said}", hint)
    service = info.service or f"{_SERVICES.get(permission, permission.partition('.')[0])}.googleapis.com"
    if project == ANY:
        # The words that name it are added where the caller's own project is known.
        text = f"{service} is not enabled in the caller's project"
        return DisabledError(text, f"gcloud services enable {service}", service, info.consumer)
    text, hint = f"{service} is not enabled in project {project}", f"gcloud services enable {service} --project={project}"
    return DisabledError(text, hint, service, info.consumer)


def _unknown(permission: str) -> UnauthorizedError:
    return UnauthorizedError(f"Google does not accept the access token for {permission}", _LOGIN)


def _later() -> str:
    return "wait a moment, then repeat the command"


def _each(found: object) -> list[Any]:
    return list(found) if isinstance(found, (list, tuple)) else []


def _field(found: Any, name: str) -> Any:
    return found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)


def _word(text: str) -> str:
    """A word that may stand in a command that people copy; empty for anything else."""
    return text if _NAME.fullmatch(text) else ""


def _text(found: object) -> str:
    return found if isinstance(found, str) else ""
