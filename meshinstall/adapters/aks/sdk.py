"""Sets up the Azure SDK: the cloud, the caller's identity and the limits."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from meshinstall.adapters.aks.chosen import CREDENTIALS
from meshinstall.adapters.aks.clouds import AUTHORITY, AzClouds, find_cloud, is_known, read_az
from meshinstall.adapters.aks.errors import Say
from meshinstall.adapters.aks.identity import Identity
from meshinstall.adapters.aks.limits import Limits
from meshinstall.adapters.aks.words import clean
from meshinstall.errors import UsageError
from meshinstall.model.cluster_ref import Chosen

if TYPE_CHECKING:
    from azure.mgmt.containerservice import ContainerServiceClient

# The AKS API server's application in Entra ID: the same in every tenant and cloud (kubelogin, docs/book/src/concepts/aks.md).
SERVER_APP = "6dae42f8-4368-4678-94ff-3960e28e3630"
_BROWSER = "interactivebrowsercredential"
_CERTIFICATE = "AZURE_CLIENT_CERTIFICATE_PATH"
# Bytes of a file of the Azure CLI.
_MOST = 1024**2


class Azure:
    """One of Azure's clouds, as the caller's own identity sees it; safe for threads."""

    def __init__(self, limits: Limits, say: Say, chosen: Chosen, az: AzClouds) -> None:
        from meshinstall.adapters.aks.transport import BoundedTransport

        # Without a handler the SDK's warnings go to the terminal, many lines at a time; our errors say what matters.
        logging.getLogger("azure").addHandler(logging.NullHandler())
        self._cloud = find_cloud(chosen.variables[AUTHORITY], az)
        self._tenant = chosen.selectors.get("tenant", "")
        self._limits = limits
        self._transport = BoundedTransport(limits, say)
        self.identity = self.sign_in()

    def sign_in(self) -> Identity:
        """The caller's identity: environment, workload identity, managed identity, then developer tools such as the Azure CLI."""
        from azure.identity import DefaultAzureCredential

        if os.environ.get(CREDENTIALS, "").strip().lower() == _BROWSER:
            # It would open one and wait for somebody, also as kubectl's plugin.
            hint = f"az login, and {CREDENTIALS}=AzureCliCredential"
            raise UsageError(f"{CREDENTIALS} asks for a browser, which meshinstall never opens", hint)
        try:
            credential = DefaultAzureCredential(
                authority=self._cloud.login,
                # Which tenants are asked for is decided by the user and the cluster, and Identity holds to it.
                additionally_allowed_tenants=["*"],
                disable_instance_discovery=self._cloud.private,
                transport=self._transport,
                **self._limits.retry(),
            )
        except (ValueError, OSError) as error:
            raise UsageError(f"the AZURE_ variables are not a complete identity: {clean(str(error))}", _correct(str(error))) from error
        return Identity(credential, self._tenant)

    def clusters(self, subscription: str) -> "ContainerServiceClient":
        """The client for one subscription.

        Its policies are named one by one because the default ones register resource providers in the subscription,
        which is a change that nobody asked for.
        """
        from azure.core.pipeline.policies import ContentDecodePolicy, RetryPolicy, UserAgentPolicy
        from azure.mgmt.containerservice import ContainerServiceClient
        from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

        scopes = [self._cloud.scope]
        policies = [
            UserAgentPolicy(base_user_agent="meshinstall"),
            ContentDecodePolicy(),
            RetryPolicy(**self._limits.retry()),
            ARMChallengeAuthenticationPolicy(self.identity, *scopes),
        ]
        return ContainerServiceClient(
            self.identity, subscription, self._cloud.manager, credential_scopes=scopes, policies=policies, transport=self._transport
        )


def _correct(said: str) -> str:
    """What to do when the SDK cannot make an identity of the variables."""
    if CREDENTIALS in said:
        return f"set {CREDENTIALS} to one of them, or unset it"
    if os.environ.get(_CERTIFICATE):
        return f"name the application's certificate with its private key in {_CERTIFICATE}, as PEM or PKCS12, or unset it"
    return "set or unset AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET together"


def az_clouds(environ: Mapping[str, str]) -> AzClouds:
    """What the Azure CLI's files say of clouds; nothing where it was never used, and where a variable names a cloud that all know."""
    if is_known(environ.get(AUTHORITY, "")):
        return AzClouds()
    folder = Path(environ.get("AZURE_CONFIG_DIR") or Path(environ.get("HOME", "/"), ".azure"))
    return read_az(_text(folder / "config"), _text(folder / "clouds.config"), environ)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return content.read(_MOST).decode(errors="replace")
    except OSError:
        return ""
