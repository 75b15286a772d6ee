"""istiod before an API server without nodes: a test writes objects, and asks what each proxy is sent."""

import http.client
import itertools
import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testbed import cluster as testbed_cluster
from testbed.api import Json
from testbed.cluster import Cluster, Say
from testbed.errors import TestbedError
from testbed.referee.asking import Asking, Sent
from testbed.referee.objects import Store
from testbed.spec import AGENT_FOLDER, Nodes
from testbed.waiting import until

_XDS_PORT = 15010
# The namespace of the object that tells when istiod has read all others.
_OWN = "referee"
# Seconds.
_PATIENCE = 30


class Plane:
    """One API server with its istiod."""

    def __init__(self, cluster: Cluster, asking: Asking) -> None:
        self.cluster = cluster
        self._asking = asking
        self._store = Store(cluster.kubeconfig)
        self._numbers = itertools.count(1)

    @property
    def agent(self) -> Path:
        """Folder of the sockets behind which a proxy finds istiod and its certificates."""
        return self.cluster.state / AGENT_FOLDER

    def prepare(self) -> None:
        """Write what ``settle`` needs: the marker is seen by one proxy, whatever a test says to all others."""
        scope = {"apiVersion": "networking.istio.io/v1", "kind": "Sidecar", "metadata": {"namespace": _OWN, "name": "own"}}
        self._store.apply({**scope, "spec": {"egress": [{"hosts": ["./*"]}]}})

    def apply(self, *objects: Json) -> list[Json]:
        """Create or replace objects, and return them as they are stored once istiod has them."""
        stored = self._store.apply(*objects)
        self.settle()
        return stored

    def remove(self, *objects: Json) -> None:
        """Delete objects, and wait until istiod has it."""
        self._store.remove(*objects)
        self.settle()

    def ask(self, *pods: Json, listeners: bool = False) -> list[Sent]:
        """What istiod sends to the sidecar of each pod."""
        return self.ask_about([(pod, "") for pod in pods], listeners=listeners)

    def ask_about(self, pods: Iterable[tuple[Json, str]], *, listeners: bool = False) -> list[Sent]:
        """The same with only those clusters whose names hold the text beside the pod."""
        return self._asking.about(pods, listeners=listeners)

    def settle(self) -> None:
        """Wait until istiod has read what was written before, and every proxy that is connected has confirmed what it was sent."""
        host = f"marker-{next(self._numbers)}.referee"
        spec = {"hosts": [host], "ports": [{"number": 1, "name": "tcp", "protocol": "TCP"}], "resolution": "NONE"}
        metadata = {"namespace": _OWN, "name": "marker"}
        self._store.apply({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": metadata, "spec": spec})
        until(lambda: self._sees(host), _PATIENCE, lambda: f"istiod never read {host}")
        until(self._all_confirmed, _PATIENCE, lambda: f"some proxies did not take what istiod sent: {self.debug('/debug/syncz')}")

    def debug(self, path: str) -> Any:
        """The JSON of one of istiod's debug pages."""
        status, text = ask_socket(self.agent / "debug.sock", path)
        if status != http.HTTPStatus.OK:
            message = f"istiod answers {path} with {status}: {text[:200]!r}"
            raise TestbedError(message)
        return json.loads(text)

    def _sees(self, host: str) -> bool:
        pod = {"metadata": {"namespace": _OWN, "name": "own"}, "spec": {"containers": []}, "status": {"podIP": "10.202.255.254"}}
        return bool(self.ask_about([(pod, host)])[0].clusters)

    def _all_confirmed(self) -> bool:
        resources = [state for proxy in self.debug("/debug/syncz") for state in proxy["resources"].values()]
        return all(state.get("sent") == state.get("acked") for state in resources)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket file."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_PATIENCE)
        self._path = path

    def connect(self) -> None:
        """Open the socket file."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask_socket(socket_file: Path, path: str) -> tuple[int, bytes]:
    """The status and the body that a server behind a socket file has at a path; raises OSError where none answers."""
    connection = UnixConnection(socket_file)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@contextmanager
def plane(name: str, say: Say) -> Iterator[Plane]:
    """Start the referees' control plane called ``name``, and end it with all that is in it."""
    try:
        cluster = testbed_cluster.up(name, Nodes.NONE, say)
        with Asking(Path(cluster.spec.parts["referee"]) / "referee", f"{cluster.spec.address}:{_XDS_PORT}") as asking:
            found = Plane(cluster, asking)
            found.prepare()
            yield found
    finally:
        testbed_cluster.down(name)
