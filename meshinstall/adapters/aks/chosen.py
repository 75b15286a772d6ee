"""Decides whose identity is used in which tenant and cloud: one value for the SDK, for kubeconfigs and for messages. Asks nobody."""

import os.path
import re
from collections.abc import Iterator, Mapping

from meshinstall.adapters.aks.clouds import AUTHORITY, PUBLIC, AzClouds, find_cloud
from meshinstall.errors import UsageError
from meshinstall.model.cluster_ref import Chosen
from meshinstall.model.foreign_text import plain

_TENANT = "AZURE_TENANT_ID"
CLIENT = "AZURE_CLIENT_ID"
CREDENTIALS = "AZURE_TOKEN_CREDENTIALS"
# What the SDK takes as a tenant: an ID or a domain.
_VALID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
# Names of Entra ID for "any tenant": they choose none.
_ANY = frozenset({"common", "organizations", "consumers"})
_APPLICATION = (_TENANT, CLIENT)
# Ways of the SDK's chain, in its order: those for programs, and those for people.
_ENVIRONMENT, _WORKLOAD, _MANAGED = "EnvironmentCredential", "WorkloadIdentityCredential", "ManagedIdentityCredential"
_PEOPLE = {
    "VisualStudioCodeCredential": "Visual Studio Code",
    "AzureCliCredential": "az login",
    "AzurePowerShellCredential": "Connect-AzAccount of PowerShell",
    "AzureDeveloperCliCredential": "azd auth login",
}
_WAYS = (_ENVIRONMENT, _WORKLOAD, _MANAGED, *_PEOPLE)
# Variables without a secret that lead to an identity or to what vouches for its servers; those with a file's name apart.
_NAMES = (
    CLIENT,
    _TENANT,
    "AZURE_USERNAME",
    "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN",
    "AZURE_IDENTITY_DISABLE_MULTITENANTAUTH",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "AZURE_REGIONAL_AUTHORITY_NAME",
    "IDENTITY_ENDPOINT",
    "IDENTITY_SERVER_THUMBPRINT",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
)
_FILES = (
    "AZD_CONFIG_DIR",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CONFIG_DIR",
    "AZURE_FEDERATED_TOKEN_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
)


def choose(selectors: Mapping[str, str], environ: Mapping[str, str], az: AzClouds | None = None, way: str = "", folder: str = "") -> Chosen:
    """What the selectors and the environment choose; raises UsageError for a tenant or a cloud that cannot exist.

    ``az`` is what the Azure CLI's files say of clouds. ``way`` is the credential of the SDK's chain that gave a token, once one did:
    before that only the environment can tell. Names of files count from ``folder``.
    """
    way = way if way in _WAYS else _way(environ)
    tenant = _tenant(selectors, environ)
    known = az or AzClouds()
    # az has a current cloud; programs have theirs from the variable alone.
    host = environ.get(AUTHORITY) or (known.current if way not in {_ENVIRONMENT, _WORKLOAD} else "") or PUBLIC
    variables = {name: environ[name] for name in _NAMES if environ.get(name)}
    variables |= {name: os.path.join(folder, environ[name]) for name in _FILES if environ.get(name)}  # noqa: PTH118 - no file is touched
    login = find_cloud(host, known).login
    variables[AUTHORITY] = f"https://{login}"
    if way or environ.get(CREDENTIALS):
        variables[CREDENTIALS] = way or environ[CREDENTIALS]
    by = _words(way, environ) + (f" at {login}" if login != PUBLIC else "")
    return Chosen(by, {"tenant": tenant} if tenant else {}, variables, tuple(_secrets(way, environ)))


def lacking(environ: Mapping[str, str]) -> tuple[str, list[str]] | None:
    """A variable of an application's identity, and those that are missing beside it; None where nothing is missing."""
    for given in ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE"):
        missing = [name for name in _APPLICATION if not environ.get(name)]
        if environ.get(given) and missing:
            return given, missing
    return None


def _tenant(selectors: Mapping[str, str], environ: Mapping[str, str]) -> str:
    asked = selectors.get("tenant", "")
    tenant, source = (asked, "--tenant") if asked else (environ.get(_TENANT, ""), _TENANT)
    if asked.lower() in _ANY or (tenant and not _VALID.fullmatch(tenant)):
        raise UsageError(
            f"{source} {plain(tenant)} is not a tenant",
            "give its ID or domain; for the tenant of a subscription: az account show --subscription SUBSCRIPTION --query tenantId -o tsv",
        )
    return "" if tenant.lower() in _ANY else tenant


def _way(environ: Mapping[str, str]) -> str:
    """The credential that the environment alone determines, by the rules of the SDK's chain; empty where it depends on who is logged in."""
    only = environ.get(CREDENTIALS, "").strip().lower()
    for way, needs in (
        (_ENVIRONMENT, (*_APPLICATION, "AZURE_CLIENT_SECRET")),
        (_ENVIRONMENT, (*_APPLICATION, "AZURE_CLIENT_CERTIFICATE_PATH")),
        (_ENVIRONMENT, (CLIENT, "AZURE_USERNAME", "AZURE_PASSWORD")),
        (_WORKLOAD, (*_APPLICATION, "AZURE_FEDERATED_TOKEN_FILE")),
        (_MANAGED, ("IDENTITY_ENDPOINT",)),
        (_MANAGED, ("MSI_ENDPOINT",)),
    ):
        if only in {"", "prod", way.lower()} and all(environ.get(name) for name in needs):
            return way
    return next((way for way in _WAYS if way.lower() == only), "")


def _words(way: str, environ: Mapping[str, str]) -> str:
    if way == _ENVIRONMENT:
        return _environment(environ)[0]
    client = f" {plain(environ[CLIENT])}" if environ.get(CLIENT) else ""
    if way == _WORKLOAD:
        return f"workload identity{client}"
    if way == _MANAGED:
        return f"managed identity{client or ' of this machine'}"
    return _PEOPLE.get(way, "the first login that the Azure SDK finds")


def _environment(environ: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """What an identity in the environment rests on, and the names of its secrets."""
    if environ.get("AZURE_CLIENT_SECRET"):
        return "AZURE_CLIENT_SECRET", ("AZURE_CLIENT_SECRET",)
    if environ.get("AZURE_CLIENT_CERTIFICATE_PATH"):
        return "AZURE_CLIENT_CERTIFICATE_PATH", ("AZURE_CLIENT_CERTIFICATE_PASSWORD",)
    return "AZURE_USERNAME and AZURE_PASSWORD", ("AZURE_PASSWORD",)


def _secrets(way: str, environ: Mapping[str, str]) -> Iterator[str]:
    names = {_ENVIRONMENT: _environment(environ)[1], _MANAGED: ("IDENTITY_HEADER", "MSI_SECRET")}
    yield from (name for name in names.get(way, ()) if environ.get(name))
