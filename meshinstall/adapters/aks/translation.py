"""What Azure's refusals mean, in words that say what to do; text from Azure is bounded."""

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from meshinstall.adapters.aks.refusals import TABLE
from meshinstall.adapters.aks.sign_in_errors import names_a_reason, no_token, unreachable
from meshinstall.adapters.aks.task import MissingPermissionError, Task
from meshinstall.adapters.aks.words import clean
from meshinstall.adapters.cloud.refusals import Refusal, find
from meshinstall.errors import ClusterError, ForbiddenError, MeshinstallError, UnauthorizedError, UnreachableError

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError, HttpResponseError

_ID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ACTION = re.compile(r"perform action '([\w./]{1,200})'")
_CALLER = re.compile(rf"object id '({_ID})'")
_PLACE = re.compile(r"/subscriptions/([\w-]{1,90})/resourceGroups/([\w().-]{1,90})/")
# Where the message about a token of a wrong tenant names the right one.
_RIGHT_TENANT = re.compile(rf"must match the tenant 'https://[\w.]{{1,60}}/({_ID})/?'")
# The names of the policy assignments, the deny assignment or the locks that forbid it.
_WHO_FORBIDS = re.compile(
    r"\"policyAssignment\":\s*\{\s*\"name\":\s*\"([^\"]{1,200})\"|deny assignment with name '([^']{1,200})'|are locked: '([^']{1,300})'"
)
_SHOWN = 3


def translate(error: "AzureError", task: Task) -> MeshinstallError:
    """The error of ours for one of the SDK."""
    from azure.core import exceptions

    if isinstance(error, exceptions.DecodeError):
        return ClusterError(f"{task.doing}: Azure's answer is not JSON", "check that no proxy answers in Azure's place")
    if isinstance(error, exceptions.ClientAuthenticationError) and not _is_from_arm(error):
        return no_token(str(error), task.doing, _tenant(error))
    if isinstance(error, exceptions.HttpResponseError):
        return no_token(str(error), task.doing, _tenant(error)) if error.response is None else _refused(error, task)
    return unreachable("Azure", clean(str(error)), task.doing, timed_out=isinstance(error, _timeouts()))


def _tenant(error: Exception) -> str:
    """The tenant of which there was no token, as identity noted it."""
    return next(iter(getattr(error, "__notes__", [])), "")


def _is_from_arm(error: "HttpResponseError") -> bool:
    """Whether a server answered 401 to a token; else a credential gave none, perhaps because Entra ID answered an error."""
    return error.response is not None and error.status_code == HTTPStatus.UNAUTHORIZED and not names_a_reason(str(error))


def _timeouts() -> tuple[type[Exception], ...]:
    from azure.core import exceptions

    return exceptions.ServiceRequestTimeoutError, exceptions.ServiceResponseTimeoutError


def _refused(error: "HttpResponseError", task: Task) -> MeshinstallError:
    status = error.status_code or 0
    code = clean(str(getattr(error.error, "code", "") or ""))
    whole = str(getattr(error.error, "message", "") or error.reason or "")
    kind, text = find(TABLE, code, whole), clean(whole)
    if status == HTTPStatus.UNAUTHORIZED:
        return _unauthorized(code, whole, kind, task)
    if kind and (kind.says or (status == HTTPStatus.FORBIDDEN and not _is_about_roles(code))):
        return ForbiddenError(f"{task.doing}: {_forbidder(kind, code, whole)}", _advice(kind, task))
    if status == HTTPStatus.FORBIDDEN:
        return _forbidden(code, text, task)
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        hint = _advice(kind, task) if kind else "try again in a few minutes"
        return UnreachableError(f"{task.doing}: Azure is busy or broken ({status} {code}): {text}", hint)
    if kind:
        return ClusterError(f"{task.doing}: {_forbidder(kind, code, whole)}", _advice(kind, task))
    return ClusterError(f"{task.doing}: Azure refuses ({status} {code}): {text}")


def _is_about_roles(code: str) -> bool:
    return code in {"AuthorizationFailed", "LinkedAuthorizationFailed"}


def _forbidder(kind: Refusal, code: str, text: str) -> str:
    """What it means, with the names of what forbids it, or with Azure's own sentence where it names nothing."""
    names = [clean(next(filter(None, found))) for found in _WHO_FORBIDS.findall(text)]
    return f"{kind.means}: {', '.join(names[:_SHOWN])} ({code})" if names else f"{kind.means} ({code}: {clean(text)})"


def _advice(kind: Refusal, task: Task) -> str:
    """What to do, with the names of the request in its commands, and the page."""
    do = kind.do
    if place := _PLACE.match(task.scope):
        do = re.sub(r"\bGROUP\b", place[2], re.sub(r"\bSUBSCRIPTION\b", place[1], do))
    return f"{do} ({kind.page})"


def _unauthorized(code: str, text: str, kind: Refusal | None, task: Task) -> UnauthorizedError:
    hint = kind.do if kind else "az login again, or check AZURE_TENANT_ID and AZURE_CLIENT_ID"
    if right := _RIGHT_TENANT.search(text):
        hint = hint.replace("--tenant TENANT", f"--tenant {right[1]}")
    return UnauthorizedError(f"{task.doing}: Azure did not accept your token ({code}): {clean(text)}", hint)


def _forbidden(code: str, text: str, task: Task) -> ForbiddenError:
    if not code:
        hint = "check that no proxy or firewall answers in Azure's place (HTTPS_PROXY)"
        return ForbiddenError(f"{task.doing}: refused with 403 and without a code of Azure's: {text}", hint)
    action = _ACTION.search(text)
    caller = _CALLER.search(text)
    permission = action[1] if action else task.permission
    if not permission:
        return ForbiddenError(f"{task.doing}: Azure refuses ({code}): {text}")
    who = caller[1] if caller else "OBJECT_ID"
    hint = f'az role assignment create --assignee {who} --role "{task.role}" --scope {task.scope}' if task.role else f"ask for {permission}"
    return MissingPermissionError(f"{task.doing}: missing permission {permission}", hint, permission)
