"""The caller's Google identity: application default credentials, with or without impersonation of service accounts."""

import os
import re
import threading
import warnings
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from meshinstall.adapters.gke.chosen import UNIVERSE, Login, choose
from meshinstall.adapters.gke.http import Http
from meshinstall.adapters.gke.login_files import read_files
from meshinstall.errors import ClusterError, UnauthorizedError
from meshinstall.model import json_text
from meshinstall.model.cluster_ref import ClusterRef, Credential
from meshinstall.model.foreign_text import plain

if TYPE_CHECKING:
    from meshinstall.model.cluster import Caller

# Both: without the second the API server knows a service account by its number, and RBAC for its e-mail does not hold
# (kubernetes/cloud-provider-gcp: default_credentials_token_provider.go).
SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email")
# A token with less time left than this is renewed first.
_WORTH = timedelta(minutes=5)
# Who a token is of. The token is in a header: addresses are logged by proxies.
_WHO = "https://oauth2.googleapis.com/tokeninfo"
_EMAIL = re.compile(r"[^@\s]{1,120}@[A-Za-z0-9.-]{1,120}")
# Errors of google.auth on a hostile answer: missing keys, wrong types, invalid dates.
_HOSTILE = (ValueError, KeyError, TypeError, AttributeError, OverflowError)
_POOL = re.compile(r"//iam\.googleapis\.com/([\w/.-]{1,200})")


class Identity:
    """The caller's access tokens; safe for many threads. Nothing is read before the first question."""

    def __init__(self, http: Http, ref: ClusterRef) -> None:
        self._http = http
        self._selectors = ref.selectors
        self._lock = threading.RLock()
        self._login: Login | None = None
        self._loaded: _Loaded | None = None
        self._spent = False
        self._caller: Caller | None = None

    @property
    def login(self) -> Login:
        """Who calls by what options, variables and files say; raises UsageError."""
        with self._lock:
            if self._login is None:
                self._login = choose(self._selectors, os.environ, read_files(os.environ))
            return self._login

    @property
    def project(self) -> str:
        """The project that the credentials or gcloud's configuration name; may be empty."""
        with self._lock:
            return self._load().project

    @property
    def quota_project(self) -> str | None:
        """The project that calls are counted for, where the login names one."""
        with self._lock:
            return getattr(self._load().source, "quota_project_id", None)

    def token(self) -> str:
        """A token for Google's own APIs; raises ClusterError."""
        with self._lock:
            return self._fresh().token

    def credential(self) -> Credential:
        """A token that was not returned before; raises ClusterError. The metadata server may repeat a token."""
        with self._lock:
            found = self._refreshed() if self._spent else self._fresh()
            self._spent = True
            return found

    def caller(self) -> "Caller":
        """Who calls, by e-mail address: of a user's login Google is asked once. Raises ClusterError when there is no token."""
        from meshinstall.model.cluster import Caller

        with self._lock:
            if self._caller:
                return self._caller
            token = self._fresh().token
            told = self.login.email or getattr(self._load().source, "service_account_email", "")
        # Others may have the token meanwhile.
        name = told if isinstance(told, str) and _EMAIL.fullmatch(told) else self._found(token)
        self._caller = Caller(plain(name), self.login.chosen.by)
        return self._caller

    def _found(self, token: str) -> str:
        """A name for somebody of whom neither files nor credentials tell the e-mail address."""
        login = self.login
        if login.file and (pool := _POOL.fullmatch(login.file.audience)):
            return f"a federated identity of {pool[1]}"
        asked = self._asked(token) if login.universe == UNIVERSE else ""
        return asked if _EMAIL.fullmatch(asked) else "an account whose e-mail address Google did not return"

    def _asked(self, token: str) -> str:
        from google.auth.exceptions import TransportError

        try:
            reply = self._http(_WHO, "POST", headers={"Authorization": f"Bearer {token}"})
            found = json_text.load(reply.data)
        except (TransportError, ValueError):
            # A name is worth no failed run.
            return ""
        return str(found.get("email", "")) if isinstance(found, dict) else ""

    def _fresh(self) -> Credential:
        source = self._load().source
        if source.token and source.expiry and _utc(source.expiry) - datetime.now(UTC) > _WORTH:
            return _credential(source)
        return self._refreshed()

    def _refreshed(self) -> Credential:
        from subprocess import SubprocessError

        from google.auth import exceptions

        source = self._load().source
        try:
            source.refresh(self._http)
        except (exceptions.GoogleAuthError, SubprocessError, *_HOSTILE) as error:
            raise self._explained(error) from error
        self._spent = False
        if not isinstance(source.token, str) or not source.token.isascii() or not source.token.isprintable():
            from meshinstall.adapters.gke.token_errors import not_valid

            raise not_valid()
        return _credential(source)

    def _explained(self, error: Exception) -> ClusterError:
        """The error for a token that was not given; of a chain the first account that may not act as the next is found by trying."""
        from google.auth.exceptions import GoogleAuthError

        from meshinstall.adapters.gke.token_errors import impersonation_answer, lacks_permission, may_not, not_given, refused

        login = self.login
        if not isinstance(error, GoogleAuthError):
            return not_given(error)
        if len(login.chain) < 2 or not lacks_permission(impersonation_answer(error)):  # noqa: PLR2004 - a chain
            return refused(error, login)
        before = len(login.acts_as) - len(login.chain)
        for count in range(1, len(login.chain)):
            try:
                _impersonated(self._load().base, login, count).refresh(self._http)
            except GoogleAuthError as other:
                return may_not(login, before + count - 1) if lacks_permission(impersonation_answer(other)) else refused(other, login)
        return may_not(login, len(login.acts_as) - 1)

    def _load(self) -> "_Loaded":
        if self._loaded is None:
            self._loaded = _default(self._http, self.login)
        return self._loaded


