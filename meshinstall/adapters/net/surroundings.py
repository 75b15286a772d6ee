"""The variables that decide how this machine reaches a cloud, and the programs that do it, for a report."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from meshinstall.adapters.net.proxies import checked_proxy, split_proxy
from meshinstall.errors import UsageError
from meshinstall.model.foreign_text import plain

_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_OTHERS = ("NO_PROXY", "no_proxy", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PACKAGES = ("meshinstall", "botocore", "azure-identity", "azure-mgmt-containerservice", "google-auth", "google-cloud-container")


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Those that are set; a proxy without its login."""
    found = {name: _without_login(environ[name]) for name in _PROXIES if environ.get(name)}
    return found | {name: plain(environ[name]) for name in _OTHERS if environ.get(name)}


def versions() -> dict[str, str]:
    """Of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _without_login(url: str) -> str:
    try:
        return split_proxy(checked_proxy(url if "://" in url else f"http://{url}", "it")).url
    except UsageError:
        return "not the URL of a proxy that can be used"
