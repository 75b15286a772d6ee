"""Google's APIs as far as meshinstall asks them, on records that the SDK's own models serialise; IAM is checked on every call."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from google.cloud.container_v1.types import Cluster, ListClustersResponse, ServerConfig

from testbed.clouds.gke_identity import Account

_PAGE = 2
_NUMBERS = count(400_000_000_001)
USE = "serviceusage.services.use"
# Services that a permission's first word does not name.
_SERVICES = {
    "gkehub.gateway.generateCredentials": "connectgateway.googleapis.com",
    "resourcemanager.projects.get": "cloudresourcemanager.googleapis.com",
}
# The Connect Gateway by location.
GATEWAYS = {"global": "connectgateway.googleapis.com", "europe-west1": "europe-west1-connectgateway.googleapis.com"}


@dataclass(frozen=True)
class RefusalError(Exception):
    """An error in the shape of Google's APIs."""

    status: int
    word: str
    text: str
    reason: str = ""
    permission: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """As JSON."""
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": self.reason,
            "domain": "googleapis.com",
            "metadata": {**({"permission": self.permission} if self.permission else {}), **self.metadata},
        }
        error = {"code": self.status, "message": self.text, "status": self.word}
        return {"error": {**error, **({"details": [info]} if self.reason else {})}}


@dataclass(slots=True)
class Project:
    """A project.

    ``features`` are its fleet's by name, ``off`` are services that are not enabled, ``closed`` is the identifier that its perimeter of
    VPC Service Controls answers with, ``number`` its number.
    """

    clusters: list[Cluster] = field(default_factory=list)
    missing_zones: list[str] = field(default_factory=list)
    firewalls: list[dict[str, Any]] = field(default_factory=list)
    features: dict[str, dict[str, Any]] = field(default_factory=dict)
    config: ServerConfig = field(default_factory=ServerConfig)
    off: set[str] = field(default_factory=set)
    closed: str = ""
    number: str = field(default_factory=lambda: str(next(_NUMBERS)))


