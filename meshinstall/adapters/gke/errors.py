"""Turns errors of Google into errors that say what to do."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from meshinstall.errors import ClusterError, ForbiddenError, MeshinstallError, UnauthorizedError, UnreachableError
from meshinstall.model.foreign_text import plain

BETWEEN = "check that no proxy or login page answers in Google's place"
_LOGIN = "log in: gcloud auth application-default login"
# Where a permission's first word is not the name of its API; and what stands for a project where none is asked.
_SERVICES = {"gkehub.gateway.generateCredentials": "connectgateway", "resourcemanager.projects.get": "cloudresourcemanager"}
ANY = "any"


class DisabledError(ForbiddenError):
    """An API is disabled in a project, so the project has no objects of it."""


class MissingError(ClusterError):
    """The object does not exist at Google."""


@contextmanager
def explained(permission: str, project: str) -> Iterator[None]:
    """Turn the SDK's errors into ours; ``permission`` is what the call needs, such as container.clusters.get."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]

    try:
        yield
    except MeshinstallError:
        raise
    except api.RetryError as error:
        cause = error.cause if isinstance(error.cause, Exception) else error
        raise UnreachableError(f"Google did not answer {permission} in several tries: {plain(cause)}", _later()) from error
    except api.GoogleAPICallError as error:
        raise refusal(permission, project, int(error.code or 0), error.message, error.details) from error
    except auth.TransportError as error:
        hint = "check any proxy between this machine and Google (HTTPS_PROXY), and that SSL_CERT_FILE has its certificate authority"
        raise UnreachableError(f"Google does not answer {permission}: {plain(error)}", hint) from error
    except auth.GoogleAuthError as error:
        # The SDK was refused (401) and wanted another token than the one it was given.
        raise _unknown(permission) from error
    except (ParseError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ClusterError(f"Google's answer to {permission} is not valid", BETWEEN) from error


def refusal(permission: str, project: str, status: int, message: object, details: object) -> ClusterError:
    """The error for an answer with status 400 or more."""
    said = plain(message)
    reason = _reason(details)
    if reason == "SERVICE_DISABLED" or "SERVICE_DISABLED" in said or "it is disabled" in said:
        return _disabled(permission, project, said)
    match status:
        case 401:
            return _unknown(permission)
        case 403:
            hint = f"give the caller {permission} in project {project} (docs/clouds/gke/role.yaml has all permissions)"
            return ForbiddenError(f"Google does not allow {permission} in project {project}: {said}", hint)
        case 404:
            return MissingError(f"Google answers not found ({permission} in project {project}): {said}")
        case 429 | 500 | 502 | 503 | 504:
            return UnreachableError(f"Google did not answer {permission} in several tries: {status}: {said}", _later())
        case _:
            return ClusterError(f"Google refuses {permission}: {status}: {said}")


def _disabled(permission: str, project: str, said: str) -> ClusterError:
    if "quota project" in said.lower():
        # Off in a project of Google's that logins without one are counted for: it says nothing of ours.
        hint = "gcloud auth application-default set-quota-project PROJECT"
        return ClusterError(f"Google needs a quota project for {permission}: {said}", hint)
    service = f"{_SERVICES.get(permission, permission.partition('.')[0])}.googleapis.com"
    if project == ANY:
        return DisabledError(f"{service} is not enabled in the caller's project", f"gcloud services enable {service}")
    return DisabledError(f"{service} is not enabled in project {project}", f"gcloud services enable {service} --project={project}")


def _unknown(permission: str) -> UnauthorizedError:
    return UnauthorizedError(f"Google does not accept the access token for {permission}", _LOGIN)


def _later() -> str:
    return "wait a moment, then repeat the command"


def _reason(details: object) -> str:
    """The reason in google.rpc.ErrorInfo, as the SDK parsed it or as JSON; empty when there is none."""
    for detail in details if isinstance(details, list) else ():
        found: Any = detail.get("reason") if isinstance(detail, Mapping) else getattr(detail, "reason", "")
        if isinstance(found, str) and found:
            return found
    return ""
