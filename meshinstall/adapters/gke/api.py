"""Calls to Google's APIs with deadlines, bounded answers and bounded retries, which ``say`` reports."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from meshinstall.adapters.gke.credentials import Identity
from meshinstall.adapters.gke.errors import BETWEEN, explained, refusal
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

    def cluster(self, project: str, location: str, name: str) -> dict[str, Any]:
        """A cluster as JSON of the REST API; raises MissingError."""
        with explained("container.clusters.get", project):
            return self._ask("get_cluster", {"name": f"projects/{project}/locations/{location}/clusters/{name}"})

    def clusters(self, project: str) -> dict[str, Any]:
        """The clusters of a project, in all locations: ``clusters`` and ``missingZones``."""
        with explained("container.clusters.list", project):
            return self._ask("list_clusters", {"parent": f"projects/{project}/locations/-"})

    def server_config(self, project: str, location: str) -> dict[str, Any]:
        """The versions that GKE offers in a location."""
        with explained("container.clusters.list", project):
            return self._ask("get_server_config", {"name": f"projects/{project}/locations/{location}"})

    def get(self, service: str, path: str, permission: str, project: str) -> dict[str, Any]:
        """A JSON object from an API that the SDK does not cover."""
        from google.api_core import exceptions

        untyped: Any = exceptions
        url = f"https://{service}.googleapis.com/{path}"

        def once() -> dict[str, Any]:
            quota = self._identity.quota_project
            headers = {"Authorization": f"Bearer {self._identity.token()}", **({"x-goog-user-project": quota} if quota else {})}
            reply = self._http(url, headers=headers)
            found = _object(reply.data)
            if reply.status in _BUSY:
                raise untyped.from_http_status(reply.status, plain(_said(found)))
            if reply.status >= 400:  # noqa: PLR2004 - HTTP's own limit
                details = (found or {}).get("error") if isinstance((found or {}).get("error"), Mapping) else {}
                raise refusal(permission, project, reply.status, _said(found), dict(details or {}).get("details"))
            if found is None:
                raise ClusterError(f"Google's answer to {permission} is not a JSON object", BETWEEN)
            return found

        with explained(permission, project):
            return dict(self._retry()(once)())

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
        credentials = untyped(self._identity.token(), quota_project_id=self._identity.quota_project)
        client: Any = ClusterManagerClient(transport="rest", credentials=credentials)
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
            self._say(f"Google did not answer: {plain(error)}; trying again")

        patience = self._http.patience
        return Retry(predicate=transient, initial=patience.pause, maximum=8.0, multiplier=2.0, timeout=patience.call, on_error=tell)


_NO_DEFAULTS: Mapping[str, Any] = {"always_print_fields_with_no_presence": False}


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        found = json_text.load(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _said(found: Mapping[str, Any] | None) -> str:
    error = (found or {}).get("error")
    return str(error.get("message", "")) if isinstance(error, Mapping) else ""
