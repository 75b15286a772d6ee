"""One pod's sidecar: a real Envoy that istiod configures, in a network where everything that it connects to is looked at."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed import paths
from testbed.api import Json
from testbed.errors import TestbedError
from testbed.referee.booth import INBOUND, Errand, Seen
from testbed.referee.bootstrap import ADMIN, bootstrap
from testbed.referee.node import node
from testbed.referee.plane import Plane, ask_socket
from testbed.waiting import until

# Seconds until Envoy has its first configuration.
_PATIENCE = 30
_NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


class Proxy(AbstractContextManager["Proxy"]):
    """The Envoy of a pod, from its first configuration to its end; the pod has a status with an address."""

    def __init__(self, plane: Plane, pod: Json) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="envoy-", dir=plane.cluster.state))
        (self._folder / "envoy.json").write_text(json.dumps(bootstrap(node(pod), plane.agent), indent=2))
        parts = plane.cluster.spec.parts
        booth = [sys.executable, "-m", "testbed.referee.booth", f"{parts['envoy']}/envoy/_bin/envoy", parts["debian"]]
        with (self._folder / "booth.log").open("w") as log:
            self._process = subprocess.Popen(
                ["unshare", *_NAMESPACES, *booth],
                cwd=self._folder,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(paths.REPOSITORY)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        try:
            until(self._is_live, _PATIENCE, lambda: f"this Envoy gets no configuration:\n{self._logs()}")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def get(self, path: str) -> bytes:
        """A page of Envoy's admin interface; raises TestbedError when it is refused or not there."""
        if (found := self.find(path)) is None:
            message = f"Envoy has no {path}"
            raise TestbedError(message)
        return found

    def find(self, path: str) -> bytes | None:
        """The same, None when Envoy has no such thing (404)."""
        status, data = ask_socket(self._folder / ADMIN, path)
        if status == http.HTTPStatus.NOT_FOUND:
            return None
        if status != http.HTTPStatus.OK:
            message = f"Envoy answers {path} with {status}: {data[:300]!r}"
            raise TestbedError(message)
        return data

    def send(self, address: str, port: int, host: str = "", path: str = "/") -> tuple[Seen, ...]:
        """Send an HTTP request as the pod's application would; return the connections that Envoy made for it, tries again included."""
        text = f"GET {path} HTTP/1.1\r\nhost: {host or f'{address}:{port}'}\r\nconnection: close\r\n\r\n"
        return self._run(Errand(address, port, text))[0]

    def receive(self, address: str, port: int) -> tuple[Seen, ...]:
        """Send a plaintext HTTP request to the pod as a stranger would; return what reached the application."""
        text = f"GET / HTTP/1.1\r\nhost: {address}:{port}\r\nconnection: close\r\n\r\n"
        return self._run(Errand(address, port, text, through=INBOUND))[0]

    def _run(self, errand: Errand) -> tuple[tuple[Seen, ...], str]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            message = "this Envoy's network has no pipes"
            raise TestbedError(message)
        stdin.write(json.dumps(asdict(errand)) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            message = f"this Envoy's network ended:\n{self._logs()}"
            raise TestbedError(message)
        found = json.loads(line)
        return tuple(Seen(**{**seen, "protocols": tuple(seen["protocols"])}) for seen in found["seen"]), found["answer"]

    def _is_live(self) -> bool:
        if self._process.poll() is not None:
            message = f"this Envoy's network ended:\n{self._logs()}"
            raise TestbedError(message)
        try:
            return ask_socket(self._folder / ADMIN, "/ready")[0] == http.HTTPStatus.OK
        except OSError:
            return False

    def _logs(self) -> str:
        files = [self._folder / name for name in ("booth.log", "envoy.log")]
        return "\n".join(line for file in files if file.exists() for line in file.read_text(errors="replace").splitlines()[-12:])

    def _end(self) -> None:
        # unshare's end is the end of the first process of the namespaces, and so of all that is in them.
        self._process.kill()
        self._process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)
