"""Logs in to OCI registries with credentials that other tools stored."""

import base64
import binascii
import os
import sys
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import parse_http_list, parse_keqv_list

from meshinstall.adapters.charts.http import Http, is_loopback, is_safe, shown
from meshinstall.errors import ChartError
from meshinstall.model import json_text

_MAX_TOKEN = 1024**2
_MAX_FILE = 1024**2


def authorization(http: Http, registry: str, challenge: str) -> str:
    """The Authorization header that answers a registry's WWW-Authenticate; empty when we have none to give.

    ``registry`` is the URL that challenged. https://distribution.github.io/distribution/spec/auth/token/
    """
    scheme, _, rest = challenge.partition(" ")
    login = stored_login(registry.split("/")[2])
    if scheme.lower() == "basic":
        return login
    parameters = parse_keqv_list(parse_http_list(rest)) if scheme.lower() == "bearer" else {}
    realm = parameters.get("realm", "")
    if not is_safe(realm, loopback=is_loopback(registry)):
        raise ChartError(f"{shown(registry)} asks for a kind of login that is not supported: {scheme!r} with realm {shown(realm)!r}")
    query = urlencode([(key, value) for key, value in parameters.items() if key in {"service", "scope"}])
    answer = http.get(f"{realm}?{query}", _MAX_TOKEN, {"Authorization": login} if login else {})
    return f"Bearer {token}" if answer.status == HTTPStatus.OK and (token := _token(answer.body)) else ""


def login_hint(registry: str) -> str:
    """The hint that says how to log in so that ``stored_login`` finds the login."""
    host = registry.split("/")[2]
    helpers = [str(file) for file, content in _files() if content.get("credsStore") or content.get("credHelpers")]
    note = f"; {', '.join(helpers)} uses a credential helper, which meshinstall does not run" if helpers else ""
    return f"log in with `helm registry login {host}`, or set REGISTRY_AUTH_FILE to a config.json with the credentials{note}"


def stored_login(host: str) -> str:
    """``Basic ...`` for a registry's host:port from the first file that has it; empty when none does."""
    for _, content in _files():
        for name, entry in _mapping(content.get("auths")).items():
            if _host(name) == host and (login := _login(_mapping(entry))):
                return f"Basic {login}"
    return ""


def _files() -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The files that `helm registry login`, podman and docker write, in this order; unreadable ones say nothing."""
    for file in _places(os.environ, Path.home()):
        try:
            content = json_text.load(file.read_bytes()[:_MAX_FILE])
        except (OSError, ValueError):
            continue
        yield file, _mapping(content)


def _places(environment: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    helm = "Library/Preferences" if sys.platform == "darwin" else ".config"
    helm_home = environment.get("HELM_CONFIG_HOME") or str(Path(environment.get("XDG_CONFIG_HOME") or home / helm) / "helm")
    named = (
        environment.get("HELM_REGISTRY_CONFIG") or f"{helm_home}/registry/config.json",
        environment.get("REGISTRY_AUTH_FILE"),
        f"{environment.get('DOCKER_CONFIG') or home / '.docker'}/config.json",
    )
    return tuple(Path(name) for name in named if name)


def _login(entry: Mapping[str, Any]) -> str:
    if entry.get("username") and entry.get("password"):
        return base64.b64encode(f"{entry['username']}:{entry['password']}".encode()).decode()
    auth = str(entry.get("auth") or "")
    try:
        base64.b64decode(auth, validate=True)
    except binascii.Error:
        return ""
    return auth


def _host(name: str) -> str:
    """``host:port`` of a key of ``auths``, which may be a URL or have a path."""
    return name.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _token(body: bytes) -> str:
    try:
        answer = _mapping(json_text.load(body))
    except ValueError:
        return ""
    token = answer.get("token") or answer.get("access_token") or ""
    return token if isinstance(token, str) and token.isascii() and token.isprintable() else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
