"""Words for a login that gives no token: Entra ID's own number, and what the Azure CLI advises."""

import os
import re
from collections.abc import Iterator, Mapping

from meshinstall.adapters.aks.chosen import CLIENT as _CLIENT
from meshinstall.adapters.aks.chosen import CREDENTIALS as _CREDENTIALS
from meshinstall.adapters.aks.chosen import lacking
from meshinstall.adapters.aks.refusals import LOGIN_AGAIN, TABLE
from meshinstall.adapters.aks.trust import not_trusted
from meshinstall.adapters.aks.words import clean
from meshinstall.adapters.cloud.refusals import find
from meshinstall.adapters.net.proxies import find_proxy, through
from meshinstall.errors import ClusterError, UnauthorizedError, UnreachableError
from meshinstall.model.foreign_text import plain

# Lines of advice that are shown, and characters of each: a claims challenge is long, and useless when it is cut.
_LINES, _LONGEST_COMMAND = 3, 2000
# A host of Azure, whose proxy is that of all.
_ANY = "https://management.azure.com"
_AADSTS = re.compile(r"(AADSTS\d{1,9}): ([^\r\n]{1,600})")
# What follows the sentence: numbers for the provider's support.
_TRACE = re.compile(r"\s*Trace ID: .*")
_CORRELATION = re.compile(r"Correlation ID: ([0-9a-fA-F-]{36})")
_ID_OR_DOMAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
# Commands that the Azure CLI or the SDK names in its answer; nothing that a shell would read as more than one command.
_COMMAND = re.compile(r"(?:^|: |run |with )((?:az log(?:in|out)|azd auth login|Connect-AzAccount)(?: [\w./:@\"=+*~-]+)*)", re.MULTILINE)
# How the SDK, which catches everything, words the failures of the network on the way to Entra ID.
_NETWORK = re.compile(
    r"timed out|Failed to (resolve|establish)|Connection (aborted|refused|reset)|ProxyError|CERTIFICATE_VERIFY_FAILED|"
    r"TLS CA certificate bundle"
)
# A way to sign in that is not set up here, in the SDK's words: it explains nothing.
_NOT_SET_UP = re.compile(
    r"\bunavailable\b|isn't available|not found (on path|in environment)|is not installed|could not be found|requires the 'azure-identity"
)
# What the machine's identity service said; without an identity that was asked for, it has none, which explains nothing either.
_SERVICE = re.compile(r"Token request error: \(\w+\) (.{1,300})")
_MANY, _NO_IDENTITY = "Multiple user assigned identities", "Identity not found"
_ATTEMPT = re.compile(r"^\t?(?=\w+Credential: )", re.MULTILINE)
# What helps, by words of what was tried.
_HELPS = (
    (
        "Azure CLI not found on path",
        "put az on the PATH of this shell, or install it: https://learn.microsoft.com/cli/azure/install-azure-cli",
    ),
    (_MANY, "set AZURE_CLIENT_ID to the client ID of one of them: az vm identity show --resource-group GROUP --name MACHINE"),
    (_NO_IDENTITY, "AZURE_CLIENT_ID is not an identity of this machine: az vm identity assign --identities ID, or unset it"),
    (
        "WorkloadIdentityCredential",
        (
            "check the file in AZURE_FEDERATED_TOKEN_FILE: a pod gets it with the label azure.workload.identity/use=true, "
            "and with the annotation azure.workload.identity/client-id on its service account"
        ),
    ),
)


def names_a_reason(text: str) -> bool:
    """Whether Entra ID itself said why."""
    return bool(_AADSTS.search(text))


def no_token(text: str, doing: str, tenant: str = "", environ: Mapping[str, str] = os.environ) -> ClusterError:
    """No credential of the chain gave a token of ``tenant``; the reason that Entra ID itself gives helps most."""
    error = _no_token(text, doing, environ)
    # Only whole words: AZURE_TENANT_ID is another one.
    named = f" --tenant {tenant}" if _ID_OR_DOMAIN.fullmatch(tenant) else ""
    error.hint = re.sub(r" --tenant TENANT\b", named, error.hint)
    return error