class _Loaded(NamedTuple):
    """google.auth's credentials of the caller, those before any impersonation, and the project that they or gcloud name."""

    source: Any
    base: Any
    project: str


def _default(http: Any, login: Login) -> _Loaded:
    """Application default credentials with both scopes."""
    from subprocess import SubprocessError

    from google.auth import exceptions

    try:
        base, project = _base(http, login)
        source = _impersonated(base, login, len(login.chain)) if login.chain else base
    except (exceptions.GoogleAuthError, SubprocessError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise _not_loaded(error, login) from error
    named = os.environ.get("GOOGLE_CLOUD_PROJECT") or os.environ.get("CLOUDSDK_CORE_PROJECT") or login.configured_project
    return _Loaded(source, base, project or named)


def _not_loaded(error: Exception, login: Login) -> ClusterError:
    """The error for credentials that google.auth cannot load."""
    from subprocess import SubprocessError

    from google.auth import exceptions

    from meshinstall.adapters.gke.token_errors import LOGIN, not_found, not_given, refused

    if isinstance(error, exceptions.DefaultCredentialsError):
        return UnauthorizedError(f"no Google credentials: {_reason(error)}", not_found(login, os.environ))
    if isinstance(error, (exceptions.TransportError, exceptions.RefreshError, exceptions.OAuthError)):
        # A federated identity's project is asked for with a token.
        return refused(error, login)
    if isinstance(error, SubprocessError):
        return not_given(error)
    # A broken file; what stands in it may be a secret.
    where = f" in {plain(login.file.path)}" if login.file else ""
    return UnauthorizedError(f"the Google credentials{where} cannot be used ({type(error).__name__})", LOGIN)


def _base(http: Any, login: Login) -> tuple[Any, str]:
    """What stands before any impersonation, with the project that calls are counted for."""
    import google.auth

    untyped: Any = google.auth
    options = {"scopes": list(SCOPES), "request": http, "quota_project_id": login.quota_project or None}
    if login.file is None or login.explicit:
        found: tuple[Any, str] = untyped.default(**options)
        return found
    # google.auth finds what gcloud auth application-default login left too, but starts gcloud for a project, which takes a second.
    with warnings.catch_warnings():
        # It warns of files from strangers; this one is the user's own.
        warnings.simplefilter("ignore", DeprecationWarning)
        loaded: tuple[Any, str] = untyped.load_credentials_from_file(str(login.file.path), **options)
        return loaded


def _impersonated(source: Any, login: Login, count: int) -> Any:
    """The ``count``-th account of the chain, reached by those before it."""
    from google.auth import impersonated_credentials

    untyped: Any = impersonated_credentials
    quota = login.quota_project or getattr(source, "quota_project_id", None)
    hops, target = list(login.chain[: count - 1]), login.chain[count - 1]
    return untyped.Credentials(source, target_principal=target, target_scopes=list(SCOPES), delegates=hops or None, quota_project_id=quota)


def _reason(error: Exception) -> str:
    """The first sentence of google.auth's own words, which name files and variables, no contents; what it rests on may be in a tuple."""
    first = error.args[0] if error.args else error
    return plain(str(first).partition(". ")[0])


def _credential(source: Any) -> Credential:
    return Credential(token=source.token, expires=_utc(source.expiry) if source.expiry else None)


def _utc(moment: datetime) -> datetime:
    """google.auth's times are UTC without saying so."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
