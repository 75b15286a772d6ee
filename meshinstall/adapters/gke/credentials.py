"""The caller's Google identity: application default credentials, with or without impersonation of a service account."""

import os
import re
import threading
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from meshinstall.adapters.gke.http import Http
from meshinstall.errors import ClusterError, ForbiddenError, UnauthorizedError, UnreachableError
from meshinstall.model.cluster import Credential
from meshinstall.model.foreign_text import plain

# Both: without the second the API server knows a service account by its number, and RBAC for its e-mail does not hold
# (kubernetes/cloud-provider-gcp: default_credentials_token_provider.go).
SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email")
# gcloud's own variable, of its property auth/impersonate_service_account.
IMPERSONATE = "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT"
# A token with less time left than this is renewed first.
_WORTH = timedelta(minutes=5)
_LOGIN = "log in: gcloud auth application-default login; or set GOOGLE_APPLICATION_CREDENTIALS to a key or federation file"
# Of an answer without a token (RFC 6749 5.2, RFC 8693 2.2.2).
_CODES = ("invalid_grant", "invalid_client", "invalid_scope", "unauthorized_client", "invalid_request", "invalid_target")
# google.auth's words for a federated identity's token.
_MISSING = re.compile(r"File '([^']*)' was not found\.")
_FEDERATED = (
    "check that the token's issuer, audience and expiry match the pool's provider, and that the job meets its attribute condition: "
    "gcloud iam workload-identity-pools providers describe; a wrong clock also causes this (timedatectl)"
)


class Identity:
    """The caller's access tokens; safe for many threads."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._lock = threading.Lock()
        self._source: Any = None
        self._project = ""
        self._spent = False

    @property
    def project(self) -> str:
        """The project that the credentials or gcloud's configuration name; may be empty."""
        with self._lock:
            self._load()
            return self._project

    @property
    def quota_project(self) -> str | None:
        """The project that calls are billed to, where the credentials name one."""
        with self._lock:
            return getattr(self._load(), "quota_project_id", None)

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

    def _fresh(self) -> Credential:
        source = self._load()
        if source.token and source.expiry and _utc(source.expiry) - datetime.now(UTC) > _WORTH:
            return _credential(source)
        return self._refreshed()

    def _refreshed(self) -> Credential:
        from google.auth import exceptions

        source = self._load()
        try:
            source.refresh(self._http)
        except exceptions.GoogleAuthError as error:
            raise _refused(error) from error
        # Errors of google.auth on a hostile answer: missing keys, wrong types, invalid dates.
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ClusterError(f"Google's token service did not return a valid token ({type(error).__name__})", _BETWEEN) from error
        self._spent = False
        if not isinstance(source.token, str) or not source.token.isascii() or not source.token.isprintable():
            raise ClusterError("Google's token service did not return a valid token", _BETWEEN)
        return _credential(source)

    def _load(self) -> Any:
        if self._source is None:
            self._source, self._project = _default(self._http)
        return self._source


_BETWEEN = "check that no proxy or login page answers in Google's place"


def _default(http: Any) -> tuple[Any, str]:
    """Application default credentials with both scopes, and the project they name."""
    import google.auth
    from google.auth import exceptions

    try:
        source, project = _from_gcloud(http) or google.auth.default(scopes=list(SCOPES), request=http)
        if target := os.environ.get(IMPERSONATE):
            source = _impersonated(source, target)
    except exceptions.DefaultCredentialsError as error:
        raise UnauthorizedError(f"no Google credentials: {_reason(error)}", _LOGIN) from error
    except (exceptions.TransportError, exceptions.RefreshError, exceptions.OAuthError) as error:
        # A federated identity's project is asked for with a token.
        raise _refused(error) from error
    except (exceptions.GoogleAuthError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        # A broken file; what stands in it may be a secret.
        raise UnauthorizedError(f"the Google credentials cannot be used ({type(error).__name__})", _LOGIN) from error
    return source, project or os.environ.get("GOOGLE_CLOUD_PROJECT") or os.environ.get("CLOUDSDK_CORE_PROJECT", "")


def _from_gcloud(http: Any) -> Any:
    """What gcloud auth application-default login left; google.auth finds it too, but starts gcloud for a project, which takes a second."""
    import google.auth

    folder = os.environ.get("CLOUDSDK_CONFIG") or "~/.config/gcloud"
    file = Path(folder, "application_default_credentials.json").expanduser()
    if os.environ.get("GOOGLE_APPLICATION_CREDENTIALS") or not file.is_file():
        return None
    with warnings.catch_warnings():
        # It warns of files from strangers; this one is the user's own.
        warnings.simplefilter("ignore", DeprecationWarning)
        untyped: Any = google.auth
        return untyped.load_credentials_from_file(str(file), scopes=list(SCOPES), request=http)


def _impersonated(source: Any, target: str) -> Any:
    from google.auth import impersonated_credentials

    untyped: Any = impersonated_credentials
    return untyped.Credentials(source, target_principal=target, target_scopes=list(SCOPES))


def _refused(error: Exception) -> ClusterError:
    """The error for a refused token, explained by the error's code alone: descriptions may repeat what was sent."""
    from google.auth.exceptions import TransportError

    if isinstance(error, TransportError):
        hint = "check any proxy between this machine and Google (HTTPS_PROXY), and that SSL_CERT_FILE has its certificate authority"
        return UnreachableError(f"Google's token service does not answer: {plain(error)}", hint)
    said = f"{error.args!r}"
    if "getAccessToken" in said:
        who = plain(os.environ.get(IMPERSONATE, "")) or "that service account"
        return ForbiddenError(
            f"the caller may not impersonate {who}: iam.serviceAccounts.getAccessToken is missing",
            f"gcloud iam service-accounts add-iam-policy-binding {who} --role=roles/iam.serviceAccountTokenCreator --member=CALLER",
        )
    if missing := _MISSING.fullmatch(str(error)):
        hint = "check that the CI job writes it; its path is credential_source in the file of GOOGLE_APPLICATION_CREDENTIALS"
        return UnauthorizedError(f"the job's own token file is missing: {plain(missing[1])}", hint)
    if code := next((word for word in _CODES if word in said), ""):
        return _not_accepted(error, code)
    if getattr(error, "retryable", False):
        return UnreachableError("Google's token service did not answer in several tries", "wait a moment, then repeat the command")
    return ClusterError("Google gave no access token", _LOGIN)


def _not_accepted(error: Exception, code: str) -> UnauthorizedError:
    from google.auth.exceptions import OAuthError

    # The one that google.auth raises of a federated identity.
    if isinstance(error, OAuthError):
        return UnauthorizedError(f"Google does not accept the job's own token ({code})", _FEDERATED)
    if code == "invalid_grant":
        hint = f"{_LOGIN}; a service account's key is also refused when this machine's clock is wrong (timedatectl)"
        return UnauthorizedError("Google does not accept the credentials any more (invalid_grant)", hint)
    return UnauthorizedError(f"Google does not accept the credentials ({code})", _LOGIN)


def _reason(error: Exception) -> str:
    """The first sentence of google.auth's own words, which name files and variables, no contents."""
    return plain(str(error).partition(". ")[0])


def _credential(source: Any) -> Credential:
    return Credential(token=source.token, expires=_utc(source.expiry) if source.expiry else None)


def _utc(moment: datetime) -> datetime:
    """google.auth's times are UTC without saying so."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
