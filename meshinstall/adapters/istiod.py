"""Asks istiod's debug endpoint on its own loopback, through the API server's port-forward.

istiod answers everything to its loopback and, since 1.29, close to nothing to
others (istio: pilot/pkg/xds/debug.go, allowAuthenticatedOrLocalhost).
"""

import http.client
import io
import json
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread

from meshinstall.adapters.kube import tls_context
from meshinstall.adapters.kubeconfig import Kubeconfig
from meshinstall.adapters.tokens import source_of
from meshinstall.errors import ClusterError, ForbiddenError
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest

# The port that istioctl asks too.
_PORT = 15014
# Channels of the one port that is forwarded.
_DATA, _ERROR = 0, 1
# Seconds: for each answer on the wire, and for everything.
_TIMEOUT = 10.0
_TOTAL = 15.0
# Bytes: 64 MiB hold more than 20,000 proxies.
_MAX_ANSWER = 64 * 1024**2


class IstiodDebug:
    """The debug endpoint of the istiod pods of one cluster."""

    def __init__(self, config: Kubeconfig) -> None:
        self._config = config
        self._tokens = source_of(config)

    async def syncz(self, namespace: str, pod: str) -> list[Manifest]:
        """One record (istio: SyncStatus) for each proxy connected to ``pod``; raises ClusterError when it cannot be asked."""
        try:
            with anyio.fail_after(_TOTAL):
                return await anyio.to_thread.run_sync(self._syncz, namespace, pod, abandon_on_cancel=True)
        except TimeoutError as error:
            raise ClusterError(f"pod {namespace}/{pod} did not answer on port {_PORT} within {_TOTAL:.0f} s") from error

    def _syncz(self, namespace: str, pod: str) -> list[Manifest]:
        from websocket import WebSocketException

        try:
            with closing(self._connected(object_path("v1", "pods", namespace, pod, "portforward"))) as connection:
                connection.request("GET", "/debug/syncz")
                answer = connection.getresponse()
                data = answer.read(_MAX_ANSWER + 1)
        except (WebSocketException, http.client.HTTPException, OSError) as error:
            raise _refused(namespace, pod, error) from error
        if answer.status != http.HTTPStatus.OK:
            raise ClusterError(f"istiod {namespace}/{pod} refuses /debug/syncz: HTTP {answer.status}")
        return _records(data, f"{namespace}/{pod}")

    def _connected(self, path: str) -> http.client.HTTPConnection:
        from websocket import WebSocket

        token = self._tokens.get() if self._tokens else ""
        socket: Any = WebSocket(sslopt={"context": tls_context(self._config), "server_hostname": self._config.server_name or None})
        socket.settimeout(_TIMEOUT)
        proxy = urlsplit(self._config.proxy)
        socket.connect(
            # https becomes wss, http becomes ws.
            f"ws{self._config.server.removeprefix('http')}{path}?ports={_PORT}",
            header=[f"Authorization: Bearer {token}"] if token else [],
            subprotocols=["v4.channel.k8s.io"],
            **({"http_proxy_host": proxy.hostname, "http_proxy_port": proxy.port, "proxy_type": proxy.scheme} if proxy.hostname else {}),
        )
        connection = http.client.HTTPConnection("127.0.0.1", _PORT)
        connection.sock = _PodSocket(socket)
        return connection


class _PodSocket:
    """What http.client needs of a socket, on a websocket of the API server's port-forward."""

    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket

    def sendall(self, data: bytes) -> None:
        self._websocket.send_binary(bytes([_DATA]) + data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_PodStream(self._websocket))

    def close(self) -> None:
        self._websocket.shutdown()


class _PodStream(io.RawIOBase):
    """The bytes that come back from the pod.

    The first byte of a frame is its channel, and the first frame of a channel is
    the port's number (kubernetes: pkg/kubelet/server/portforward/websocket.go).
    """

    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket
        self._begun: set[int] = set()
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            frame = self._websocket.recv()
            if not frame:
                return 0
            channel, content = frame[0], frame[1:]
            if channel not in self._begun:
                self._begun.add(channel)
            elif channel == _ERROR:
                raise OSError(content.decode(errors="replace"))
            else:
                self._rest = content
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _refused(namespace: str, pod: str, error: Exception) -> ClusterError:
    status = getattr(error, "status_code", 0)
    if status == http.HTTPStatus.FORBIDDEN:
        return ForbiddenError(f"no permission for pods/portforward in {namespace}", "ask for create and get on pods/portforward")
    reason = f"HTTP {status}" if status else str(error).splitlines()[0] if str(error) else type(error).__name__
    return ClusterError(f"no port-forward to pod {namespace}/{pod}: {reason}")


def _records(data: bytes, pod: str) -> list[Manifest]:
    if len(data) > _MAX_ANSWER:
        raise ClusterError(f"istiod {pod} sent more than {_MAX_ANSWER // 1024**2} MiB")
    try:
        found = json.loads(data or b"null")
    except ValueError as error:
        raise ClusterError(f"istiod {pod} did not answer in JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
        raise ClusterError(f"istiod {pod} answered with something else than a list of proxies")
    return found
