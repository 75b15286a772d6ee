"""Finds which Services the API server calls itself: it has no certificate of the mesh, so a port that is STRICT refuses it.

Requests: four lists, each one for every 500 objects. Those of CRDs are long, so this is asked only where a fix may close a port.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from meshinstall.engine.mesh.reader import Asker, Wanted
from meshinstall.engine.objects.json_fields import at, number, rows, table, text
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.model.mesh import ApiServerClient, Place
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest

_ADMISSION = "admissionregistration.k8s.io/v1"
# What the API server takes where nothing is said (kubernetes: ServiceReference in all three APIs).
_PORT = 443
# By kind, where its objects are listed.
_LISTS: Mapping[str, str] = {
    "ValidatingWebhookConfiguration": object_path(_ADMISSION, "validatingwebhookconfigurations"),
    "MutatingWebhookConfiguration": object_path(_ADMISSION, "mutatingwebhookconfigurations"),
    "APIService": object_path("apiregistration.k8s.io/v1", "apiservices"),
    "CustomResourceDefinition": object_path("apiextensions.k8s.io/v1", "customresourcedefinitions"),
}


@dataclass(frozen=True, slots=True)
class Called:
    """What the API server calls; ``gaps`` and ``unread`` as in MeshFacts."""

    clients: tuple[ApiServerClient, ...]
    gaps: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


async def ask_api_server_clients(session: Session) -> Called:
    """All webhooks, APIServices and conversions of CRDs that lead to a Service; raises UnreachableError alone."""
    asker = Asker(session.kube)
    found = await gather(_LISTS, lambda kind: asker.facts(Wanted(f"{kind}s", _LISTS[kind]), partial(api_server_clients, kind=kind)))
    clients = tuple(client for kind in _LISTS for clients in found[kind] for client in clients)
    return Called(clients, tuple(sorted(asker.gaps)), tuple(sorted(asker.unread)))


def api_server_clients(item: Manifest, kind: str) -> tuple[ApiServerClient, ...]:
    """The ports of Services to which one object sends the API server, each once."""
    name = text(at(item, "metadata", "name"))
    found: dict[tuple[Place, int], bool] = {}
    for service, fails in _references(item, kind):
        if known := table(service):
            key = (Place(text(known.get("namespace")), text(known.get("name"))), number(known.get("port")) or _PORT)
            found[key] = found.get(key, False) or fails
    return tuple(ApiServerClient(kind, name, service, port, fails) for (service, port), fails in found.items())


def _references(item: Manifest, kind: str) -> Iterator[tuple[Any, bool]]:
    """Each reference to a Service, None for a URL, and whether what is asked for fails without an answer."""
    if kind == "APIService":
        yield at(item, "spec", "service"), True
    elif kind == "CustomResourceDefinition":
        yield at(item, "spec", "conversion", "webhook", "clientConfig", "service"), True
    else:
        for webhook in rows(at(item, "webhooks")):
            yield at(webhook, "clientConfig", "service"), text(at(webhook, "failurePolicy")) != "Ignore"
