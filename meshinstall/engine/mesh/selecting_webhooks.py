"""Tells which of Istio's injectors select a pod, in the order in which the API server calls them; pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from meshinstall.engine.mesh import discovery
from meshinstall.engine.mesh.kube_objects import labels, place
from meshinstall.engine.objects.json_fields import MalformedError, at, rows, text
from meshinstall.model.istio import ISTIO_WEBHOOKS
from meshinstall.model.labels import REVISION, TAG
from meshinstall.model.release import Manifest
from meshinstall.model.selectors import selects


class Injector(NamedTuple):
    """A MutatingWebhookConfiguration of Istio, and the tag and the revision that it is of."""

    name: str
    tag: str
    revision: str


def selecting(items: Iterable[Manifest], namespace: Mapping[str, str], pod: Mapping[str, str]) -> list[Injector]:
    """Those with a webhook that selects a pod by the labels of its namespace and its own; the last one decides.

    The API server calls configurations in the order of their names (kubernetes: apiserver/pkg/admission/configuration).
    """
    found = [item for item in items if any(_selects(one, namespace, pod) for one in rows(at(item, "webhooks")))]
    return sorted(Injector(place(item).name, labels(item).get(TAG, ""), labels(item).get(REVISION, "")) for item in found)


def _selects(webhook: object, namespace: Mapping[str, str], pod: Mapping[str, str]) -> bool:
    if not text(at(webhook, "name")).endswith(ISTIO_WEBHOOKS):
        return False
    try:
        by_namespace, by_pod = discovery.selectors([at(webhook, one) or {} for one in ("namespaceSelector", "objectSelector")])
    except MalformedError:
        return False
    return selects(by_namespace, namespace) and selects(by_pod, pod)
