"""Who calls Google, and what chose it: options, variables and files in, one value out that everything else is made from; pure."""

import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass

from meshinstall.adapters.gke.login_files import CREDENTIALS, FOLDER, GCLOUDS, CredentialFile, LoginFiles
from meshinstall.errors import UsageError
from meshinstall.model.cluster_ref import Chosen
from meshinstall.model.foreign_text import plain

# gcloud's own variable, of its property auth/impersonate_service_account; several accounts with commas are a chain.
IMPERSONATE = "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT"
# The first that is set, as Google's libraries and gcloud read them.
QUOTA = ("GOOGLE_CLOUD_QUOTA_PROJECT", "CLOUDSDK_BILLING_QUOTA_PROJECT")
# Where Google's APIs are; another one is a partner's cloud (google.auth: universe domain).
UNIVERSE = "googleapis.com"
_UNIVERSES = ("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "CLOUDSDK_CORE_UNIVERSE_DOMAIN")
# An e-mail address, or the number that IAM gives to a service account; both become a part of a URL.
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*@[A-Za-z0-9.-]+|\d{10,30}")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_PROJECT = re.compile(r"[a-z0-9]([a-z0-9.:-]{0,98}[a-z0-9])?")
_OWNED = re.compile(r"[^@]+@([a-z0-9.:-]+)\.iam\.gserviceaccount\.com")
# gcloud's words for a quota project that a command chooses by itself.
_NO_PROJECT = frozenset({"CURRENT_PROJECT", "CURRENT_PROJECT_WITH_FALLBACK", "LEGACY"})
_KINDS: Mapping[str, str] = {
    "service_account": "a service account's key",
    "authorized_user": "a user's login",
    "external_account": "workload identity federation",
    "external_account_authorized_user": "workforce identity federation",
    "impersonated_service_account": "a login that impersonates",
}
# Variables that say where the metadata server is, and those of AWS that hold no secret.
_METADATA = ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT")
_AWS_PLAIN = frozenset({"AWS_REGION", "AWS_DEFAULT_REGION"})
# The authorities that calls to Google trust: OpenSSL's own, and what is added to them for Google's tools.
REPLACE = ("SSL_CERT_FILE", "SSL_CERT_DIR")
ADD = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE")
AUTHORITIES = (*REPLACE, *ADD)
_AWS_SECRET = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True, slots=True)
class Login:
    """Whose calls Google gets.

    ``explicit`` is a file that GOOGLE_APPLICATION_CREDENTIALS names; without a ``file`` the metadata server is asked. ``chain`` are the
    accounts that are impersonated on top, the last is the one that calls. ``email`` is the caller's where files and options say it,
    ``source`` that of who impersonates first. ``configured_project`` is gcloud's.
    """

    chosen: Chosen
    file: CredentialFile | None = None
    explicit: bool = False
    chain: tuple[str, ...] = ()
    quota_project: str = ""
    universe: str = UNIVERSE
    email: str = ""
    source: str = ""
    configured_project: str = ""

    @property
    def acts_as(self) -> tuple[str, ...]:
        """Every account that is impersonated, in the order in which each is asked for."""
        return (*(self.file.chain if self.file else ()), *self.chain)

    @property
    def own_project(self) -> str:
        """The project that a service account belongs to; empty for others."""
        match = _OWNED.fullmatch(self.email)
        return match[1] if match else ""


def choose(selectors: Mapping[str, str], environ: Mapping[str, str], files: LoginFiles) -> Login:
    """Who calls; an option wins over a variable, a variable over gcloud's configuration. Raises UsageError for what cannot be used."""
    file = files.credentials
    chain, chosen_by = _chain(selectors, environ, files)
    quota = _quota(selectors, environ) or (file.quota_project if file else "")
    if quota and not _PROJECT.fullmatch(quota):
        raise UsageError(f"{plain(quota)!r} is not a valid quota project", "give the ID of a project: --quota-project")
    universe = _universe(environ, files)
    # gcloud's own login is that, whoever names its file.
    explicit = bool(environ.get(CREDENTIALS)) and (file is None or file.path != files.folder / GCLOUDS)
    base = _base(file, explicit=explicit)
    by = f"{chosen_by}{_through(chain)}, from {base}" if chain else base
    kept = {"impersonate_service_account": ",".join(chain), "quota_project": quota}
    impersonated = (*(file.chain if file else ()), *chain)
    email = file.email if file else ""
    return Login(
        chosen=Chosen(
            by=f"{by}; quota project {quota}" if quota else by,
            selectors={key: value for key, value in kept.items() if value},
            variables=_variables(environ, files, chain),
            secrets=tuple(name for name in _AWS_SECRET if file and "AWS_" in file.needs and environ.get(name)),
        ),
        file=file,
        explicit=explicit,
        chain=chain,
        quota_project=quota,
        universe=universe,
        email=impersonated[-1] if impersonated else email,
        source=email,
        configured_project=files.properties.get("core/project", ""),
    )


