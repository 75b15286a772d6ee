"""Writes Kubernetes objects as they stand, many at a time."""

from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

from testbed.api import Api, Json, RefusedError

# Requests at the same time.
WIDTH = 16

# Where the API server keeps each kind; all others are not written by any test.
_KINDS = {
    "Namespace": "/api/v1/namespaces",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
    "PeerAuthentication": "/apis/security.istio.io/v1/namespaces/{namespace}/peerauthentications",
    "AuthorizationPolicy": "/apis/security.istio.io/v1/namespaces/{namespace}/authorizationpolicies",
    "RequestAuthentication": "/apis/security.istio.io/v1/namespaces/{namespace}/requestauthentications",
    "DestinationRule": "/apis/networking.istio.io/v1/namespaces/{namespace}/destinationrules",
    "Sidecar": "/apis/networking.istio.io/v1/namespaces/{namespace}/sidecars",
    "ServiceEntry": "/apis/networking.istio.io/v1/namespaces/{namespace}/serviceentries",
    "WorkloadEntry": "/apis/networking.istio.io/v1/namespaces/{namespace}/workloadentries",
}
# What an API server lets nobody replace once it is there: a pod's containers, a namespace.
_KEPT = {"Namespace", "Pod", "CustomResourceDefinition"}


class Store:
    """The objects of one API server, written by several threads."""

    def __init__(self, kubeconfig: Path) -> None:
        self._api = Api(kubeconfig, WIDTH)
        self._threads = ThreadPoolExecutor(WIDTH)
        self._namespaces: set[str] = set()

    def apply(self, *objects: Json) -> list[Json]:
        """Create or replace objects, a pod's status too, in namespaces that are made when they are missing; return what is stored."""
        named = {found["metadata"]["namespace"] for found in objects if "namespace" in found["metadata"]} - self._namespaces
        list(self._threads.map(self._write, ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in named)))
        self._namespaces |= named
        return list(self._threads.map(self._write, objects))

    def remove(self, *objects: Json) -> None:
        """Delete objects; those that are gone already are no error."""
        list(self._threads.map(self._delete, objects))

    def _write(self, wanted: Json) -> Json:
        try:
            stored = self._api.post(_folder(wanted), wanted)
        except RefusedError as refused:
            if refused.status != HTTPStatus.CONFLICT:
                raise
            stored = self._replace(wanted)
        if wanted["kind"] == "Pod":
            stored = self._api.patch(f"{_path(wanted)}/status", {"status": wanted["status"]})
        # A list of pods has no kind at each of them; what is written has.
        return {**stored, "kind": wanted["kind"], "apiVersion": wanted["apiVersion"]}

    def _replace(self, wanted: Json) -> Json:
        if wanted["kind"] in _KEPT:
            return self._api.patch(_path(wanted), {"metadata": wanted["metadata"]})
        version = self._api.get(_path(wanted))["metadata"]["resourceVersion"]
        return self._api.put(_path(wanted), {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": version}})

    def _delete(self, unwanted: Json) -> None:
        now = "?gracePeriodSeconds=0" if unwanted["kind"] == "Pod" else ""
        try:
            self._api.delete(f"{_path(unwanted)}{now}")
        except RefusedError as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise


def _folder(of: Json) -> str:
    return _KINDS[of["kind"]].format(namespace=of["metadata"].get("namespace", ""))


def _path(of: Json) -> str:
    return f"{_folder(of)}/{of['metadata']['name']}"
