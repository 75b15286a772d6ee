"""The clouds of Azure by the host of their Entra ID: those that Microsoft names, and those that the Azure CLI was told of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from meshinstall.errors import UsageError
from meshinstall.model.foreign_text import plain

AUTHORITY = "AZURE_AUTHORITY_HOST"
PUBLIC = "login.microsoftonline.com"


@dataclass(frozen=True, slots=True)
class AzureCloud:
    """One cloud: its Entra ID (``login``, a host), its Resource Manager (``manager``, a URL) and the scope of tokens for that.

    Entra ID's library confirms hosts that it does not know at the public cloud, so ``private`` ones must not be looked up.
    """

    login: str
    manager: str
    scope: str
    private: bool = False


def _cloud(login: str, manager: str, audience: str = "") -> AzureCloud:
    return AzureCloud(login, f"https://{manager}", f"https://{audience or manager}/.default")


_PUBLIC = _cloud(PUBLIC, "management.azure.com")
_GOVERNMENT = _cloud("login.microsoftonline.us", "management.usgovcloudapi.net", "management.core.usgovcloudapi.net")
_CHINA = _cloud("login.chinacloudapi.cn", "management.chinacloudapi.cn")
_CLOUDS: Mapping[str, AzureCloud] = {
    **dict.fromkeys((PUBLIC, "login.microsoft.com", "login.windows.net"), _PUBLIC),
    **dict.fromkeys((_GOVERNMENT.login, "login.usgovcloudapi.net"), _GOVERNMENT),
    **dict.fromkeys((_CHINA.login, "login.partner.microsoftonline.cn"), _CHINA),
    # Bleu and Delos, as MSAL and the SDKs for other languages know them.
    "login.sovcloud-identity.fr": _cloud("login.sovcloud-identity.fr", "management.sovcloud-api.fr"),
    "login.sovcloud-identity.de": _cloud("login.sovcloud-identity.de", "management.sovcloud-api.de"),
}
# Names that the Azure CLI has for them (az cloud list).
_NAMES = {"AzureCloud": PUBLIC, "AzureUSGovernment": _GOVERNMENT.login, "AzureChinaCloud": _CHINA.login}


@dataclass(frozen=True, slots=True)
class AzClouds:
    """What the Azure CLI knows: the login host of its current cloud (empty for the default), and clouds that it was told of, by host."""

    current: str = ""
    registered: Mapping[str, AzureCloud] = field(default_factory=dict)


def read_az(config: str, clouds: str, environ: Mapping[str, str]) -> AzClouds:
    """Read the Azure CLI's files ``config`` and ``clouds.config``; what is not readable as such a file says nothing."""
    if not (config or clouds or environ.get("AZURE_CLOUD_NAME")):
        return AzClouds()
    import configparser

    settings, told = (configparser.ConfigParser(interpolation=None, strict=False) for _ in range(2))
    try:
        settings.read_string(config)
        told.read_string(clouds)
    except configparser.Error:
        return AzClouds()
    names = dict(_NAMES)
    registered = {}
    for section in told.sections():
        one = told[section]
        login, manager = _host(one.get("endpoint_active_directory", "")), one.get("endpoint_resource_manager", "").rstrip("/")
        if login and manager.startswith("https://"):
            names[section] = login
            audience = one.get("endpoint_active_directory_resource_id", "").rstrip("/") or manager
            registered[login] = _CLOUDS.get(login) or AzureCloud(login, manager, f"{audience}/.default", private=True)
    # az reads this variable before its file, as for every setting (AZURE_SECTION_NAME).
    name = environ.get("AZURE_CLOUD_NAME") or settings.get("cloud", "name", fallback="") or ""
    return AzClouds(names.get(name, ""), registered)


def is_known(host: str) -> bool:
    """Whether ``host`` (also as a URL) is the Entra ID of a cloud that needs no file of the Azure CLI."""
    return _host(host) in _CLOUDS


def find_cloud(host: str, az: AzClouds) -> AzureCloud:
    """The cloud whose Entra ID is at ``host`` (also as a URL); raises UsageError for one that nothing here knows."""
    login = _host(host)
    if found := _CLOUDS.get(login) or az.registered.get(login):
        return found
    raise UsageError(
        f"{AUTHORITY} is not the login host of an Azure cloud: {plain(login)}",
        f"set it to one of {', '.join(_CLOUDS)}, or unset it; any other cloud must be registered with the Azure CLI: az cloud register",
    )


def _host(said: str) -> str:
    try:
        return (urlsplit(said).hostname or said).lower().rstrip("/ ")
    except ValueError:
        return said
