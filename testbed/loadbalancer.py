"""Gives Services of type LoadBalancer an address that the host reaches.

The testbed's stand-in for a cloud's controller, with a cloud's habits: a
finalizer that holds a deleted Service until its address is given back, and
Services with a ``loadBalancerClass`` left to others. A Service annotated
``testbed.meshinstall.dev/pending: "true"`` never gets an address.
"""

import sys
import time
from pathlib import Path

import urllib3
from pyroute2 import IPRoute

from testbed import spec
from testbed.api import Api, Json
from testbed.spec import Spec

PENDING = "testbed.meshinstall.dev/pending"
# The name that cloud controllers use: k8s.io/cloud-provider/service/helpers.
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
# Seconds before an API server that does not answer is asked again.
_PAUSE = 0.5


class Controller:
    """Assigns addresses of one cluster's range; the Services' status is the only record."""

    def __init__(self, of: Spec, api: Api) -> None:
        self._of = of
        self._api = api
        self._given: dict[str, str] = {}

    def run(self) -> None:
        """List, then watch, until the process ends; an API server that is away for a while is asked again."""
        while True:
            try:
                self._list_and_watch()
            except urllib3.exceptions.HTTPError as error:
                print(error, file=sys.stderr, flush=True)
                time.sleep(_PAUSE)

    def _list_and_watch(self) -> None:
        """Settle all Services, then each that changes, until the watch ends."""
        services = self._api.get("/api/v1/services")
        for service in services["items"]:
            self._remember(service)
        for service in services["items"]:
            self.settle(service)
        for event in self._api.watch("/api/v1/services", services["metadata"]["resourceVersion"]):
            if event["type"] == "ERROR":
                break
            if event["type"] != "DELETED":
                self.settle(event["object"])

    def settle(self, service: Json) -> None:
        """Bring one Service to where it should be."""
        metadata = service["metadata"]
        wanted = is_ours(service) and "deletionTimestamp" not in metadata
        has = FINALIZER in metadata.get("finalizers", [])
        if wanted and not has:
            self._patch(service, {"metadata": {"finalizers": [*metadata.get("finalizers", []), FINALIZER]}})
        if wanted and not _address(service) and metadata.get("annotations", {}).get(PENDING) != "true":
            address = self._give(metadata["uid"])
            self._patch(service, {"status": {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}}, "/status")
        if has and not wanted:
            self._take_back(metadata["uid"])
            self._patch(service, {"metadata": {"finalizers": [name for name in metadata["finalizers"] if name != FINALIZER] or None}})

    def _remember(self, service: Json) -> None:
        if address := _address(service):
            self._given[service["metadata"]["uid"]] = address

    def _give(self, uid: str) -> str:
        if uid not in self._given:
            self._given[uid] = next(address for address in self._of.load_balancer_addresses() if address not in self._given.values())
        # On the node's own link, so that it answers for the address; kube-proxy does the rest.
        _on_link("replace", self._given[uid])
        return self._given[uid]

    def _take_back(self, uid: str) -> None:
        if address := self._given.pop(uid, None):
            _on_link("del", address)

    def _patch(self, service: Json, body: Json, part: str = "") -> None:
        metadata = service["metadata"]
        try:
            self._api.patch(f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}{part}", body)
        except urllib3.exceptions.HTTPError as error:
            # Deleted meanwhile, or changed: the watch tells of it.
            print(error, file=sys.stderr, flush=True)


def is_ours(service: Json) -> bool:
    """Whether a Service asks for a load balancer of the cluster's default kind."""
    return service["spec"].get("type") == "LoadBalancer" and "loadBalancerClass" not in service["spec"]


def _address(service: Json) -> str:
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
    return str(ingress[0].get("ip", ""))


def _on_link(command: str, address: str) -> None:
    with IPRoute() as route:
        route.addr(command, index=route.link_lookup(ifname="eth0")[0], address=address, prefixlen=32)


def main() -> None:
    """Run the controller of the cluster whose spec is the first argument."""
    of = spec.load(Path(sys.argv[1]))
    Controller(of, Api(spec.INSIDE / "kubeconfig")).run()


if __name__ == "__main__":
    main()
