"""Turns Azure's errors into errors that say what to do; text from Azure is bounded."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from meshinstall.adapters.net.proxies import find_proxy, through
from meshinstall.errors import ClusterError, ForbiddenError, MeshinstallError, UnauthorizedError, UnreachableError
from meshinstall.model.foreign_text import plain

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError, HttpResponseError

Say = Callable[[str], None]

_LONGEST = 400
# A host of Azure, whose proxy is that of all.
_ANY = "https://management.azure.com"
_ACTION = re.compile(r"perform action '([\w./]{1,200})'")
_CALLER = re.compile(r"object id '([0-9a-fA-F-]{36})'")
_AADSTS = re.compile(r"AADSTS\d+: [^\r\n]{1,300}")
# How the SDK, which catches everything, words the failures of the network on the way to Entra ID.
_NETWORK = re.compile(r"timed out|Failed to (resolve|establish)|Connection (aborted|refused|reset)|CERTIFICATE_VERIFY_FAILED|ProxyError")
# A way to sign in that is not set up here: it explains nothing.
_NOT_SET_UP = re.compile(r"unavailable|isn't available|not (configured|found|installed)|could not be found|requires the")
# Codes of 404, from the outside in: what is missing, and where to look it up.
_MISSING = {
    "SubscriptionNotFound": ("the subscription does not exist, or you cannot see it", "az account list -o table"),
    "ResourceGroupNotFound": ("the resource group does not exist", "az group list -o table"),
    "ResourceNotFound": ("there is no such cluster in the resource group", "az aks list -o table"),
}
_SIGN_IN = {
    "InvalidAuthenticationTokenTenant": "the subscription belongs to another tenant: az login --tenant TENANT, or set AZURE_TENANT_ID",
    "ExpiredAuthenticationToken": "the token has expired: check this machine's clock, then run az login again",
}


@dataclass(frozen=True, slots=True)
class Task:
    """A request to Azure: what we are doing, the permission it needs, the built-in role that grants it, and the role's scope."""

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
        raise ClusterError(
            f"{task.doing}: Azure's answer does not have the expected fields",
            "check that no proxy answers in Azure's place, then try again",
        ) from error


def clean(text: str) -> str:
    """Text of Azure's, whose sentences are long, as one bounded line."""
    return plain(text, _LONGEST, cut="…")


def _translated(error: "AzureError", task: Task) -> MeshinstallError:
    from azure.core import exceptions

    if isinstance(error, exceptions.DecodeError):
        return ClusterError(f"{task.doing}: Azure's answer is not JSON", "check that no proxy answers in Azure's place")
    if isinstance(error, exceptions.ClientAuthenticationError) and not _is_from_arm(error):
        return _no_token(str(error), task)
    if isinstance(error, exceptions.HttpResponseError):
        return _no_token(str(error), task) if error.response is None else _refused(error, task)
    return _unreachable("Azure", clean(str(error)), task, timed_out=isinstance(error, _timeouts()))


def _is_from_arm(error: "HttpResponseError") -> bool:
    """Whether a server answered 401 to a token; else a credential gave none, perhaps because Entra ID answered an error."""
    return error.response is not None and error.status_code == HTTPStatus.UNAUTHORIZED and not _AADSTS.search(str(error))


def _timeouts() -> tuple[type[Exception], ...]:
    from azure.core import exceptions

    return exceptions.ServiceRequestTimeoutError, exceptions.ServiceResponseTimeoutError


def _unreachable(who: str, said: str, task: Task, *, timed_out: bool = False) -> UnreachableError:
    hint = "check the network, the proxy (HTTPS_PROXY) and the firewall"
    if timed_out or "timed out" in said:
        return UnreachableError(f"{task.doing}: {who} did not answer in time", hint)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        trust = "if your company's proxy signs certificates, set REQUESTS_CA_BUNDLE to the file of its CA"
        return UnreachableError(f"{task.doing}: the certificate of {who} is not trusted: {said}", trust)
    return UnreachableError(f"{task.doing}: cannot reach {who}{through(find_proxy(_ANY))}: {said}", hint)


def _no_token(text: str, task: Task) -> ClusterError:
    """No credential of the chain gave a token; the reason that Entra ID itself gives helps most."""
    if found := _AADSTS.search(text):
        return UnauthorizedError(
            f"{task.doing}: Entra ID refused to issue a token: {clean(found[0])}",
            "log in again (az login); in CI check AZURE_TENANT_ID, AZURE_CLIENT_ID and the secret or federated token",
        )
    if "Unable to get authority configuration" in text and not _NETWORK.search(text):
        return UnauthorizedError(
            f"{task.doing}: Entra ID does not know the tenant", "check AZURE_TENANT_ID: az account show --query tenantId"
        )
    tried = [clean(line) for line in text.splitlines() if "Credential:" in line and not _NOT_SET_UP.search(line)]
    why = clean("; ".join(tried))
    if _NETWORK.search(why or text):
        return _unreachable("Entra ID", why or clean(text), task)
    return UnauthorizedError(
        f"{task.doing}: no credentials for Azure{f': {why}' if why else ''}",
        "az login; in CI set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE",
    )


def _refused(error: "HttpResponseError", task: Task) -> MeshinstallError:
    status = error.status_code or 0
    code = clean(str(getattr(error.error, "code", "") or ""))
    text = clean(str(getattr(error.error, "message", "") or error.reason or ""))
    if status == HTTPStatus.UNAUTHORIZED:
        hint = _SIGN_IN.get(code, "az login again, or check AZURE_TENANT_ID and AZURE_CLIENT_ID")
        return UnauthorizedError(f"{task.doing}: Azure did not accept your token ({code}): {text}", hint)
    if status == HTTPStatus.FORBIDDEN:
        return _forbidden(code, text, task)
    if status == HTTPStatus.NOT_FOUND and code in _MISSING:
        what, look = _MISSING[code]
        return ClusterError(f"{task.doing}: {what} ({code}: {text})", f"list what exists: {look}")
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
