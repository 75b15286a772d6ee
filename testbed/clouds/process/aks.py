"""Azure as a process: Resource Manager and Entra ID behind a proxy, and the keys that the cluster's API server asks for."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from testbed.clouds import aks, aks_entra, aks_shop
from testbed.clouds.process.kind import PROXIES, Address, Kind, Running
from testbed.pki import write_private
from testbed.spec import AUTHENTICATION, CLOUD_PORT, Spec

_TOKEN = "federated-token"  # noqa: S105 - a file's name
# A CI system whose tokens the application trusts, and the job's name there; the token lasts as long as the cluster's certificates.
_ISSUER, _SUBJECT = "https://ci.testbed.example", "repo:shop:environment:staging"
_LIFE = 30 * 24 * 3600


@contextmanager
def _serve(of: Spec, folder: Path, pki: Path) -> Iterator[Running]:
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    who = replace(aks_shop.PIPELINE, secret="", trusts={(_ISSUER, _SUBJECT): key.public_key()})
    now = int(time.time())
    claims = {"iss": _ISSUER, "sub": _SUBJECT, "aud": aks_entra.EXCHANGE, "iat": now, "nbf": now, "exp": now + _LIFE}
    write_private(folder / _TOKEN, jwt.encode(claims, key, "ES256"))
    with aks_shop.shop(folder, who, (of.address, CLOUD_PORT)).running() as azure:
        aks_shop.add_cluster(azure, aks_shop.entra_kubeconfig(of.server, (pki / "ca.crt").read_bytes()))
        for name, text in azure.authentication(of.address).files.items():
            write_private(AUTHENTICATION / name, text)
        what = "Entra ID and Resource Manager, behind a proxy"
        yield Running((Address(azure.url, what),), "Group", who.groups[0])


def _login(of: Spec, folder: Path, _env: Mapping[str, str]) -> dict[str, str]:
    """A CI job's federated identity; the API server is reached past the proxy."""
    return {
        **aks.environment(f"http://{of.address}:{CLOUD_PORT}", folder / aks.BUNDLE),
        "AZURE_TENANT_ID": aks_shop.TENANT,
        "AZURE_CLIENT_ID": aks_shop.PIPELINE.client_id,
        "AZURE_FEDERATED_TOKEN_FILE": str(folder / _TOKEN),
        "NO_PROXY": of.address,
    }


KIND = Kind(
    flags=aks.FLAGS,
    staging=lambda _: {
        "cloud": "aks",
        "cluster": {"name": aks_shop.NAME, "resourceGroup": aks_shop.GROUP, "subscription": aks_shop.SUBSCRIPTION},
    },
    login=_login,
    foreign=("AZURE_", "IDENTITY_", "MSI_", "IMDS_", *PROXIES),
    serve=_serve,
)
