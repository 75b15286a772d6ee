"""A tenant with one cluster that Entra ID guards, and a caller at the doors of Azure: the tests' own process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from meshinstall.adapters.aks.limits import Limits
from meshinstall.adapters.aks.provider import AksProvider
from meshinstall.model.cluster import Cloud, ClusterRef
from testbed.clouds.aks import FakeAzure
from testbed.clouds.aks_shop import GROUP, NAME, PIPELINE, SUBSCRIPTION, TENANT, add_cluster, entra_kubeconfig, shop
from testbed.cluster import Cluster
from testbed.pki import Authority
from tests.clouds.people import Person

SERVER = "https://shop-abcd1234.hcp.westeurope.azmk8s.io:443"
AUTHORITY = Authority("kubernetes")
LIMITS = Limits(connect=2, read=2, exchange=4)


def pipeline() -> dict[str, str]:
    """What says in the environment that the caller is the pipeline."""
    return {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": PIPELINE.client_id, "AZURE_CLIENT_SECRET": PIPELINE.secret}


@contextmanager
def azure_shop(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[FakeAzure]:
    """Azure with one cluster, and an environment that leads there; nobody else's az is on PATH."""
    for name in list(os.environ):
        if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "IMDS_")) or name.upper().endswith("_PROXY"):
            patch.delenv(name)
    fake = shop(folder)
    add_cluster(fake, entra_kubeconfig(SERVER, AUTHORITY.pair.certificate))
    for name, value in {**fake.environment(), **pipeline(), "PATH": str(folder)}.items():
        patch.setenv(name, value)
    with fake.running():
        yield fake


def provider(name: str = NAME, **selectors: str) -> AksProvider:
    """The adapter for the shop's cluster, with deadlines for tests."""
    wanted = {"subscription": SUBSCRIPTION, "resource_group": GROUP, **selectors}
    return AksProvider(ClusterRef(Cloud.AKS, name, selectors=wanted), limits=LIMITS)


def person(home: Path, azure: FakeAzure, cluster: Cluster, **more: str) -> Person:
    """Somebody whose way to Azure leads to ``azure``, and who is the pipeline there."""
    return Person(
        {
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "TMPDIR": str(home),
            **azure.environment(),
            **pipeline(),
            "NO_PROXY": f"127.0.0.1,{cluster.spec.address}",
            **more,
        }
    )