class Apis:
    """All projects; ``gateway`` is where the Connect Gateway would send callers."""

    def __init__(self, projects: Mapping[str, Project]) -> None:
        self.projects = dict(projects)
        self.gateway = "https://connectgateway.googleapis.com/v1/projects/1/locations/global/gkeMemberships/shop"

    def answer(self, host: str, path: str, query: Mapping[str, str], caller: Account | None, quota: str = "") -> dict[str, Any] | str:
        """The JSON of one GET, counted for the project ``quota``; raises RefusalError."""
        if caller is None:
            raise RefusalError(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", "ACCESS_TOKEN_EXPIRED")
        routes: dict[str, Callable[[str, Mapping[str, str], Account], dict[str, Any] | str]] = {
            "container.googleapis.com": self._container,
            "compute.googleapis.com": self._compute,
            "gkehub.googleapis.com": self._hub,
            **{host: partial(self._gateway, location) for location, host in GATEWAYS.items()},
            "cloudresourcemanager.googleapis.com": self._search,
        }
        self.count_for(quota, "connectgateway.googleapis.com" if host in GATEWAYS.values() else host, caller)
        return routes[host](path, query, caller)

    def count_for(self, quota: str, service: str, caller: Account) -> None:
        """Refuse a call that may not be counted for its quota project; one that is not in ``projects`` counts anything."""
        project = self.projects.get(quota)
        if project is None:
            return
        if USE not in caller.roles.get(quota, set()):
            text = (
                f"Caller does not have required permission to use project {quota}. Grant the caller the"
                f" roles/serviceusage.serviceUsageConsumer role, or a custom role with the {USE} permission."
            )
            known = {"consumer": f"projects/{quota}", "service": service}
            raise RefusalError(403, "PERMISSION_DENIED", text, "USER_PROJECT_DENIED", metadata=known)
        if service in project.off:
            raise switched_off(service, project)

    def _container(self, path: str, query: Mapping[str, str], caller: Account) -> str:
        found = re.fullmatch(r"/v1/projects/([^/]+)/locations/([^/]+)/(clusters|clusters/([^/]+)|serverConfig)", path)
        # What the SDK's REST transport always asks for; without it another program is calling.
        if not found or query.get("$alt") != "json;enum-encoding=int":
            raise RefusalError(404, "NOT_FOUND", f"The requested URL {path} was not found on this server.")
        name, location, what, cluster = found.groups()
        project = self._allowed(caller, name, "container.clusters.get" if cluster else "container.clusters.list")
        if what == "serverConfig":
            return _json(project.config)
        if not cluster:
            return _json(ListClustersResponse(clusters=project.clusters, missing_zones=project.missing_zones))
        for one in project.clusters:
            if (one.name, one.location) == (cluster, location):
                return _json(one)
        raise RefusalError(404, "NOT_FOUND", f"Not found: projects/{name}/locations/{location}/clusters/{cluster}.")

    def _compute(self, path: str, query: Mapping[str, str], caller: Account) -> dict[str, Any]:
        found = re.fullmatch(r"/compute/v1/projects/([^/]+)/global/firewalls", path)
        if not found:
            raise RefusalError(404, "NOT_FOUND", path)
        rules = self._allowed(caller, found[1], "compute.firewalls.list").firewalls
        return _page("items", rules, query)

    def _hub(self, path: str, _: Mapping[str, str], caller: Account) -> dict[str, Any]:
        found = re.fullmatch(r"/v1/projects/([^/]+)/locations/global/features/([a-z]+)", path)
        if not found:
            raise RefusalError(404, "NOT_FOUND", path)
        features = self._allowed(caller, found[1], "gkehub.features.get").features
        if found[2] not in features:
            raise RefusalError(404, "NOT_FOUND", f"Resource '{path[4:]}' was not found")
        return features[found[2]]

    def _gateway(self, location: str, path: str, _: Mapping[str, str], caller: Account) -> dict[str, Any]:
        found = re.fullmatch(r"/v1/projects/([^/]+)/locations/([^/]+)/memberships/[^/]+:generateCredentials", path)
        # A regional membership is known to its region's gateway alone.
        if not found or found[2] != location:
            raise RefusalError(404, "NOT_FOUND", path)
        self._allowed(caller, found[1], "gkehub.gateway.generateCredentials")
        return {"kubeconfig": "", "endpoint": self.gateway}

    def _search(self, path: str, query: Mapping[str, str], caller: Account) -> dict[str, Any]:
        if path.startswith("/v1/projects/"):
            # By number: Google's library asks so for the project of a pool, of which nothing here knows whose it is.
            raise RefusalError(403, "PERMISSION_DENIED", "The caller does not have permission", "IAM_PERMISSION_DENIED")
        if (named := path.removeprefix("/v3/projects/")) in self.projects:
            self._allowed(caller, named, "resourcemanager.projects.get")
            return self._shown(named)
        if path != "/v3/projects:search":
            raise RefusalError(404, "NOT_FOUND", path)
        seen = [name for name, granted in caller.roles.items() if "resourcemanager.projects.get" in granted]
        if not seen:
            raise RefusalError(403, "PERMISSION_DENIED", "The caller does not have permission", "IAM_PERMISSION_DENIED")
        return _page("projects", [self._shown(name) for name in seen], query)

    def _shown(self, name: str) -> dict[str, Any]:
        project = self.projects.get(name)
        return {**({"name": f"projects/{project.number}"} if project else {}), "projectId": name, "state": "ACTIVE"}

    def _allowed(self, caller: Account, project: str, permission: str) -> Project:
        service = _SERVICES.get(permission) or f"{permission.partition('.')[0]}.googleapis.com"
        if permission not in caller.roles.get(project, set()) or project not in self.projects:
            text = f'Required "{permission}" permission(s) for "projects/{project}".'
            raise RefusalError(403, "PERMISSION_DENIED", text, "IAM_PERMISSION_DENIED", permission)
        if self.projects[project].closed:
            raise _closed(service, self.projects[project])
        if service in self.projects[project].off:
            raise switched_off(service, self.projects[project])
        return self.projects[project]


def switched_off(service: str, project: Project) -> RefusalError:
    """What Google says of a service that is not enabled in the project that a call is counted for."""
    url = f"https://console.developers.google.com/apis/api/{service}/overview?project={project.number}"
    text = f"{service} has not been used in project {project.number} before or it is disabled. Enable it by visiting {url} then retry."
    known = {"service": service, "consumer": f"projects/{project.number}", "activationUrl": url}
    return RefusalError(403, "PERMISSION_DENIED", text, "SERVICE_DISABLED", metadata=known)


def _closed(service: str, project: Project) -> RefusalError:
    text = f"Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: {project.closed}"
    known = {"uid": project.closed, "service": service, "consumer": f"projects/{project.number}"}
    return RefusalError(403, "PERMISSION_DENIED", text, "SECURITY_POLICY_VIOLATED", metadata=known)


def _json(message: Any) -> str:
    """As the REST API writes it: enums as numbers, for so it is asked, and nothing that is not set."""
    return str(
        type(message).to_json(
            message, use_integers_for_enums=True, preserving_proto_field_name=False, always_print_fields_with_no_presence=False
        )
    )


def _page(key: str, items: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Two items at a time, so that whoever reads one page only is found out."""
    start = int(query.get("pageToken", "0"))
    rest = {"nextPageToken": str(start + _PAGE)} if len(items) > start + _PAGE else {}
    return {key: items[start : start + _PAGE], **rest}
