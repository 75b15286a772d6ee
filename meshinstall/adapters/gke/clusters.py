"""Clusters of GKE as Google describes them: the one that was asked for, or all of a project."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from meshinstall.adapters.gke import details
from meshinstall.adapters.gke.api import GkeApi
from meshinstall.adapters.gke.credentials import Identity
from meshinstall.adapters.gke.endpoint import choose, endpoint, gateway_service
from meshinstall.adapters.gke.errors import BETWEEN, CountedError, DisabledError, MissingError
from meshinstall.errors import ClusterError, ForbiddenError, UsageError
from meshinstall.model.cluster import Cloud, CloudCluster, ClusterRef, Endpoint, EndpointKind, Listing
from meshinstall.model.foreign_text import plain

# In these the API server answers; in the others it does not yet, or not any more.
_READY = frozenset({"RUNNING", "RECONCILING", "DEGRADED"})
# Projects that are asked at the same time.
_AT_ONCE = 8


class Clusters:
    """What Google describes to a caller; ``ref`` names a cluster, or the projects to list."""

    def __init__(self, api: GkeApi, identity: Identity, ref: ClusterRef) -> None:
        self._api = api
        self._identity = identity
        self._ref = ref

    def describe(self) -> CloudCluster:
        """The cluster that was asked for; raises ClusterError."""
        name, location = self._asked("name", self._ref.name), self._asked("location", self._ref.selectors.get("location", ""))
        project = self._project()
        try:
            found = self._api.cluster(project, location, name)
        except MissingError as error:
            hint = f"list the clusters: meshinstall clusters --cloud gke --project {project}"
            raise UsageError(f"there is no GKE cluster {name!r} in {location} of project {project}", hint) from error
        if found.get("name") != name:
            raise ClusterError("Google's answer to container.clusters.get is another cluster", BETWEEN)
        return replace(_parse(found, project), endpoint=self._endpoint(found, project))

    def inspect(self, cluster: CloudCluster) -> CloudCluster:
        """The same cluster with its network's firewall, the fleet's mesh, GKE's versions, and who the caller is."""
        return details.inspect(self._api, self._identity.caller, cluster)

    def discover(self) -> Listing:
        """The clusters of the project asked for, or of every project that the caller sees."""
        asked = self._ref.selectors.get("project", "")
        failures: dict[str, str] = {}
        with ThreadPoolExecutor(_AT_ONCE + 1) as pool:
            # One question to Google, while it answers the others; without a token, the list says why.
            caller = pool.submit(self._identity.caller)
            projects = asked.split(",") if asked else self._projects(failures)
            found = [cluster for listed in pool.map(lambda project: self._listed(project, failures), projects) for cluster in listed]
        return Listing(tuple(found), failures, caller.result())

    def _projects(self, failures: dict[str, str]) -> list[str]:
        """Every active project that the caller sees; where they cannot be listed, the project of the credentials."""
        try:
            found = self._api.projects()
        except (DisabledError, CountedError) as error:
            if not self._identity.project:
                raise UsageError(
                    f"no project given, and projects cannot be listed: {error.message}", f"give --project; {error.hint}"
                ) from error
            failures["other projects"] = error.message
        except ForbiddenError as error:
            if not self._identity.project:
                raise UsageError("no project given, and you may not list projects", "give --project") from error
            failures["other projects"] = error.message
        else:
            if found:
                return found
            failures["other projects"] = "you see no project: resourcemanager.projects.get is missing everywhere; give --project"
        return [self._identity.project] if self._identity.project else []

    def _listed(self, project: str, failures: dict[str, str]) -> list[CloudCluster]:
        try:
            found = self._api.clusters(project)
        except DisabledError:
            # No clusters where GKE is switched off.
            return []
        except ClusterError as error:
            failures[project] = error.in_one_line()
            return []
        for zone in found.get("missingZones") or ():
            failures[f"{project}/{plain(zone)}"] = "this zone did not answer"
        return [replace(_parse(each, project), endpoint=_preferred(each, project)) for each in found.get("clusters") or ()]

    def _endpoint(self, found: Mapping[str, Any], project: str) -> Endpoint | None:
        way = choose(found, self._ref.selectors.get("endpoint", ""), project)
        if way is None:
            return None
        kind, host = way
        return self._gateway(host, project) if kind is EndpointKind.CONNECT_GATEWAY else endpoint(found, kind, host)

    def _gateway(self, membership: str, project: str) -> Endpoint:
        asks = ("gkehub.gateway.generateCredentials", project)
        answer = self._api.get(gateway_service(membership), f"v1/{membership}:generateCredentials", *asks)
        server = str(answer.get("endpoint", ""))
        if not server.startswith("https://"):
            raise ClusterError(
                "the Connect Gateway returned no https address for the cluster", "check that no proxy answers in Google's place"
            )
        return Endpoint(server, None, EndpointKind.CONNECT_GATEWAY)

    def _project(self) -> str:
        return self._asked("project", self._ref.selectors.get("project", "") or self._identity.project)

    def _asked(self, key: str, value: str) -> str:
        if not value:
            flag = "cluster" if key == "name" else key
            raise UsageError(f"no {key} given for the GKE cluster", f"give --{flag}, or cluster: {{{key}: ...}} in meshinstall.yaml")
        if not details.NAME.fullmatch(value):
            raise UsageError(f"{plain(value)!r} is not a valid {key} of a GKE cluster")
        return value


def _parse(found: Mapping[str, Any], project: str) -> CloudCluster:
    status = plain(found.get("status", "")) or "STATUS_UNSPECIFIED"
    location = plain(found.get("location", ""))
    return CloudCluster(
        cloud=Cloud.GKE,
        name=plain(found.get("name", "")),
        location=location,
        version=plain(found.get("currentMasterVersion", "")),
        status=status,
        ready=status in _READY,
        endpoint=None,
        details={"project": project, **details.kept(found)},
        selectors={"project": project, "location": location},
    )


def _preferred(found: Mapping[str, Any], project: str) -> Endpoint | None:
    """The preferred endpoint; for the Connect Gateway only its kind, because each address costs a call."""
    way = choose(found, "", project)
    if way is None:
        return None
    if way[0] is EndpointKind.CONNECT_GATEWAY:
        return Endpoint(f"https://{gateway_service(way[1])}.googleapis.com", None, EndpointKind.CONNECT_GATEWAY)
    try:
        return endpoint(found, *way)
    except ClusterError:
        return None
