"""The clusters that a caller can see: several subscriptions, pages, and places that cannot be asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.mgmt.containerservice.models import PowerState

from meshinstall.adapters.aks.provider import AksProvider
from meshinstall.errors import ClusterError
from meshinstall.model.cluster import Cloud, ClusterRef, EndpointKind, Listing
from testbed.clouds.aks import Answer, FakeAzure, Fault
from testbed.clouds.aks_arm import READER
from testbed.clouds.aks_shop import GROUP, NAME, PIPELINE, SUBSCRIPTION, add_cluster, entra_kubeconfig, managed_cluster
from tests.clouds.aks_world import AUTHORITY, LIMITS, SERVER, azure_shop

OTHERS = tuple(f"{number}0000000-bbbb-cccc-dddd-eeeeeeeeeeee" for number in range(1, 6))


@pytest.fixture
def azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAzure]:
    """Six subscriptions: five clusters in the first, one in the second, none in the others."""
    with azure_shop(tmp_path, monkeypatch) as fake:
        fake.arm.subscriptions += OTHERS
        for number in range(4):
            add_cluster(fake, entra_kubeconfig(SERVER, AUTHORITY.pair.certificate), managed_cluster(f"{NAME}{number}"))
        add_cluster(fake, b"", managed_cluster("elsewhere", version="1.35.1"), OTHERS[0])
        yield fake


def discover(subscription: str = "") -> Listing:
    return AksProvider(ClusterRef(Cloud.AKS, selectors={"subscription": subscription}), limits=LIMITS).discover()


def test_all_subscriptions_are_asked_to_the_last_page(azure: FakeAzure) -> None:
    found = discover()
    assert sorted(one.name for one in found.clusters) == ["elsewhere", *sorted([NAME, *(f"{NAME}{number}" for number in range(4))])]
    assert not found.failures
    # Two a page: three pages of subscriptions, three of the first's clusters, one of each other's.
    assert azure.count("/subscriptions?") == 3
    assert azure.count("/managedClusters?") == 3 + 5


def test_a_cluster_in_a_listing_can_be_opened(azure: FakeAzure) -> None:
    shop, elsewhere = (next(one for one in discover().clusters if one.name == name) for name in (NAME, "elsewhere"))
    assert shop.endpoint
    assert shop.endpoint.server == SERVER
    assert shop.endpoint.authority == AUTHORITY.pair.certificate
    assert shop.endpoint.kind == EndpointKind.PUBLIC
    assert shop.selectors == {"subscription": SUBSCRIPTION, "resource_group": GROUP}
    # Its kubeconfig is broken, which is for the one who opens it to say.
    assert elsewhere.version == "1.35.1"
    assert (elsewhere.endpoint and elsewhere.endpoint.authority) is None
    named = ClusterRef(Cloud.AKS, shop.name, selectors=shop.selectors)
    assert azure.entra.claims(AksProvider(named, limits=LIMITS).credential().token, ("6dae42f8-4368-4678-94ff-3960e28e3630",))


def test_named_subscriptions_alone_are_asked(azure: FakeAzure) -> None:
    found = discover(f"{OTHERS[0]}, {OTHERS[1]}")
    assert [one.name for one in found.clusters] == ["elsewhere"]
    assert azure.count("/subscriptions?") == 0


def test_a_place_that_cannot_be_asked_does_not_hide_the_others(azure: FakeAzure) -> None:
    azure.faults.append(Fault(f"{SUBSCRIPTION}/providers", Answer(403, b'{"error": {"code": "AuthorizationFailed", "message": "No."}}'), 9))
    found = discover(f"{SUBSCRIPTION},{OTHERS[0]},Production,{OTHERS[0].replace('1', '9')}")
    assert [one.name for one in found.clusters] == ["elsewhere"]
    assert set(found.failures) == {SUBSCRIPTION, "Production", OTHERS[0].replace("1", "9")}
    assert "missing permission Microsoft.ContainerService/managedClusters/read" in found.failures[SUBSCRIPTION]
    assert "is not a subscription ID" in found.failures["Production"]


def test_a_stopped_cluster_is_listed_and_not_opened(azure: FakeAzure) -> None:
    azure.arm.clusters[0].model = managed_cluster(power_state=PowerState(code="Stopped"))
    found = next(one for one in discover(SUBSCRIPTION).clusters if one.name == NAME)
    assert found.status == "Stopped"
    assert found.ready is False
    assert azure.count(f"/{NAME}/listClusterUserCredential") == 0


def test_who_may_only_read_sees_the_list(azure: FakeAzure) -> None:
    azure.arm.grants[PIPELINE.oid] = READER
    found = discover()
    assert len(found.clusters) == 6
    assert all(one.endpoint and one.endpoint.authority is None for one in found.clusters)


def test_a_listing_without_end_ends(azure: FakeAzure) -> None:
    path = f"/subscriptions/{OTHERS[1]}/providers/Microsoft.ContainerService/managedClusters"
    body = f'{{"value": [], "nextLink": "https://management.azure.com{path}?api-version=2026-08-01&$skiptoken=0"}}'
    azure.faults.append(Fault(path, Answer(200, body.encode()), count=10_000))
    assert discover(OTHERS[1]).clusters == ()
    assert azure.count(path) == 200


def test_subscriptions_of_another_shape_are_an_error(azure: FakeAzure) -> None:
    azure.faults.append(Fault("/subscriptions?", Answer(200, b'{"value": [{"id": 1, "state": "Enabled"}]}')))
    with pytest.raises(ClusterError, match="listing the subscriptions: Azure's answer does not have the expected fields"):
        discover()
