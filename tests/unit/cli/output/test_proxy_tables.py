"""The list of proxies as it is printed: within 80 columns, by its schema, and with nothing of a tenant's as a command."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest

from meshinstall.cli.output.printers import dump
from meshinstall.cli.output.proxy_tables import age, proxies_json, proxies_text
from meshinstall.model.mesh import SyncState
from meshinstall.model.mesh_position import Carrier
from meshinstall.model.place import Place
from meshinstall.model.proxy_list import ListedProxy, ProxyList, RolledBy, Rolling
from tests.fake_kube import NOON

SCHEMA = json.loads((Path(__file__).parents[4] / "docs/schemas/proxies.json").read_text())


def proxy(
    name: str = "web-1", version: str = "1.30.4", revision: str = "default", kind: str = "Deployment", of: str = "web"
) -> ListedProxy:
    """One of namespace shop, an hour old, connected and in sync."""
    return ListedProxy(
        pod=Place("shop", name),
        version=version,
        revision=revision,
        kind=kind,
        workload=Place("shop", of),
        carrier=Carrier.SIDECAR,
        created=NOON - timedelta(hours=1),
        is_ready=True,
        rolling=Rolling(RolledBy.ROLLOUT),
        sync=SyncState.SYNCED,
        istiod="istio-system/istiod-x",
        is_connected=True,
    )


LONE = replace(proxy("lone", kind="Pod", of="lone"), rolling=Rolling(RolledBy.NOBODY, "a bare pod: delete it and make it again"))
STALE = replace(proxy("web-3"), sync=SyncState.STALE, sync_words="it has not acknowledged Listener", is_ready=False)
LOST = replace(proxy("web-4"), sync=SyncState.UNKNOWN, istiod="", is_connected=False)
ASKED = replace(LOST, pod=Place("shop", "web-5"), is_connected=None)
GATEWAY = replace(proxy("gw-1", "1.31.0", "1-31", of="gw"), carrier=Carrier.GATEWAY, rolling=Rolling(RolledBy.UPGRADE))


def listed(*proxies: ListedProxy, **fields: object) -> ProxyList:
    return replace(ProxyList("dev", "testbed", NOON, proxies), **fields)  # type: ignore[arg-type] # by its own names


def test_proxies_that_are_alike_share_a_row_below_their_version_and_revision() -> None:
    older = replace(proxy("web-2"), created=NOON - timedelta(days=41))
    assert proxies_text(listed(proxy(), older, LONE, GATEWAY)).splitlines() == [
        "4 proxies on testbed (environment dev): 3 of 1.30.4, 1 of 1.31.0.",
        "",
        "1.30.4, revision default: 3",
        "NAMESPACE  WORKLOAD        READY  AGE  STATE   ROLLED BY",
        "shop       Deployment web  2/2    41d  synced  rollout",
        "shop       Pod lone        1/1    1h   synced  nobody",
        "",
        "1.31.0, revision 1-31: 1",
        "NAMESPACE  WORKLOAD       READY  AGE  STATE   ROLLED BY",
        "shop       Deployment gw  1/1    1h   synced  upgrade",
        "",
        "Not replaced by a restart, or only in part:",
        "  Pod shop/lone: a bare pod: delete it and make it again",
    ]


def test_what_is_not_in_sync_is_named_and_what_is_not_known_is_no_fault() -> None:
    lines = proxies_text(listed(STALE, LOST, ASKED)).splitlines()
    assert [line.split()[3:] for line in lines[4:7]] == [
        ["0/1", "1h", "stale", "rollout"],
        ["1/1", "1h", "not", "connected", "rollout"],
        ["1/1", "1h", "unknown", "rollout"],
    ]
    assert lines[-3:] == ["Not in sync:", "  shop/web-3: it has not acknowledged Listener", "  shop/web-4: no istiod lists it"]


def test_a_cluster_without_a_proxy_is_named() -> None:
    assert proxies_text(listed()) == "No proxy of Istio runs on testbed (environment dev)."
    others = proxies_text(listed(others=2, gaps=("Deployments could not be listed: no",)))
    assert others.splitlines() == [
        "No proxy of Istio runs on testbed (environment dev). 2 more of another mesh are not listed.",
        "",
        "Not read:",
        "  Deployments could not be listed: no",
    ]


def test_a_long_part_is_cut_in_text_and_whole_in_json() -> None:
    many = tuple(replace(LONE, pod=Place("shop", f"p{number}"), workload=Place("shop", f"p{number}")) for number in range(60))
    assert "  and 40 more: -o json lists them all" in proxies_text(listed(*many))
    assert len(proxies_json(listed(*many))["proxies"]) == 60


def test_long_names_come_whole_and_the_columns_that_do_not_fit_below_their_row() -> None:
    long = replace(proxy(), workload=Place("n" * 30, "w" * 30))
    lines = proxies_text(listed(long)).splitlines()[3:]
    assert all(len(line) <= 80 for line in lines)
    assert f"{'n' * 30}  Deployment {'w' * 30}" in lines[1]
    assert "STATE synced; ROLLED BY rollout" in lines[2]


@pytest.mark.parametrize("found", [listed(), listed(proxy(), LONE, STALE, LOST, ASKED, GATEWAY, gaps=("a",), others=3)])
def test_the_document_fits_its_schema(found: ProxyList) -> None:
    jsonschema.validate(json.loads(dump(proxies_json(found))), SCHEMA)


def test_whether_a_proxy_is_connected_may_be_unknown() -> None:
    found = proxies_json(listed(STALE, LOST, ASKED))["proxies"]
    assert [(one["connected"], one["state"]) for one in found] == [(True, "stale"), (False, None), (None, None)]


@pytest.mark.parametrize(("seconds", "said"), [(-5, "0s"), (59, "59s"), (3599, "59m"), (86399, "23h"), (86400 * 41, "41d")])
def test_an_age_has_one_unit(seconds: int, said: str) -> None:
    assert age(timedelta(seconds=seconds)) == said
