"""Short-lived credentials, renewed once for all callers before they expire."""

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio.to_thread

from meshinstall.adapters.kube.kubeconfig import ExecPlugin, Kubeconfig
from meshinstall.adapters.kube.token import Token
from meshinstall.adapters.net.tls import fits
from meshinstall.errors import ClusterError

# A projected token file is rotated by the kubelet; client-go rereads it this often, and that little before (transport/token_source.go).
_FILE_LIFE = timedelta(minutes=1)
_FILE_MARGIN = timedelta(seconds=10)
# What a header can carry; anything else would end in an error that shows it.
_VISIBLE = re.compile(r"[\x21-\x7e]*")


class TokenSource:
    """Holds a credential and renews it with ``fetch`` before it expires; safe for many threads."""

    def __init__(self, fetch: Callable[[], Token], now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._fetch = fetch
        self._now = now
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._listener: Callable[[Token], object] = lambda _: None

    def tell(self, listener: Callable[[Token], object]) -> None:
        """Call ``listener`` with each credential that is fetched from now on."""
        self._listener = listener

    def current(self) -> Token:
        """A valid credential; raises ClusterError when it cannot be renewed, or is not one that can be sent."""
        with self._lock:
            if self._token is None or not self._token.is_good(self._now()):
                self._token = self._fetched()
                self._listener(self._token)
            return self._token

    async def ready(self) -> None:
        """Return with a valid credential, before a request's deadline begins: a person may have to sign in. Raises as ``current`` does."""
        token = self._token
        if token is None or not token.is_good(self._now()):
            await anyio.to_thread.run_sync(self.current, abandon_on_cancel=True)

    def get(self) -> str:
        """A valid token; raises ClusterError as ``current`` does."""
        return self.current().value

    def discard(self, refused: Token | str) -> None:
        """Forget a credential that a server refused; another thread may have renewed it already."""
        with self._lock:
            if self._token and refused in {self._token, self._token.value}:
                self._token = None

    def _fetched(self) -> Token:
        found = self._fetch()
        if not _VISIBLE.fullmatch(found.value):
            raise ClusterError(
                "the token for the API server holds a space, a line break or another character that no token has; it was not sent",
                "fetch the token again, and store it as one line",
            )
        return found


def source_of(config: Kubeconfig) -> TokenSource | None:
    """The source of the credential that a kubeconfig asks for, or None when nothing of it can change: certificates as data, or nothing.

    A plugin is run only where there is no token and no certificate, as in client-go.
    """
    fetch = _fetch_of(config)
    if config.pair_files and config.certificate and config.key:
        fetch = _Pair(config.pair_files, (config.certificate, config.key), fetch)
    return TokenSource(fetch) if fetch else None


def _fetch_of(config: Kubeconfig) -> Callable[[], Token] | None:
    """What gives the bearer token, or what a plugin gives in its place."""
    if path := config.token_file:
        return _File(path, config.token)
    if config.token:
        return lambda: Token(config.token)
    if (plugin := config.plugin) and not config.certificate:
        return lambda: _run(plugin)
    return None


class _Pair:
    """Reads a client certificate and its key again, as ``_File`` does a token; two that do not fit are being replaced (client-go:
    transport/cert_rotation.go).
    """  # noqa: D205 - one sentence

    def __init__(self, files: tuple[Path, Path], first: tuple[bytes, bytes], fetch: Callable[[], Token] | None) -> None:
        self._files = files
        self._last = first
        self._fetch = fetch or (lambda: Token(""))

    def __call__(self) -> Token:
        token = self._fetch()
        try:
            found = self._files[0].read_bytes(), self._files[1].read_bytes()
            if found != self._last and fits(*found):
                self._last = found
        except OSError:
            # What it held last serves on.
            pass
        return Token(token.value, datetime.now(UTC) + _FILE_LIFE, *self._last, margin=_FILE_MARGIN)


class _File:
    """Reads a tokenFile; while it cannot be read, what it held before or the kubeconfig's token serves on."""

    def __init__(self, path: Path, token: str) -> None:
        self._path = path
        self._last = token

    def __call__(self) -> Token:
        try:
            self._last = self._read()
        except ClusterError:
            if not self._last:
                raise
        return Token(self._last, datetime.now(UTC) + _FILE_LIFE, margin=_FILE_MARGIN)

    def _read(self) -> str:
        try:
            found = self._path.read_text().strip()
        except (OSError, ValueError) as error:
            said = getattr(error, "strerror", "") or "it is not text"
            raise ClusterError(f"the kubeconfig's tokenFile cannot be read: {said}: {self._path}") from error
        if not found:
            raise ClusterError(f"the kubeconfig's tokenFile is empty: {self._path}")
        return found


def _run(plugin: ExecPlugin) -> Token:
    # Most contexts have none.
    from meshinstall.adapters.kube.exec_plugin import run

    return run(plugin)
