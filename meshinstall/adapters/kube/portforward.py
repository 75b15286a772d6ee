"""Ports on the loopback of pods, through the API server's port-forward over a websocket."""

import http.client
import io
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

from anyio import CapacityLimiter

from meshinstall.adapters.kube.client import proxy_of, refuse_redirect, tls_context
from meshinstall.adapters.kube.identity import headers
from meshinstall.adapters.kube.kubeconfig import Kubeconfig
from meshinstall.adapters.kube.token import Token
from meshinstall.adapters.kube.tokens import TokenSource
from meshinstall.adapters.net.bodies import TooLongError, TooSlowError, read_pieces
from meshinstall.adapters.net.deadlines import Deadline, run_before
from meshinstall.adapters.net.proxies import through
from meshinstall.adapters.net.sockets import Way, open_socket
from meshinstall.errors import ClusterError, ForbiddenError
from meshinstall.model.istio import ISTIOD_MONITORING_PORT
from meshinstall.model.paths import object_path
from meshinstall.ports import Stream

_Answer = TypeVar("_Answer")

# Channels of the one port that is forwarded.
_DATA, _ERROR = 0, 1
# Seconds: for each answer on the wire, and for everything.
_TIMEOUT = 10.0
_TOTAL = 15.0
# Bytes: of what any pod says, and of what istiod does, where 64 MiB hold more than 20,000 proxies.
_MAX_ANSWER = 16 * 1024**2
_MAX_ISTIOD = 64 * 1024**2
# Of one message; kubernetes' streams copy 32 KiB at a time.
_MAX_FRAME = 4 * 1024**2
# Streams open at the same time: the kubelet and the API server carry each as a connection of its own.
_AT_ONCE = 8


