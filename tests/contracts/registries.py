"""Registries on loopback that want a login, and credential helpers."""

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.contracts.servers import ARCHIVE, DIGEST, QuietHandler, reply

LOGIN = f"Basic {base64.b64encode(b'me:hunter2').decode()}"
IDENTITY = "identity-token-of-me"
SCOPE = "repository:charts/demo:pull"
_CONFIG = b'{"name":"demo","version":"1.0.0","apiVersion":"v2"}'
_CONFIG_DIGEST = f"sha256:{hashlib.sha256(_CONFIG).hexdigest()}"
_TYPE = "application/vnd.oci.image.manifest.v1+json"
# Whole enough for helm itself.
_MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": _TYPE,
        "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": _CONFIG_DIGEST, "size": len(_CONFIG)},
        "layers": [{"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "digest": DIGEST, "size": len(ARCHIVE)}],
    }
).encode()


class Registry(QuietHandler, BaseHTTPRequestHandler):
    """A registry with one chart for whom a token service gives tokens to; subclasses change parts of it.

    ``asked`` keeps method, host, path and Authorization of every request, ``forms`` what was posted.
    """

    asked: list[tuple[str, str, str, str]]
    forms: list[dict[str, list[str]]]
    challenge = 'Bearer realm="http://{host}/token",service="{host}",scope="' + SCOPE + '"'
    token = "t-1"  # noqa: S105 - of a test
    accepts = ("Bearer t-1",)
    identity = IDENTITY

    def do_HEAD(self) -> None:
        """Answer helm, which asks for a manifest's head first."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer a request."""
        self.note()
        path = urlsplit(self.path).path
        if path == "/token":
            good = self.headers.get("Authorization") == LOGIN
            reply(self, 200 if good else 401, json.dumps({"token": self.token}).encode() if good else b"")
        elif self.headers.get("Authorization") not in self.accepts:
            reply(self, 401, WWW_Authenticate=self.challenge.format(host=self.headers["Host"]))
        else:
            self.serve(path)

    def do_POST(self) -> None:
        """Give a token for an identity token."""
        self.note()
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.forms.append(form)
        good = form.get("grant_type") == ["refresh_token"] and form.get("refresh_token") == [self.identity]
        reply(self, 200 if good else 401, json.dumps({"access_token": self.token}).encode() if good else b"")

    def note(self) -> None:
        """Keep what was asked."""
        self.asked.append((self.command, self.headers["Host"], urlsplit(self.path).path, self.headers.get("Authorization", "")))

    def serve(self, path: str) -> None:
        """Send a part of the chart."""
        if "/manifests/" in path:
            digest = f"sha256:{hashlib.sha256(_MANIFEST).hexdigest()}"
            body = _MANIFEST if self.command == "GET" else b""
            self.send_response(200)
            for name, value in (("Content-Type", _TYPE), ("Docker-Content-Digest", digest), ("Content-Length", str(len(_MANIFEST)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        else:
            reply(self, 200, _CONFIG if path.endswith(_CONFIG_DIGEST) else ARCHIVE)


def kind(base: type[Registry] = Registry, **changes: object) -> type[Registry]:
    """A registry with lists of its own, and changes."""
    return type("Handler", (base,), {"asked": [], "forms": [], **changes})


def helper(folder: Path, name: str, script: str) -> Path:
    """Write a credential helper into a folder that is on PATH; ``$server`` is what it is asked for."""
    folder.mkdir(exist_ok=True)
    file = folder / f"docker-credential-{name}"
    file.write_text(f'#!/bin/sh\n[ "$1" = get ] || exit 9\nserver=$(cat)\n{script}\n')
    file.chmod(0o755)
    return file


def answers(username: str, secret: str) -> str:
    """The script of a helper that has a login."""
    return f"cat <<END\n{json.dumps({'ServerURL': 'x', 'Username': username, 'Secret': secret})}\nEND"
