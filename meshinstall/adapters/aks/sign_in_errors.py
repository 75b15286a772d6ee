"""Words for a login that gives no token: Entra ID's own number, and what the Azure CLI advises."""

import re

from meshinstall.adapters.aks.refusals import TABLE
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
# A way to sign in that is not set up here: it explains nothing.
_NOT_SET_UP = re.compile(r"unavailable|isn't available|not (configured|found|installed)|could not be found|requires the")


def names_a_reason(text: str) -> bool:
    """Whether Entra ID itself said why."""
    return bool(_AADSTS.search(text))


def no_token(text: str, doing: str, tenant: str = "") -> ClusterError:
    """No credential of the chain gave a token of ``tenant``; the reason that Entra ID itself gives helps most."""
    error = _no_token(text, doing)
    # Only whole words: AZURE_TENANT_ID is another one.
    named = f" --tenant {tenant}" if _ID_OR_DOMAIN.fullmatch(tenant) else ""
    error.hint = re.sub(r" --tenant TENANT\b", named, error.hint)
    return error


def _no_token(text: str, doing: str) -> ClusterError:
    if found := _AADSTS.search(text):
        return _refused(found[1], found[2], text, doing)
    if "Unable to get authority configuration" in text and not _NETWORK.search(text):
        return UnauthorizedError(
            f"{doing}: Entra ID does not know the tenant", "check --tenant or AZURE_TENANT_ID: az account show --query tenantId"
        )
    tried = [clean(line) for line in text.splitlines() if "Credential:" in line and not _NOT_SET_UP.search(line)]
    why = clean("; ".join(tried))
    if _NETWORK.search(why or text):
        return unreachable("Entra ID", why or clean(text), doing)
    if "claims challenge" in text or "claims-challenge" in text:
        return UnauthorizedError(
            f"{doing}: a Conditional Access policy asks for more than the stored login has (a claims challenge)",
            _advice(text) or "log in again: az login --tenant TENANT",
        )
    hint = _advice(text) or "az login --tenant TENANT"
    return UnauthorizedError(
        f"{doing}: no credentials for Azure{f': {why}' if why else ''}",
        f"{hint}; in CI set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE",
    )


def _refused(code: str, said: str, text: str, doing: str) -> UnauthorizedError:
    kind, advice = find(TABLE, code), _advice(text)
    sentence = clean(_TRACE.sub("", said))
    trace = _CORRELATION.search(text)
    message = f"{doing}: Entra ID refused to issue a token: {code}: {sentence}"
    if kind is None:
        again = "log in again (az login); in CI check AZURE_TENANT_ID, AZURE_CLIENT_ID and the secret or federated token"
        page = f"https://login.microsoftonline.com/error?code={code.removeprefix('AADSTS')}"
        return UnauthorizedError(message, f"{advice or again}; what it means: {page}")
    hint = f"{f'{advice}; ' if advice else ''}{kind.do} ({kind.page}{f', Correlation ID {trace[1]}' if trace else ''})"
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
