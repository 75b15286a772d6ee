"""Lists the EKS clusters that the caller can see, several regions at the same time."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from meshinstall.adapters.eks.errors import explained
from meshinstall.adapters.eks.session import Aws, Clients
from meshinstall.errors import MeshinstallError
from meshinstall.model.cluster import Caller, CloudCluster, Listing
from meshinstall.model.foreign_text import plain

_AT_ONCE = 16
_MOST = 1000


def discover(aws: Aws, regions: tuple[str, ...], parse: Callable[[Any, str], CloudCluster]) -> Listing:
    """The clusters of ``regions`` (at least one), and why a region or cluster could not be read; raises ClusterError."""
    clusters: list[CloudCluster] = []
    failures: dict[str, str] = {}
    clients = Clients(aws)
    # Missing credentials fail in every region: raise the error once, before the first request.
    aws.sign_in()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        who = pool.submit(caller, clients)
        names = {region: pool.submit(_names, clients, region) for region in regions}
        asked: dict[tuple[str, str], Future[Any]] = {}
        for region, found in names.items():
            try:
                asked |= {(region, name): pool.submit(_describe, clients, region, name) for name in found.result()}
            except MeshinstallError as error:
                failures[region] = error.in_one_line()
        for (region, name), answer in asked.items():
            try:
                clusters.append(parse(answer.result(), region))
            except MeshinstallError as error:
                failures[f"{region}/{name}"] = error.in_one_line()
        try:
            name = who.result()
        except MeshinstallError as error:
            aws.say(f"cannot tell who asks: {error.message}")
            name = "an unknown caller"
    return Listing(tuple(clusters), failures, Caller(name, aws.chosen.by))


def caller(clients: Clients) -> str:
    """The ARN of who asks; no permission is needed for it."""
    with explained("sts:GetCallerIdentity"):
        return plain(clients("sts").get_caller_identity().get("Arn", ""))


def _names(clients: Clients, region: str) -> list[str]:
    with explained("eks:ListClusters"):
        pages = clients("eks", region).get_paginator("list_clusters").paginate(PaginationConfig={"MaxItems": _MOST})
        return [name for page in pages for name in page.get("clusters") or ()]


def _describe(clients: Clients, region: str, name: str) -> Any:
    with explained("eks:DescribeCluster"):
        return clients("eks", region).describe_cluster(name=name).get("cluster")
