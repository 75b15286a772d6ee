"""Finds the logins to registries that helm, podman and docker stored, in their files or with their credential helpers."""

import base64
import binascii
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshinstall.adapters.charts.credential_helper import HelperError, ask, program
from meshinstall.errors import ChartError
from meshinstall.model import json_text

_MAX_FILE = 1024**2
# The name that says: the secret is no password but a token for the token service.
_IDENTITY = "<token>"
# Docker Hub answers at one name, and its logins are stored under another (oras-go: registry/remote/credentials/registry.go).
_ADDRESSES = {"registry-1.docker.io": "https://index.docker.io/v1/", "docker.io": "https://index.docker.io/v1/"}


@dataclass(frozen=True, slots=True)
class Login:
    """What is known for a registry; without ``source`` there is no login.

    ``identity`` is a token that the token service takes, ``access`` one that the registry takes. ``notes`` say which helpers were
    asked in vain and why, ``tries`` how a person asks them.
    """

    source: str = ""
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)
    access: str = field(default="", repr=False)
    notes: tuple[str, ...] = ()
    tries: tuple[str, ...] = ()

    @property
    def basic(self) -> str:
        """The Authorization header with name and password; empty without a password."""
        if not self.password:
            return ""
        return f"Basic {base64.b64encode(f'{self.username}:{self.password}'.encode(errors='surrogateescape')).decode()}"


class Logins:
    """The logins of this user, each looked up once: a helper may ask a person or a cloud."""

    def __init__(self) -> None:
        self._known: dict[str, Login] = {}
        self._lock = threading.Lock()

    def find(self, host: str, left: Callable[[], float]) -> Login:
        """The login for a registry's host:port. ``left`` gives the seconds that remain, or raises what ends the operation.

        The first file that has one counts, and in it the helper before what is written there, as helm has it. A helper that fails is
        a note: without a login the registry may still answer. Raises ChartError for a file that cannot be read.
        """
        with self._lock:
            if host not in self._known:
                self._known[host] = _find(_ADDRESSES.get(host, host), left)
            return self._known[host]


def _find(server: str, left: Callable[[], float]) -> Login:
    notes: list[str] = []
    tries: list[str] = []
    for file, content in _files():
        if helper := _helper(file, content, server):
            found = _asked(file, helper, server, left, notes)
            if found:
                return found
            tries.append(f"`echo {server} | {program(helper)} get`")
        if found := _written(file, content, server):
            return found
    return Login(notes=tuple(notes), tries=tuple(tries))


def _asked(file: Path, helper: str, server: str, left: Callable[[], float], notes: list[str]) -> Login | None:
    try:
        stored = ask(helper, server, left)
    except HelperError as error:
        notes.append(f"{error} ({file} names it for {server})")
        return None
    if not stored:
        notes.append(f"{program(helper)} has no login for it ({file} names it for {server})")
        return None
    return _login(f"{program(helper)}, which {file} names", stored.username, stored.secret)


def _written(file: Path, content: Mapping[str, Any], server: str) -> Login | None:
    """The login in the file itself: under the name of the server, or an address whose host is that."""
    entries = _table(file, content, "auths")
    entry = entries.get(server) or next((entries[name] for name in entries if _host(name) == server), None)
    if not entry:
        return None
    if not isinstance(entry, Mapping):
        raise _broken(file, f"the entry for {server} is not an object")
    name, password = _text(entry, "username"), _text(entry, "password")
    if packed := _text(entry, "auth"):
        try:
            name, colon, password = base64.b64decode(packed, validate=True).decode(errors="surrogateescape").partition(":")
        except (binascii.Error, ValueError):
            colon = ""
        if not colon:
            raise _broken(file, f"auth of {server} is not base64 of NAME:PASSWORD")
    found = _login(str(file), name, password, _text(entry, "identitytoken"), _text(entry, "registrytoken"))
    return found if found.password or found.identity or found.access else None


def _login(source: str, name: str, secret: str, identity: str = "", access: str = "") -> Login:
    if name == _IDENTITY:
        return Login(source, identity=secret, access=access)
    return Login(source, name, secret, identity, access)


def _files() -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The files that `helm registry login`, podman and docker write, in this order; a missing or empty one has no logins."""
    for file in _places(os.environ, Path(os.environ.get("HOME") or "/")):
        try:
            with file.open("rb") as opened:
                data = opened.read(_MAX_FILE)
            content = json_text.load(data) if data.strip() else {}
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _broken(file, str(error.strerror)) from error
        except ValueError:
            # Its own words may quote the file.
            raise _broken(file, "it is not JSON") from None
        if not isinstance(content, Mapping):
            raise _broken(file, "it is not a JSON object")
        yield file, content


def _places(environment: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    helm = "Library/Preferences" if sys.platform == "darwin" else ".config"
    helm_home = environment.get("HELM_CONFIG_HOME") or str(Path(environment.get("XDG_CONFIG_HOME") or home / helm) / "helm")
    named = (
        environment.get("HELM_REGISTRY_CONFIG") or f"{helm_home}/registry/config.json",
        environment.get("REGISTRY_AUTH_FILE"),
        f"{environment.get('DOCKER_CONFIG') or home / '.docker'}/config.json",
    )
    return tuple(Path(name) for name in named if name)


def _helper(file: Path, content: Mapping[str, Any], server: str) -> str:
    """The helper for a server: its own, else the one for all."""
    return _text(_table(file, content, "credHelpers"), server) or _text(content, "credsStore")


def _table(file: Path, content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = content.get(name) or {}
    if not isinstance(found, Mapping):
        raise _broken(file, f"{name} is not an object")
    return found


def _text(entry: Mapping[str, Any], name: str) -> str:
    found = entry.get(name)
    return found if isinstance(found, str) else ""


def _host(name: str) -> str:
    """``host:port`` of a key of ``auths``, which may be a URL or have a path."""
    return name.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _broken(file: Path, why: str) -> ChartError:
    return ChartError(f"the registry logins in {file} cannot be read: {why}", "correct the file, or log in again, which writes it")
