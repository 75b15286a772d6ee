"""Lists the AKS clusters that the caller can see, several subscriptions at the same time."""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any

from meshinstall.adapters.aks.details import answers, read_details, status_of
from meshinstall.adapters.aks.errors import explained
from meshinstall.adapters.aks.sdk import Azure
from meshinstall.adapters.aks.target import READ, SUBSCRIPTION
from meshinstall.adapters.aks.task import Task
from meshinstall.adapters.aks.user_kubeconfig import user_access
from meshinstall.adapters.aks.words import clean
from meshinstall.errors import MeshinstallError, UsageError
from meshinstall.model.cluster import Cloud, CloudCluster, Endpoint, EndpointKind, Listing

_SUBSCRIPTIONS = "{endpoint}/subscriptions?api-version=2022-12-01"
_GROUP = re.compile(r"/resourceGroups/([^/]+)/", re.IGNORECASE)
# States of a subscription whose clusters run.
_IN_USE = frozenset({"Enabled", "Warned", "PastDue"})
# Bounds of a listing: its pages, and how many subscriptions are read at the same time.
_PAGES = 200
_AT_A_TIME = 8


def discover(azure: Azure, named: Sequence[str], *, public: bool = False) -> Listing:
    """The clusters of the given subscriptions, else of all that the caller can see; ``public`` asks for public names of private ones."""
    seen = [] if named else list(_subscriptions(azure))
    subscriptions = tuple(dict.fromkeys(named or (one for one, state in seen if state in _IN_USE)))
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        found = list(threads.map(lambda one: _attempt(azure, one), subscriptions))
        listed = [cluster for clusters in found if not isinstance(clusters, str) for cluster in clusters]
        clusters = tuple(threads.map(lambda one: _with_authority(azure, one, public=public), listed))
    failures = {one: said for one, said in zip(subscriptions, found, strict=True) if isinstance(said, str)}
    if not subscriptions:
        failures = _nothing_seen(azure, seen)
    return Listing(clusters, failures)


def _nothing_seen(azure: Azure, seen: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Why there was nothing to ask: an empty list is mostly a login of another tenant, and not an account without clusters."""
    if seen:
        return {one: f"the subscription is {clean(state)}: az account list --all -o table" for one, state in seen}
    tenant = clean(str(azure.identity.claims.get("tid", "")))
    where = f"tenant {tenant}" if tenant else "the tenant of the login"
    more = "for another tenant add --tenant TENANT (az login --tenant TENANT where az does not know it)"
    return {where: f"the caller cannot see any subscription there; {more}"}


def _with_authority(azure: Azure, cluster: CloudCluster, *, public: bool) -> CloudCluster:
    """The cluster with its API server's CA, which a listing lacks; unchanged where the caller may not sign in."""
    if not cluster.ready or cluster.endpoint is None:
        return cluster
    place = cluster.selectors["subscription"], cluster.selectors["resource_group"], cluster.name
    try:
        access = user_access(azure, *place, public=public and cluster.details["enablePrivateClusterPublicFQDN"])
    except MeshinstallError:
        return cluster
    return replace(cluster, endpoint=replace(cluster.endpoint, server=access.server, authority=access.authority))


def _attempt(azure: Azure, subscription: str) -> tuple[CloudCluster, ...] | str:
    """The clusters of one subscription, or why they cannot be listed."""
    try:
        if not SUBSCRIPTION.fullmatch(subscription):
            raise UsageError(f"{clean(subscription)} is not a subscription ID")
        with explained(Task(f"listing the clusters of subscription {subscription}", READ)):
            pages = azure.clusters(subscription).managed_clusters.list().by_page()
            return tuple(_listed(subscription, one.as_dict()) for page in islice(pages, _PAGES) for one in page)
    except MeshinstallError as error:
        return error.in_one_line()


def _subscriptions(azure: Azure) -> Iterator[tuple[str, str]]:
    """ID and state of each subscription; the SDK for clusters has no call of its own for them."""
    from azure.core.rest import HttpRequest

    client = azure.clusters("")
    url = _SUBSCRIPTIONS
    with explained(Task("listing the subscriptions")):
        for _ in range(_PAGES):
            response = client.send_request(HttpRequest("GET", url))
            response.raise_for_status()
            answer = response.json()
            yield from ((str(one["subscriptionId"]), str(one.get("state", ""))) for one in answer["value"])
            url = answer.get("nextLink")
            if not url:
                return


def _listed(subscription: str, answer: Mapping[str, Any]) -> CloudCluster:
    details = read_details(answer)
    private = details["enablePrivateCluster"]
    host = details["privateFQDN"] if private else details["fqdn"]
    group = _GROUP.search(str(answer.get("id", "")))
    return CloudCluster(
        Cloud.AKS,
        clean(str(answer.get("name", ""))),
        clean(str(answer.get("location", ""))),
        details["currentKubernetesVersion"],
        status_of(details),
        ready=answers(details),
        endpoint=Endpoint(f"https://{host}:443", None, EndpointKind.PRIVATE if private else EndpointKind.PUBLIC) if host else None,
        details=details,
        selectors={"subscription": subscription, "resource_group": clean(group[1]) if group else ""},
    )