def _no_token(text: str, doing: str, environ: Mapping[str, str]) -> ClusterError:
    if found := _AADSTS.search(text):
        # Numbers for the provider's support stand behind it; those before it are of another way that was tried.
        return _refused(found[1], found[2], text[found.start() :], doing)
    if "Unable to get authority configuration" in text and not _NETWORK.search(text):
        return UnauthorizedError(
            f"{doing}: Entra ID does not know the tenant", "check --tenant or AZURE_TENANT_ID: az account show --query tenantId"
        )
    why = clean("; ".join(_tried(text, environ)))
    if _NETWORK.search(why) and why.startswith("ManagedIdentityCredential"):
        hint = "check IDENTITY_ENDPOINT and MSI_ENDPOINT; unset them to log in by other means"
        return UnreachableError(f"{doing}: the identity service of this machine does not answer: {why}", hint)
    if _NETWORK.search(why or text):
        return unreachable("Entra ID", why or clean(text), doing)
    if "claims challenge" in text or "claims-challenge" in text:
        return UnauthorizedError(
            f"{doing}: a Conditional Access policy asks for more than the stored login has (a claims challenge)",
            _advice(text) or "log in again: az login --tenant TENANT",
        )
    return _nothing(text, doing, why, environ)


def _nothing(text: str, doing: str, why: str, environ: Mapping[str, str]) -> UnauthorizedError:
    """No credentials, or none that work on this machine."""
    only = environ.get(_CREDENTIALS, "")
    message = f"{doing}: no credentials for Azure{f' ({_CREDENTIALS}={plain(only)})' if only else ''}{f': {why}' if why else ''}"
    if half := lacking(environ):
        given, missing = half
        missed = " and ".join(missing)
        return UnauthorizedError(f"{message}: {given} is set without {missed}", f"set {missed} too, or unset {given}")
    helps = next((help_ for words, help_ in _HELPS if words in why), "")
    if not helps and only.lower() == "managedidentitycredential":
        helps = "this machine has no managed identity: az vm identity assign --resource-group GROUP --name MACHINE"
    other = f"in CI set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE{_unset(only)}"
    return UnauthorizedError(message, helps or f"{_advice(text) or 'az login --tenant TENANT'}; {other}")


def _unset(only: str) -> str:
    return f"; unset {_CREDENTIALS} to try every way" if only else ""


def _tried(text: str, environ: Mapping[str, str]) -> Iterator[str]:
    """What each way that is set up here came to."""
    # The only way that is allowed is worth a word also where it is not set up: a kubeconfig's login is one way.
    only = environ.get(_CREDENTIALS, "").strip().lower()
    for attempt in _ATTEMPT.split(text):
        name, _, said = attempt.partition(": ")
        lines = [line for line in said.splitlines() if line.strip()]
        if not name.endswith("Credential") or not lines:
            continue
        service = _SERVICE.search(lines[0])
        if service and (_MANY in service[1] or (_NO_IDENTITY in service[1] and environ.get(_CLIENT))):
            yield f"{name}: {_TRACE.sub('', service[1])}"
        elif not _NOT_SET_UP.search(lines[0]) or (name.lower() == only and not service):
            # Of a program that broke only the end says why.
            yield f"{name}: {lines[-1 if lines[0].startswith('Traceback') else 0]}"


def _refused(code: str, said: str, text: str, doing: str) -> UnauthorizedError:
    kind, advice = find(TABLE, code), _advice(text)
    sentence = clean(_TRACE.sub("", said))
    trace = _CORRELATION.search(text)
    message = f"{doing}: Entra ID refused to issue a token: {code}: {sentence}"
    if kind is None:
        again = "log in again (az login); in CI check AZURE_TENANT_ID, AZURE_CLIENT_ID and the secret or federated token"
        page = f"https://login.microsoftonline.com/error?code={code.removeprefix('AADSTS')}"
        return UnauthorizedError(message, f"{advice or again}; what it means: {page}")
    # What the Azure CLI advises is the same with the right names.
    do = advice if advice and kind.do == LOGIN_AGAIN else f"{f'{advice}; ' if advice else ''}{kind.do}"
    hint = f"{do} ({kind.page}{f', Correlation ID {trace[1]}' if trace else ''})"
    return UnauthorizedError(f"{message}: {kind.means}", hint)


def _advice(text: str) -> str:
    """The commands that the Azure CLI advises, whole, as one command line."""
    found = dict.fromkeys(plain(one, _LONGEST_COMMAND) for one in _COMMAND.findall(text) if len(one) <= _LONGEST_COMMAND)
    return " && ".join(list(found)[:_LINES])


def unreachable(who: str, said: str, doing: str, *, timed_out: bool = False) -> UnreachableError:
    """The network on the way to Azure failed."""
    hint = "check the network, the proxy (HTTPS_PROXY) and the firewall"
    if timed_out or "timed out" in said:
        return UnreachableError(f"{doing}: {who} did not answer in time", hint)
    if trust := not_trusted(said):
        what, hint = trust
        return UnreachableError(f"{doing}: the certificate of {who} is not trusted{what}: {said}", hint)
    return UnreachableError(f"{doing}: cannot reach {who}{through(find_proxy(_ANY))}: {said}", hint)
