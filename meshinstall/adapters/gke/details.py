"""Reads what preflight checks of a GKE cluster, in the REST API's own names."""

import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from meshinstall.adapters.gke.api import GkeApi
from meshinstall.adapters.gke.errors import DeniedError, DisabledError, MissingError
from meshinstall.errors import ClusterError
from meshinstall.model.cluster import Caller, CloudCluster, Unread

Json = Mapping[str, Any]

# Names of clusters, locations and projects (with a domain in old ones); what else could change the path of a request.
NAME = re.compile(r"[a-z0-9]([a-z0-9.:-]{0,98}[a-z0-9])?")
# masterAuth stays behind: in old clusters it holds a password and a key.
_KEPT = (
    "addonsConfig",
    "autopilot",
    "conditions",
    "controlPlaneEndpointsConfig",
    "currentMasterVersion",
    "currentNodeVersion",
    "fleet",
    "masterAuthorizedNetworksConfig",
    "networkConfig",
    "privateClusterConfig",
    "releaseChannel",
    "statusMessage",
)
_POOL = ("name", "status", "statusMessage", "version")
_RULE = ("allowed", "direction", "disabled", "name", "sourceRanges", "targetServiceAccounts", "targetTags")
_NETWORK = re.compile(r"projects/([a-z0-9.:-]+)/global/networks/([a-z0-9-]+)")
_MEMBERSHIP = re.compile(r"//gkehub\.[a-z.-]+/(projects/([a-z0-9.:-]+)/locations/[a-z0-9-]+/memberships/[a-z0-9-]+)")


def kept(cluster: Json) -> dict[str, Any]:
    """The details in the answer that describes the cluster."""
    found = {key: cluster[key] for key in _KEPT if key in cluster}
    return {**found, "nodePools": [_pool(each) for each in cluster.get("nodePools") or () if isinstance(each, Mapping)]}


def _pool(pool: Json) -> dict[str, Any]:
    config, network = pool.get("config") or {}, pool.get("networkConfig") or {}
    return {
        **{key: pool[key] for key in _POOL if key in pool},
        "imageType": str(config.get("imageType", "")),
        "tags": list(config.get("tags") or ()),
        "enablePrivateNodes": network.get("enablePrivateNodes"),
    }


def inspect(api: GkeApi, who: Callable[[], Caller], cluster: CloudCluster) -> CloudCluster:
    """Read, all at once, what else preflight checks, and who asks; what cannot be read goes to ``unread``."""
    details = cluster.details
    project = str(details.get("project", ""))
    asks: dict[str, tuple[str, str, Callable[[], Any]]] = {
        "versions": (
            "which versions GKE offers",
            "container.clusters.list",
            lambda: _versions(api.server_config(project, cluster.location)),
        )
    }
    if network := _NETWORK.search(str((details.get("networkConfig") or {}).get("network", ""))):
        host, name = network.groups()
        if (details.get("privateClusterConfig") or {}).get("masterIpv4CidrBlock"):
            asks["firewall"] = ("the firewall rules of the network", "compute.firewalls.list", lambda: _firewall(api, host, name))
    if member := _MEMBERSHIP.fullmatch(str((details.get("fleet") or {}).get("membership", ""))):
        membership, fleet = member.groups()
        asks["mesh"] = ("whether the fleet manages a mesh here", "gkehub.features.get", lambda: _mesh(api, fleet, membership))
    with ThreadPoolExecutor(len(asks) + 1) as pool:
        caller = pool.submit(who)
        answers = {key: pool.submit(ask) for key, (_, _, ask) in asks.items()}
    found: dict[str, Any] = {}
    unread: dict[str, Unread] = {}
    for key, (what, permission, _) in asks.items():
        try:
            found[key] = answers[key].result()
        except DeniedError:
            unread[what] = Unread(permission)
        except ClusterError as error:
            unread[what] = Unread(why=error.in_one_line())
        except (AttributeError, KeyError, TypeError, ValueError):
            # A hostile answer, or an API that has changed under us: no reason to stop.
            unread[what] = Unread(why="the answer does not fit this API")
    try:
        asked_as = caller.result()
    except ClusterError as error:
        asked_as = None
        unread["who the caller is"] = Unread(why=error.message)
    return replace(cluster, details={**details, **found}, unread=unread, caller=asked_as)


def _versions(config: Json) -> dict[str, Any]:
    channels = {str(each.get("channel")): list(each.get("validVersions") or ()) for each in config.get("channels") or ()}
    return {"validMasterVersions": list(config.get("validMasterVersions") or ()), "channels": channels}


def _firewall(api: GkeApi, project: str, network: str) -> list[dict[str, Any]]:
    """The rules of one network, which may be another project's."""
    pages = api.pages(
        "compute", f"compute/v1/projects/{project}/global/firewalls", {"maxResults": "500"}, ("compute.firewalls.list", project)
    )
    rules = (each for page in pages for each in page.get("items") or () if isinstance(each, Mapping))
    return [
        {key: each[key] for key in _RULE if key in each} for each in rules if str(each.get("network", "")).endswith(f"/networks/{network}")
    ]


def _mesh(api: GkeApi, project: str, membership: str) -> dict[str, str]:
    """How the fleet's service mesh feature treats this cluster: ``management`` and ``controlPlane``; empty without the feature."""
    path = f"v1/projects/{project}/locations/global/features/servicemesh"
    try:
        feature = api.get("gkehub", path, "gkehub.features.get", project)
    except (MissingError, DisabledError):
        return {}
    specs, states = feature.get("membershipSpecs") or {}, feature.get("membershipStates") or {}
    default = (feature.get("fleetDefaultMemberConfig") or {}).get("mesh") or {}
    # Keys are names of memberships, with the project's number where we may have its name.
    suffix = membership.split("/", 2)[2]
    spec = next((each.get("mesh") or {} for key, each in specs.items() if str(key).endswith(suffix)), default)
    state = next((each.get("servicemesh") or {} for key, each in states.items() if str(key).endswith(suffix)), {})
    plane = (state.get("controlPlaneManagement") or {}).get("state", "")
    return {"management": str(spec.get("management", "")), "controlPlane": str(plane)}
