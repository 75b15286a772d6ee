"""Azure as a process: Resource Manager and Entra ID behind a proxy, and the keys that the cluster's API server asks for."""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from testbed.clouds import aks, aks_awkward, aks_az, aks_entra, aks_shop
from testbed.clouds.process.kind import PROXIES, Address, Kind, Running
from testbed.pki import write_private
from testbed.spec import AUTHENTICATION, CLOUD_PORT, Account, Spec

_TOKEN = "federated-token"  # noqa: S105 - a file's name
# A CI system whose tokens the application trusts, and the job's name there; the token lasts as long as the cluster's certificates.
_ISSUER, _SUBJECT = "https://ci.testbed.example", "repo:shop:environment:staging"
_LIFE = 30 * 24 * 3600


def _serve(of: Spec, folder: Path, pki: Path) -> AbstractContextManager[Running]:
    return _awkward(of, folder, pki) if of.account is Account.AWKWARD else _plain(of, folder, pki)


@contextmanager
def _awkward(of: Spec, folder: Path, pki: Path) -> Iterator[Running]:
    with aks_awkward.awkward(folder, (of.address, CLOUD_PORT)).running() as azure:
        aks_awkward.add_private_cluster(azure, of.server, (pki / "ca.crt").read_bytes())
        yield _running(of, azure)


@contextmanager
def _plain(of: Spec, folder: Path, pki: Path) -> Iterator[Running]:
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    who = replace(aks_shop.PIPELINE, secret="", trusts={(_ISSUER, _SUBJECT): key.public_key()})
    now = int(time.time())
    claims = {"iss": _ISSUER, "sub": _SUBJECT, "aud": aks_entra.EXCHANGE, "iat": now, "nbf": now, "exp": now + _LIFE}
    write_private(folder / _TOKEN, jwt.encode(claims, key, "ES256"))
    with aks_shop.shop(folder, who, (of.address, CLOUD_PORT)).running() as azure:
        aks_shop.add_cluster(azure, aks_shop.entra_kubeconfig(of.server, (pki / "ca.crt").read_bytes()))
        yield _running(of, azure)


def _running(of: Spec, azure: aks.FakeAzure) -> Running:
    for name, text in azure.authentication(of.address).files.items():
        write_private(AUTHENTICATION / name, text)
    what = "Entra ID and Resource Manager, behind a proxy"
    return Running((Address(azure.url, what),), "Group", aks_shop.PIPELINE.groups[0])


def _login(of: Spec, folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """A CI job's federated identity, or a person's az in an awkward account; the API server is reached past the proxy."""
    way = aks.environment(f"http://{of.address}:{CLOUD_PORT}", folder / aks.BUNDLE)
    if of.account is Account.AWKWARD:
        files = aks_az.install(folder, aks_awkward.HOME, aks_awkward.REFRESH)
        path = f"{folder}:{env.get('PATH', '')}"
        return {**way, **files, "AZURE_TENANT_ID": aks_shop.TENANT, "NO_PROXY": of.address, "PATH": path}
    return {
        **way,
        "AZURE_TENANT_ID": aks_shop.TENANT,
        "AZURE_CLIENT_ID": aks_shop.PIPELINE.client_id,
        "AZURE_FEDERATED_TOKEN_FILE": str(folder / _TOKEN),
        "NO_PROXY": of.address,
    }


def _staging(account: Account) -> dict[str, object]:
    """The cluster's entry in meshinstall.yaml; the awkward one is private, and its public name is asked for."""
    cluster = {"name": aks_shop.NAME, "resourceGroup": aks_shop.GROUP, "subscription": aks_shop.SUBSCRIPTION}
    more = {"tenant": aks_shop.TENANT, "endpoint": "public"} if account is Account.AWKWARD else {}
    return {"cloud": "aks", "cluster": cluster | more}


KIND = Kind(
    flags=aks.FLAGS,
    staging=_staging,
    login=_login,
    foreign=("AZURE_", "IDENTITY_", "MSI_", "IMDS_", *PROXIES),
    serve=_serve,
)
