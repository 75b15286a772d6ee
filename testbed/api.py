"""A small client for the testbed's own API server: JSON in, JSON out."""

import base64
import json
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3

# Seconds.
_TIMEOUT = urllib3.Timeout(connect=2, read=10)
# The API server ends a watch after this; the caller lists again.
_WATCH = 300

Json = dict[str, Any]


class RefusedError(urllib3.exceptions.HTTPError):
    """The API server's answer is an error; ``status`` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """Requests with the client certificate of a kubeconfig that the testbed wrote; ``width`` threads keep their connections."""

    def __init__(self, kubeconfig: Path, width: int = 1) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        # The ssl module takes a client key from a file only.
        with tempfile.NamedTemporaryFile(dir=kubeconfig.parent) as both:
            both.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
            both.flush()
            context.load_cert_chain(both.name)
        self._server = cluster["server"]
        self._pool = urllib3.PoolManager(ssl_context=context, timeout=_TIMEOUT, retries=False, maxsize=width)

    def get(self, path: str) -> Json:
        """GET an object or a list."""
        return self._send("GET", path)

    def post(self, path: str, body: Json) -> Json:
        """Create an object."""
        return self._send("POST", path, body)

    def patch(self, path: str, body: Json) -> Json:
        """Merge ``body`` into an object."""
        return self._send("PATCH", path, body, "application/merge-patch+json")

    def put(self, path: str, body: Json) -> Json:
        """Replace an object."""
        return self._send("PUT", path, body)

    def delete(self, path: str) -> Json:
        """Delete an object."""
        return self._send("DELETE", path)

    def watch(self, path: str, version: str) -> Iterator[Json]:
        """Events after ``version`` until the server ends the watch."""
        url = f"{self._server}{path}?watch=1&resourceVersion={version}&timeoutSeconds={_WATCH}"
        answer = self._pool.request("GET", url, preload_content=False, timeout=urllib3.Timeout(connect=2, read=_WATCH + 10))
        rest = b""
        for chunk in answer.stream(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (json.loads(line) for line in lines if line)

    def _send(self, method: str, path: str, body: Json | None = None, content_type: str = "application/json") -> Json:
        answer = self._pool.request(
            method, self._server + path, body=json.dumps(body) if body else None, headers={"Content-Type": content_type}
        )
        # A path that is not served is answered in plain text.
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        found: Json = json.loads(answer.data) if is_json else {"message": answer.data.decode(errors="replace").strip()}
        if answer.status >= 400:  # noqa: PLR2004 - HTTP's own limit
            message = f"{method} {path}: {answer.status} {found.get('message', '')}"
            raise RefusedError(message, answer.status)
        return found
