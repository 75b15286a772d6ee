"""Reads what gcloud's configuration and the file of the credentials say of a login; of what is secret in them nothing is kept."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshinstall.errors import UsageError
from meshinstall.model import json_text

CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
FOLDER = "CLOUDSDK_CONFIG"
# What gcloud auth application-default login writes, in gcloud's folder.
GCLOUDS = "application_default_credentials.json"
# Bytes of a file of either kind; real ones have 3 KiB.
_MOST = 1024**2
# Names that gcloud gives to configurations (gcloud topic configurations).
_NAME = re.compile(r"[a-z][-a-z0-9]*")
# The last account of a generateAccessToken URL.
_TARGET = re.compile(r".*/serviceAccounts/([^/:]+):generateAccessToken")
_AWS = "urn:ietf:params:aws:token-type:aws4_request"


@dataclass(frozen=True, slots=True)
class CredentialFile:
    """What a file of credentials says of its owner: empty where it does not say it, or cannot be read.

    ``kind`` is its ``type``; ``chain`` are the accounts that it impersonates, the last is the one that calls; ``needs`` are
    the beginnings of variables that it reads besides.
    """

    path: Path
    kind: str = ""
    email: str = ""
    project: str = ""
    quota_project: str = ""
    universe: str = ""
    audience: str = ""
    chain: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoginFiles:
    """gcloud's folder, its active configuration (``properties`` by section/name), and the file of the credentials, if any."""

    folder: Path
    configuration: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    credentials: CredentialFile | None = None


def read_files(environ: Mapping[str, str]) -> LoginFiles:
    """Read them; raises UsageError for a configuration of gcloud that cannot be read: it may say who calls."""
    folder = Path(environ.get(FOLDER) or "~/.config/gcloud").expanduser().absolute()
    named = environ.get(CREDENTIALS, "")
    file = Path(named).absolute() if named else folder / GCLOUDS
    configuration = _configuration(folder, environ)
    return LoginFiles(folder, configuration, _properties(folder, configuration), _described(file) if named or file.is_file() else None)


def _configuration(folder: Path, environ: Mapping[str, str]) -> str:
    """The name of gcloud's active configuration."""
    named = environ.get("CLOUDSDK_ACTIVE_CONFIG_NAME") or _text(folder / "active_config").strip() or "default"
    return named if _NAME.fullmatch(named) else ""


def _properties(folder: Path, configuration: str) -> dict[str, str]:
    file = folder / "configurations" / f"config_{configuration}"
    text = _text(file)
    if not text:
        return {}
    # Credential plugins of machines without gcloud need none of it.
    from configparser import Error, RawConfigParser

    parser = RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except Error as error:
        raise _unreadable(file) from error
    return {f"{section}/{key}": value for section in parser.sections() for key, value in parser[section].items()}


def _text(file: Path) -> str:
    """The beginning of a file; empty when there is none."""
    try:
        with file.open("rb") as opened:
            return opened.read(_MOST).decode()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        raise _unreadable(file) from error


def _unreadable(file: Path) -> UsageError:
    hint = f"repair it (gcloud config list), or name another folder: {FOLDER}"
    return UsageError(f"gcloud's configuration cannot be read: {file}", hint)


def _described(file: Path) -> CredentialFile:
    """The facts of a file; Google's library says better what is wrong with a broken one."""
    try:
        with file.open("rb") as opened:
            found = json_text.load(opened.read(_MOST))
    except (OSError, ValueError):
        return CredentialFile(file)
    if not isinstance(found, dict):
        return CredentialFile(file)
    source = found.get("source_credentials")
    delegates = found.get("delegates")
    hops = [str(each).rpartition("/")[2] for each in delegates] if isinstance(delegates, list) else []
    target = _TARGET.fullmatch(_word(found, "service_account_impersonation_url"))
    return CredentialFile(
        path=file,
        kind=_word(found, "type"),
        email=_word(found, "client_email") or _word(found, "account") or _word(source if isinstance(source, dict) else {}, "client_email"),
        project=_word(found, "project_id"),
        quota_project=_word(found, "quota_project_id"),
        universe=_word(found, "universe_domain"),
        audience=_word(found, "audience"),
        chain=(*hops, target[1]) if target else (),
        needs=_needs(found),
    )


def _needs(found: Mapping[str, Any]) -> tuple[str, ...]:
    """What else a federated identity is read from (google.auth: aws, pluggable, identity_pool with certificates)."""
    source = found.get("credential_source")
    if found.get("subject_token_type") == _AWS:
        return ("AWS_",)
    if isinstance(source, Mapping) and "executable" in source:
        return ("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES",)
    if isinstance(source, Mapping) and "certificate" in source:
        return ("GOOGLE_API_CERTIFICATE_CONFIG", "GOOGLE_API_USE_CLIENT_CERTIFICATE")
    return ()


def _word(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""