class PodPorts:
    """Implements ports.Pods for one cluster."""

    def __init__(self, config: Kubeconfig, tokens: TokenSource | None) -> None:
        self._config = config
        self._tokens = tokens
        self._limiter: CapacityLimiter | None = None

    async def get(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        """The body of an HTTP GET; anything but 200 is a ClusterError."""
        (body,) = await self.get_all(namespace, pod, port, [path])
        if body is None:
            raise ClusterError(f"pod {namespace}/{pod} answered {path} with HTTP 404")
        return body

    async def get_all(self, namespace: str, pod: str, port: int, paths: Sequence[str]) -> list[bytes | None]:
        """The bodies of several GETs, one after the other on one stream; None where there is nothing (404)."""

        def ask(stream: Stream) -> list[bytes | None]:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            # A server that hangs up must not lead to this machine's own loopback.
            connection.auto_open = 0
            connection.sock = _HttpSocket(stream)
            most = _MAX_ISTIOD if port == ISTIOD_MONITORING_PORT else _MAX_ANSWER
            return [_body(connection, f"{namespace}/{pod}", path, most) for path in paths]

        return await self.talk(namespace, pod, port, ask)

    async def talk(self, namespace: str, pod: str, port: int, talk: Callable[[Stream], _Answer]) -> _Answer:
        """Open a stream and run ``talk`` on it, in a thread; raises ClusterError."""
        # Its own threads: streams that hang must not hold up plain requests.
        self._limiter = self._limiter or CapacityLimiter(_AT_ONCE)
        if self._tokens:
            await self._tokens.ready()
        async with self._limiter:
            deadline = Deadline(_TOTAL)
            try:
                return await run_before(deadline, partial(self._talk, deadline, namespace, pod, port, talk))
            except TooSlowError as error:
                raise ClusterError(f"pod {namespace}/{pod} did not answer on port {port} within {_TOTAL:.0f} s") from error

    def _talk(self, deadline: Deadline, namespace: str, pod: str, port: int, talk: Callable[[Stream], _Answer]) -> _Answer:
        from websocket import WebSocketException

        try:
            with closing(self._connected(deadline, object_path("v1", "pods", namespace, pod, "portforward"), port)) as stream:
                return talk(stream)
        except (WebSocketException, http.client.HTTPException, OSError) as error:
            raise _refused(namespace, pod, error, self._config) from error

    def _connected(self, deadline: Deadline, path: str, port: int) -> "_WebsocketStream":
        from websocket import WebSocketBadStatusException

        token = self._tokens.current() if self._tokens else Token("")
        try:
            return self._open(deadline, path, port, token)
        except WebSocketBadStatusException as error:
            if error.status_code != http.HTTPStatus.UNAUTHORIZED or not self._tokens:
                raise
            # Revoked, or our clock is behind: one fresh token, one more try.
            self._tokens.discard(token)
            return self._open(deadline, path, port, self._tokens.current())

    def _open(self, deadline: Deadline, path: str, port: int, token: Token) -> "_WebsocketStream":
        from websocket import WebSocketException

        config = self._config
        sent = [f"{name}: {value}" for name, value in headers(config, token.value)]
        way = Way(proxy_of(config), tls_context(config, token), config.server_name, config.authority, _TIMEOUT)
        websocket = _bounded_websocket()
        websocket.settimeout(_TIMEOUT)
        opened = open_socket(config.server, way)
        deadline.hold(websocket)
        try:
            websocket.connect(
                # https becomes wss, http becomes ws.
                f"ws{config.server.removeprefix('http')}{path}?ports={port}",
                header=sent,
                subprotocols=["v4.channel.k8s.io"],
                socket=opened,
                # The credentials are for this server alone.
                redirect_limit=0,
            )
        except WebSocketException:
            if answer := websocket.handshake_response:
                refuse_redirect(config.server, answer.status, (answer.headers or {}).get("location") or "")
            raise
        return _WebsocketStream(deadline, websocket)


def _bounded_websocket() -> Any:
    """A websocket whose frames have a bound: its own reader keeps all of a frame, which may say that it has 2^63 bytes."""
    from websocket import ABNF, WebSocket, WebSocketPayloadException

    class Bounded(WebSocket):
        left = _MAX_FRAME

        def _recv(self, size: int) -> bytes:
            data: bytes = super()._recv(size)  # type: ignore[no-untyped-call] # it has no types
            self.left -= len(data)
            if self.left < 0:
                raise WebSocketPayloadException(f"a message has more than {_MAX_FRAME // 1024**2} MiB")
            return data

        def message(self) -> bytes:
            """The next one, whatever its kind; empty when there are no more."""
            self.left = _MAX_FRAME
            kind, data = self.recv_data()
            return data if kind in {ABNF.OPCODE_BINARY, ABNF.OPCODE_TEXT} else b""

    return Bounded()


def _body(connection: http.client.HTTPConnection, pod: str, path: str, most: int) -> bytes | None:
    connection.request("GET", path)
    answer = connection.getresponse()
    try:
        body = b"".join(read_pieces(answer.read1, most))
    except TooLongError as error:
        raise ClusterError(f"pod {pod} sent more than {most // 1024**2} MiB") from error
    if answer.status not in {http.HTTPStatus.OK, http.HTTPStatus.NOT_FOUND}:
        raise ClusterError(f"pod {pod} answered {path} with HTTP {answer.status}")
    return body if answer.status == http.HTTPStatus.OK else None


class _WebsocketStream:
    """Implements ports.Stream.

    The first byte of a frame is its channel, and the first frame of a channel is
    the port's number (kubernetes: pkg/kubelet/server/portforward/websocket.go).
    """

    def __init__(self, deadline: Deadline, websocket: Any) -> None:
        self._deadline = deadline
        self._websocket = websocket
        self._begun: set[int] = set()
        self._rest = b""

    def send(self, data: bytes) -> None:
        self._websocket.send_binary(bytes([_DATA]) + data)

    def receive(self, size: int, seconds: float | None = None) -> bytes:
        from websocket import WebSocketTimeoutException

        self._websocket.settimeout(seconds or _TIMEOUT)
        while not self._rest:
            if self._deadline.is_cut:
                # What came before may be many answers of a pod that sends as fast as it can.
                raise ConnectionAbortedError("nobody waits for the answer any more")
            try:
                frame = self._websocket.message()
            except WebSocketTimeoutException as error:
                raise TimeoutError("no answer in time") from error
            if not frame:
                return b""
            channel, content = frame[0], frame[1:]
            if channel not in self._begun:
                self._begun.add(channel)
            elif channel == _ERROR:
                raise OSError(content.decode(errors="replace"))
            else:
                self._rest = content
        given, self._rest = self._rest[:size], self._rest[size:]
        return given

    def close(self) -> None:
        self._websocket.shutdown()


class _HttpSocket:
    """What http.client needs of a socket."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def sendall(self, data: bytes) -> None:
        self._stream.send(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Raw(self._stream))

    def close(self) -> None:
        """The opener closes the stream."""


class _Raw(io.RawIOBase):
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.receive(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _refused(namespace: str, pod: str, error: Exception, config: Kubeconfig) -> ClusterError:
    status = getattr(error, "status_code", 0)
    if status == http.HTTPStatus.FORBIDDEN:
        return ForbiddenError(f"no permission for pods/portforward in {namespace}", "ask for create and get on pods/portforward")
    reason = f"HTTP {status}" if status else str(error).splitlines()[0] if str(error) else type(error).__name__
    return ClusterError(f"cannot port-forward to pod {namespace}/{pod}{through(proxy_of(config))}: {reason}")