def _chain(selectors: Mapping[str, str], environ: Mapping[str, str], files: LoginFiles) -> tuple[tuple[str, ...], str]:
    """The accounts to impersonate, and what names them. A variable that is set and empty wins over gcloud's configuration, as in gcloud."""
    if given := selectors.get("impersonate_service_account", ""):
        by = "--impersonate-service-account"
    elif IMPERSONATE in environ:
        given, by = environ[IMPERSONATE], IMPERSONATE
    else:
        given = files.properties.get("auth/impersonate_service_account", "")
        by = f"auth/impersonate_service_account of gcloud's configuration {files.configuration}"
    chain = tuple(account for each in given.split(",") if (account := each.strip()))
    for account in chain:
        if not _ACCOUNT.fullmatch(account):
            hint = f"{by}: one e-mail address, or a chain of them with commas, the last is the account to act as"
            raise UsageError(f"{plain(account)!r} is not the e-mail address of a service account", hint)
    return chain, by


def _through(chain: tuple[str, ...]) -> str:
    return f" through {', '.join(chain[:-1])}" if len(chain) > 1 else ""


def _quota(selectors: Mapping[str, str], environ: Mapping[str, str]) -> str:
    given = selectors.get("quota_project", "") or next((environ[name] for name in QUOTA if environ.get(name)), "")
    return "" if given in _NO_PROJECT else given


def _universe(environ: Mapping[str, str], files: LoginFiles) -> str:
    file = files.credentials
    told = next((environ[name] for name in _UNIVERSES if environ.get(name)), "") or files.properties.get("core/universe_domain", "")
    own = file.universe if file else ""
    if told and file and told != (own or UNIVERSE):
        hint = f"use credentials of {plain(told)}, or unset {' and '.join(_UNIVERSES)}"
        raise UsageError(f"the credentials are for {plain(own or UNIVERSE)}, and the universe domain is {plain(told)}", hint)
    found = own or told or UNIVERSE
    if not _DOMAIN.fullmatch(found):
        raise UsageError(f"{plain(found)!r} is not a valid universe domain", f"it is a host name, such as {UNIVERSE}")
    if found != UNIVERSE and file and file.kind == "authorized_user":
        hint = "log in by workforce identity federation (gcloud auth application-default login --login-config=FILE), or use a key"
        raise UsageError(f"a Google account's login works at {UNIVERSE} only, and the universe domain is {found}", hint)
    return found


def _base(file: CredentialFile | None, *, explicit: bool) -> str:
    if file is None:
        return "the metadata server"
    where = CREDENTIALS if explicit else "gcloud auth application-default login"
    kind = _KINDS.get(file.kind, "")
    return f"{where}, {kind}" if kind else where


def _variables(environ: Mapping[str, str], files: LoginFiles, chain: tuple[str, ...]) -> dict[str, str]:
    """What makes another shell choose the same; an empty one takes away what that shell may have."""
    file = files.credentials
    kept = {CREDENTIALS: str(file.path) if file and environ.get(CREDENTIALS) else ""}
    if (file and not environ.get(CREDENTIALS)) or environ.get(FOLDER):
        kept[FOLDER] = str(files.folder)
    if not chain:
        kept[IMPERSONATE] = ""
    names = [*_UNIVERSES, *(() if file else _METADATA)]
    names += [name for name in environ if file and name.startswith(file.needs or ("\0",)) and (name[:4] != "AWS_" or name in _AWS_PLAIN)]
    # Whom the plugin trusts; a path is written so that it holds in any folder.
    trusted = {name: os.path.abspath(environ[name]) for name in AUTHORITIES if environ.get(name)}  # noqa: PTH100 - no file is touched
    return {**kept, **trusted, **{name: environ[name] for name in names if environ.get(name)}}
