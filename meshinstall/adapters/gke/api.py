"""Calls to Google's APIs with deadlines, bounded answers and bounded retries, which ``say`` reports."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

from meshinstall.adapters.gke.chosen import UNIVERSE
from meshinstall.adapters.gke.credentials import Identity
from meshinstall.adapters.gke.errors import ANY, BETWEEN, CountedError, DisabledError, explained, refusal, said_by
from meshinstall.adapters.gke.http import Http, mount
from meshinstall.errors import ClusterError
from meshinstall.model import json_text
from meshinstall.model.foreign_text import plain

Say = Callable[[str], None]

# Pages of a list that are followed.
_PAGES = 40
_BUSY = frozenset({429, 500, 502, 503, 504})


class GkeApi:
    """The requests to Google; raises our errors. Safe for many threads."""

    def __init__(self, identity: Identity, http: Http, say: Say) -> None:
        self._identity = identity
        self._http = http
        self._say = say
        # Numbers of projects by their IDs: Google says with a number for whom a call was counted. Empty for one that cannot be known.
        self._numbers: dict[str, str] = {}
        self._lock = threading.Lock()

    def cluster(self, project: str, location: str, name: str) -> dict[str, Any]:
        """A cluster as JSON of the REST API; raises MissingError."""
        with self._explained("container.clusters.get", project):
            return self._ask("get_cluster", {"name": f"projects/{project}/locations/{location}/clusters/{name}"})

    def clusters(self, project: str) -> dict[str, Any]:
        """The clusters of a project, in all locations: ``clusters`` and ``missingZones``."""
        with self._explained("container.clusters.list", project):
            return self._ask("list_clusters", {"parent": f"projects/{project}/locations/-"})

    def server_config(self, project: str, location: str) -> dict[str, Any]:
        """The versions that GKE offers in a location."""
        with self._explained("container.clusters.list", project):
            return self._ask("get_server_config", {"name": f"projects/{project}/locations/{location}"})

    def get(self, service: str, path: str, permission: str, project: str) -> dict[str, Any]:
        """A JSON object from an API that the SDK does not cover."""
        with self._explained(permission, project):
            return self._get(service, path, permission, project)

    def _get(self, service: str, path: str, permission: str, project: str) -> dict[str, Any]:
        from google.api_core import exceptions

        untyped: Any = exceptions
        url = f"https://{service}.{self._identity.login.universe}/{path}"

        def once() -> dict[str, Any]:
            quota = self._identity.quota_project
            headers = {"Authorization": f"Bearer {self._identity.token()}", **({"x-goog-user-project": quota} if quota else {})}
            reply = self._http(url, headers=headers)
            found = _object(reply.data)
            if reply.status in _BUSY:
                raise untyped.from_http_status(reply.status, plain(_error(found).get("message", "")))
            if reply.status >= 400:  # noqa: PLR2004 - HTTP's own limit
                raise refusal(permission, project, reply.status, _error(found), self._identity.login.email)
            if found is None:
                raise ClusterError(f"Google's answer to {permission} is not a JSON object", BETWEEN)
            return found

        return dict(self._retry()(once)())

    def projects(self) -> list[str]:
        """The IDs of every active project that the caller sees."""
        asks = ("resourcemanager.projects.get", ANY)
        pages = list(self.pages("cloudresourcemanager", "v3/projects:search", {"query": "state:ACTIVE", "pageSize": "500"}, asks))
        listed = (each for page in pages if isinstance(page.get("projects"), list) for each in page["projects"])
        found = {str(each["projectId"]): _number(each) for each in listed if isinstance(each, Mapping) and each.get("projectId")}
        with self._lock:
            self._numbers.update(found)
        return list(found)

    def pages(self, service: str, path: str, query: Mapping[str, str], asks: tuple[str, str]) -> Iterator[dict[str, Any]]:
        """The pages of a list; ``asks`` are the permission and the project. Raises ClusterError when there are too many."""
        token = ""
        for _ in range(_PAGES):
            page = self.get(service, f"{path}?{urlencode({**query, **({'pageToken': token} if token else {})}, quote_via=quote)}", *asks)
            yield page
            token = str(page.get("nextPageToken") or "")
            if not token:
                return
        raise ClusterError(f"Google's answer to {asks[0]} has more than {_PAGES} pages")

    @contextmanager
    def _explained(self, permission: str, project: str) -> Iterator[None]:
        try:
            with explained(permission, project, self._identity.login.email):
                yield
        except DisabledError as error:
            if project != ANY and self._is_of(error.consumer, project):
                raise
            raise self._counted(error, permission, project) from error

    def _is_of(self, consumer: str, project: str) -> bool:
        """Whether an API is disabled in the project that was asked, and not in the one that calls are counted for."""
        quota = self._identity.quota_project or ""
        if not consumer:
            return (quota or project) == project
        if not consumer.isdecimal():
            return consumer == project
        if number := self._number_of(project):
            return number == consumer
        if quota not in {"", project} and (number := self._number_of(quota)):
            return number != consumer
        # Whose number it is cannot be known: a call is counted for the quota project, or for the caller's own.
        return (quota or self._identity.login.own_project or project) == project

    def _number_of(self, project: str) -> str:
        with self._lock:
            if project in self._numbers:
                return self._numbers[project]
        try:
            asks = ("resourcemanager.projects.get", project)
            with explained(*asks):
                number = _number(self._get("cloudresourcemanager", f"v3/projects/{project}", *asks))
        except ClusterError:
            # What is being explained matters more.
            number = ""
        with self._lock:
            self._numbers[project] = number
        return number

    def _counted(self, error: DisabledError, permission: str, project: str) -> ClusterError:
        """The error for an API that is off in another project than the one that was asked."""
        quota = self._identity.quota_project or ""
        if project == ANY and not quota and not error.consumer:
            return error
        known = self._number_of(quota) if quota and error.consumer.isdecimal() else ""
        if (quota and error.consumer in {"", quota, known}) or (quota and not known and error.consumer.isdecimal()):
            whose, name = f"quota project {quota}", quota
        else:
            whose, name = f"project {error.consumer}", error.consumer
        number = f" (number {error.consumer})" if error.consumer.isdecimal() and name != error.consumer else ""
        about = "" if project == ANY else f"; nothing is known of project {project}"
        text = f"{error.service} is not enabled in {whose}{number}, which calls of this login are counted for ({permission}){about}"
        enable = f"gcloud services enable {error.service} --project={name}"
        return CountedError(text, f"{enable}; or count calls for another project: --quota-project")

    def _ask(self, method: str, request: dict[str, str]) -> dict[str, Any]:
        call = getattr(self._client(), method)
        found = call(request=request, timeout=self._http.patience.answer, retry=self._retry())
        # Numbers of enums become their names, as in the REST API.
        return dict(type(found).to_dict(found, use_integers_for_enums=False, preserving_proto_field_name=False, **_NO_DEFAULTS))

    def _client(self) -> Any:
        from google.cloud.container_v1 import ClusterManagerClient
        from google.oauth2.credentials import Credentials

        # A plain token: renewing is Identity's, not the SDK's, which would do it in each of its clients.
        untyped: Any = Credentials
        universe = self._identity.login.universe
        credentials = untyped(self._identity.token(), quota_project_id=self._identity.quota_project, universe_domain=universe)
        elsewhere: dict[str, Any] = {} if universe == UNIVERSE else {"client_options": {"universe_domain": universe}}
        client: Any = ClusterManagerClient(transport="rest", credentials=credentials, **elsewhere)
        # The one place where the SDK's reading of an answer can be bounded; a test says when it is gone.
        mount(client.transport._session, self._http)  # noqa: SLF001
        return client

    def _retry(self) -> Any:
        from google.api_core import exceptions as api
        from google.api_core.retry import Retry
        from google.auth.exceptions import TransportError

        def transient(error: Exception) -> bool:
            return isinstance(error, TransportError) or (isinstance(error, api.GoogleAPICallError) and error.code in _BUSY)

        def tell(error: Exception) -> None:
            said = said_by(error) if isinstance(error, api.GoogleAPICallError) else plain(error)
            self._say(f"Google did not answer: {said}; trying again")

        patience = self._http.patience
        return Retry(predicate=transient, initial=patience.pause, maximum=8.0, multiplier=2.0, timeout=patience.call, on_error=tell)


_NO_DEFAULTS: Mapping[str, Any] = {"always_print_fields_with_no_presence": False}


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        found = json_text.load(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _error(found: Mapping[str, Any] | None) -> Mapping[str, Any]:
    error = (found or {}).get("error")
    return error if isinstance(error, Mapping) else {}


def _number(project: Mapping[str, Any]) -> str:
    """The number in a project's name of Resource Manager's v3."""
    name = str(project.get("name", "")).removeprefix("projects/")
    return name if name.isdecimal() else ""
