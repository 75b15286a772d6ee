"""What Azure's errors mean, in words that say what to do; nothing that Azure sends is shown unbounded."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from meshinstall.errors import ClusterError, ForbiddenError, MeshinstallError, UnreachableError

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError, HttpResponseError

Say = Callable[[str], None]

_LONGEST = 400
_ACTION = re.compile(r"perform action '([\w./]{1,200})'")
_CALLER = re.compile(r"object id '([0-9a-fA-F-]{36})'")
_AADSTS = re.compile(r"AADSTS\d+: [^\r\n]{1,300}")
# Codes of 404, from the outside in: what is missing, and where to look it up.
_MISSING = {
    "SubscriptionNotFound": ("the subscription does not exist, or you cannot see it", "az account list -o table"),
    "ResourceGroupNotFound": ("the resource group does not exist", "az group list -o table"),
    "ResourceNotFound": ("there is no such cluster in the resource group", "az aks list -o table"),
}
_SIGN_IN = {
    "InvalidAuthenticationTokenTenant": "the subscription belongs to another tenant: az login --tenant TENANT, or set AZURE_TENANT_ID",
    "ExpiredAuthenticationToken": "the token has ended: check this machine's clock, then az login again",
}


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of Azure, the permission that it takes, the built-in role that has it, and where it is needed."""

    doing: str
    permission: str = ""
    role: str = ""
    scope: str = ""


@contextmanager
def explained(task: Task) -> Iterator[None]:
    """Turn whatever the SDK raises into an error of ours."""
    from azure.core.exceptions import AzureError

    try:
        yield
    except MeshinstallError:
        raise
    except AzureError as error:
        raise _translated(error, task) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        # The SDK's parsers on an answer that is not what they expect.
        raise ClusterError(f"{task.doing}: Azure's answer is not of the right shape", "is a proxy in between? try again") from error


def clean(text: str) -> str:
    """Foreign text on one line, without control characters and bounded."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _translated(error: "AzureError", task: Task) -> MeshinstallError:
    from azure.core import exceptions

    if isinstance(error, exceptions.DecodeError):
        return ClusterError(f"{task.doing}: Azure answered with something that is no JSON", "is a proxy in between that answers for it?")
    if isinstance(error, exceptions.HttpResponseError):
        if error.response is None:
            return _no_identity(str(error), task)
        return _refused(error, task)
    said = clean(str(error))
    if isinstance(error, exceptions.ServiceRequestTimeoutError | exceptions.ServiceResponseTimeoutError) or "timed out" in said:
        return UnreachableError(
            f"{task.doing}: Azure does not answer in time", "check the network, the proxy (HTTPS_PROXY) and the firewall"
        )
    if "CERTIFICATE_VERIFY_FAILED" in said:
        hint = "if a company's proxy signs certificates, name its CA's file in REQUESTS_CA_BUNDLE"
        return UnreachableError(f"{task.doing}: the certificate is not trusted: {said}", hint)
    return UnreachableError(f"{task.doing}: Azure cannot be reached: {said}", "check the network, the proxy (HTTPS_PROXY) and the firewall")


def _no_identity(text: str, task: Task) -> ClusterError:
    """The chain of credentials came to nothing; what Entra ID itself said is the part that helps."""
    if found := _AADSTS.search(text):
        said = clean(found[0])
        return ClusterError(
            f"{task.doing}: Entra ID refuses to give a token: {said}", "check AZURE_TENANT_ID, AZURE_CLIENT_ID and the secret"
        )
    if "Unable to get authority configuration" in text:
        return ClusterError(f"{task.doing}: Entra ID does not know the tenant", "check AZURE_TENANT_ID: az account show --query tenantId")
    tried = [
        clean(line)
        for line in text.splitlines()
        if "Credential:" in line and not re.search("unavailable|isn't available|not configured", line)
    ]
    why = f": {'; '.join(tried)}" if tried else ""
    return ClusterError(
        f"{task.doing}: no credentials for Azure{clean(why)}",
        "az login; in CI set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE",
    )


def _refused(error: "HttpResponseError", task: Task) -> MeshinstallError:
    status = error.status_code or 0
    code = clean(str(getattr(error.error, "code", "") or ""))
    text = clean(str(getattr(error.error, "message", "") or error.reason or ""))
    if status == HTTPStatus.UNAUTHORIZED:
        hint = _SIGN_IN.get(code, "az login again, or check AZURE_TENANT_ID and AZURE_CLIENT_ID")
        return ClusterError(f"{task.doing}: Azure does not accept the caller's token ({code}): {text}", hint)
    if status == HTTPStatus.FORBIDDEN:
        return _forbidden(code, text, task)
    if status == HTTPStatus.NOT_FOUND and code in _MISSING:
        what, look = _MISSING[code]
        return ClusterError(f"{task.doing}: {what} ({code}: {text})", f"see what is there: {look}")
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnreachableError(f"{task.doing}: Azure is busy or broken ({status} {code}): {text}", "try again in a few minutes")
    return ClusterError(f"{task.doing}: Azure refuses ({status} {code}): {text}")


def _forbidden(code: str, text: str, task: Task) -> ForbiddenError:
    action = _ACTION.search(text)
    caller = _CALLER.search(text)
    permission = action[1] if action else task.permission
    if not permission:
        return ForbiddenError(f"{task.doing}: Azure refuses ({code}): {text}")
    who = caller[1] if caller else "OBJECT_ID"
    hint = f'az role assignment create --assignee {who} --role "{task.role}" --scope {task.scope}' if task.role else f"ask for {permission}"
    return ForbiddenError(f"{task.doing}: missing permission {permission}", hint)
