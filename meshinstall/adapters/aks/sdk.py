"""Sets up the Azure SDK: the cloud, the caller's identity and the limits."""

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from meshinstall.adapters.aks.errors import Say, clean
from meshinstall.adapters.aks.limits import Limits
from meshinstall.errors import UsageError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.mgmt.containerservice import ContainerServiceClient

# The AKS API server's application in Entra ID: the same in every tenant and cloud (kubelogin, docs/book/src/concepts/aks.md).
SERVER_APP = "6dae42f8-4368-4678-94ff-3960e28e3630"
_AUTHORITY = "AZURE_AUTHORITY_HOST"
# Authority host to the name of the cloud in the SDK.
_CLOUDS: Mapping[str, str] = {
    "login.microsoftonline.com": "AZURE_PUBLIC_CLOUD",
    "login.microsoftonline.us": "AZURE_US_GOVERNMENT",
    "login.chinacloudapi.cn": "AZURE_CHINA_CLOUD",
}


class Azure:
    """One of Azure's clouds, as the caller's own identity sees it; safe for threads."""

    def __init__(self, limits: Limits, say: Say) -> None:
        from meshinstall.adapters.aks.transport import BoundedTransport

        # Without a handler the SDK's warnings go to the terminal, many lines at a time; our errors say what matters.
        logging.getLogger("azure").addHandler(logging.NullHandler())
        self._cloud = cloud_of(os.environ)
        self._limits = limits
        self._transport = BoundedTransport(limits, say)
        self.identity = self.sign_in()

    def sign_in(self) -> "TokenCredential":
        """The caller's identity: environment, workload identity, managed identity, then developer tools such as the Azure CLI."""
        from azure.identity import DefaultAzureCredential

        try:
            return DefaultAzureCredential(transport=self._transport, **self._limits.retry())
        except (ValueError, OSError) as error:
            hint = "set or unset AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET together"
            raise UsageError(f"the AZURE_ variables are not a complete identity: {clean(str(error))}", hint) from error

    def clusters(self, subscription: str) -> "ContainerServiceClient":
        """The client for one subscription.

        Its policies are named one by one because the default ones register resource providers in the subscription,
        which is a change that nobody asked for.
        """
        from azure.core import AzureClouds
        from azure.core.pipeline.policies import ContentDecodePolicy, RetryPolicy, UserAgentPolicy
        from azure.mgmt.containerservice import ContainerServiceClient
        from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy
        from azure.mgmt.core.tools import get_arm_endpoints

        cloud = AzureClouds[self._cloud]
        scopes = get_arm_endpoints(cloud)["credential_scopes"]
        policies = [
            UserAgentPolicy(base_user_agent="meshinstall"),
            ContentDecodePolicy(),
            RetryPolicy(**self._limits.retry()),
            ARMChallengeAuthenticationPolicy(self.identity, *scopes),
        ]
        return ContainerServiceClient(
            self.identity, subscription, cloud_setting=cloud, credential_scopes=scopes, policies=policies, transport=self._transport
        )


def cloud_of(environ: Mapping[str, str]) -> str:
    """The SDK's name of the cloud whose Entra ID is AZURE_AUTHORITY_HOST; the public one when it is not set."""
    said = environ.get(_AUTHORITY) or "login.microsoftonline.com"
    host = (urlsplit(said).hostname or said).lower().rstrip("/")
    if host not in _CLOUDS:
        raise UsageError(
            f"{_AUTHORITY} is not the login host of an Azure cloud: {host}", f"set it to one of {', '.join(_CLOUDS)}, or unset it"
        )
    return _CLOUDS[host]
