"""Short-lived bearer tokens, renewed once for all callers before they expire."""

import json
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from meshinstall.adapters.kube.kubeconfig import ExecPlugin, Kubeconfig
from meshinstall.errors import ClusterError
from meshinstall.model import json_text

# Renewed when this little is left; seconds within which a plugin must answer.
_MARGIN = timedelta(minutes=2)
_PLUGIN_PATIENCE = 60
# A projected token file is rotated by the kubelet; client-go rereads it this often.
_FILE_LIFE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and when it expires (None: unknown)."""

    value: str = field(repr=False)
    expires: datetime | None = None

    def is_good(self, now: datetime) -> bool:
        """Whether it can still be used."""
        return self.expires is None or now < self.expires - _MARGIN


class TokenSource:
    """Holds a token and renews it with ``fetch`` before it expires; safe for many threads."""

    def __init__(self, fetch: Callable[[], Token], now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._fetch = fetch
        self._now = now
        self._lock = threading.Lock()
        self._token: Token | None = None

    def get(self) -> str:
        """A valid token; raises ClusterError when it cannot be renewed."""
        with self._lock:
            if self._token is None or not self._token.is_good(self._now()):
                self._token = self._fetch()
            return self._token.value

    def discard(self, value: str) -> None:
        """Forget ``value``, which a server refused; another thread may have renewed it already."""
        with self._lock:
            if self._token and self._token.value == value:
                self._token = None


def source_of(config: Kubeconfig) -> TokenSource | None:
    """The token source that a kubeconfig asks for, or None when it has no token."""
    if plugin := config.plugin:
        return TokenSource(lambda: _run(plugin))
    if path := config.token_file:
        return TokenSource(lambda: _read(path))
    if config.token:
        return TokenSource(lambda: Token(config.token))
    return None


def _read(path: Path) -> Token:
    try:
        # Good for another minute past the margin, then read again.
        return Token(path.read_text().strip(), datetime.now(UTC) + _MARGIN + _FILE_LIFE)
    except OSError as error:
        raise ClusterError(f"the kubeconfig's tokenFile cannot be read: {error.strerror}: {path}") from error


def _run(plugin: ExecPlugin) -> Token:
    info = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
    env = {**os.environ, **plugin.env, "KUBERNETES_EXEC_INFO": json.dumps(info)}
    try:
        done = subprocess.run(
            [plugin.command, *plugin.args], env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PLUGIN_PATIENCE, check=False
        )
    except FileNotFoundError as error:
        raise ClusterError(f"the kubeconfig's credential plugin {plugin.command} is not installed", plugin.install_hint) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"the kubeconfig's credential plugin {plugin.command} did not run: {error}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise ClusterError(f"the kubeconfig's credential plugin {plugin.command} exited with status {done.returncode}: {said[0]}")
    return _parse(plugin, done.stdout)


def _parse(plugin: ExecPlugin, text: bytes) -> Token:
    try:
        status = json_text.load(text)["status"]
        expires = status.get("expirationTimestamp")
        return Token(str(status["token"]), _moment(expires) if expires else None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # What it printed may hold a secret, so it is not shown.
        raise ClusterError(f"the kubeconfig's credential plugin {plugin.command} printed no ExecCredential with a token") from error


def _moment(text: str) -> datetime:
    """An RFC 3339 time; one without a zone is taken for UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
