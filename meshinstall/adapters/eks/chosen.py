"""What chooses the caller's identity in AWS: options, variables and profiles, in the order in which the SDK looks at them."""

import os
from collections.abc import Iterable, Mapping
from enum import StrEnum

from meshinstall.errors import UsageError
from meshinstall.model.cluster_ref import Chosen


class Login(StrEnum):
    """Where credentials come from when no profile has them; the value is that of the option --login."""

    ENVIRONMENT = "environment"
    WEB_IDENTITY = "web-identity"
    CONTAINER = "container"
    INSTANCE = "instance"


Profiles = Mapping[str, Mapping[str, object]]

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 - the name of a variable
# As botocore reads them: the first that is set counts.
_PROFILES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")
_FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_LOGIN_CACHE_DIRECTORY")
_DEFAULT_FILES = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}
_SETTINGS = (
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_V1_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
)
_ENDPOINT = "AWS_ENDPOINT_URL"
_WEB_IDENTITY = "AWS_WEB_IDENTITY_TOKEN_FILE"
_CONTAINER = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
# The variables that each kind of login reads besides; those that end in _FILE are paths.
_OF: Mapping[Login, tuple[str, ...]] = {
    Login.ENVIRONMENT: (),
    Login.WEB_IDENTITY: (_WEB_IDENTITY, "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"),
    Login.CONTAINER: (*_CONTAINER, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    Login.INSTANCE: (),
}
# What credential_source of a profile names (botocore: CanonicalNameCredentialSourcer, which compares without case).
_SOURCES: Mapping[str, Login] = {
    "environment": Login.ENVIRONMENT,
    "ecscontainer": Login.CONTAINER,
    "ec2instancemetadata": Login.INSTANCE,
}
# A profile with one of these has credentials, or says where they are.
_CREDENTIALS = (
    "aws_access_key_id",
    "role_arn",
    "sso_session",
    "sso_start_url",
    "credential_process",
    "web_identity_token_file",
    "login_session",
)


def choose(selectors: Mapping[str, str], environ: Mapping[str, str], profiles: Profiles) -> Chosen:
    """What identifies the caller, for ``profiles`` as the SDK reads them from its files; raises UsageError for an unknown --login.

    In its selectors a login comes with the profile that configures it, if any: AWS_PROFILE of another shell changes neither.
    """
    profile, login, by = _find(selectors, environ, profiles)
    # What a role is assumed with may come from variables too: another shell needs them as much as for a login of their own.
    begins = login or source(chain(profile, profiles)[-1], profiles)
    secret = _secrets(begins, environ)
    chosen = {"profile": profile, "login": login or ""}
    role = selectors.get("role_arn") or str((profiles.get(profile) or {}).get("role_arn", "") if not login else "")
    variables = _variables(environ, (*_SETTINGS, *(_OF[begins] if begins else ()), *_endpoints(environ)))
    return Chosen(
        by=f"{by}, role {role}" if role and by else by,
        selectors={key: str(value) for key, value in chosen.items() if value},
        # A profile is one of these files, also where another shell names others.
        variables={**(_DEFAULT_FILES if profile else {}), **variables},
        secrets=(*secret, *(name for name in _endpoints(environ) if "@" in environ[name])),
    )


def chain(profile: str, profiles: Profiles) -> tuple[str, ...]:
    """A profile and those that its role is assumed from, the first to sign in last; a loop, which the SDK refuses, is cut."""
    names = [profile]
    while (after := str((profiles.get(names[-1]) or {}).get("source_profile", ""))) in profiles and after not in names:
        names.append(after)
    return tuple(names)


def source(profile: str, profiles: Profiles) -> Login | None:
    """Where a profile that assumes a role takes credentials from instead of another profile; None for all other profiles."""
    own = profiles.get(profile) or {}
    return _SOURCES.get(str(own.get("credential_source", "")).lower()) if "role_arn" in own else None


def _find(selectors: Mapping[str, str], environ: Mapping[str, str], profiles: Profiles) -> tuple[str, Login | None, str]:
    """Profile, login and what chose them, in words; a given profile comes before keys in variables, a profile in a variable after."""
    given = selectors.get("profile", "")
    if asked := selectors.get("login", ""):
        return given, _login(asked), f"--login {asked}"
    if given:
        return given, None, f"profile {given}"
    variable = next((name for name in _PROFILES if name in environ), "")
    named = environ.get(variable, "")
    profile = named or ("default" if "default" in profiles else "")
    login, by = _login_of(environ, profiles.get(profile) or {}, wanted=named not in profiles and bool(named))
    return profile, login, by or (f"{variable}={named}" if named else f"profile {profile}" if profile else "")


def _login_of(environ: Mapping[str, str], own: Mapping[str, object], *, wanted: bool) -> tuple[Login | None, str]:
    """Where credentials are found that are not those of the profile ``own``, and by what; ``wanted`` if the profile must be there."""
    if environ.get(_KEYS[0]):
        return Login.ENVIRONMENT, f"the keys in {_KEYS[0]}"
    # A profile's role comes before a web identity in variables, and that before everything else in the profile.
    if environ.get(_WEB_IDENTITY) and ("role_arn" not in own or "web_identity_token_file" in own):
        return Login.WEB_IDENTITY, _WEB_IDENTITY
    if wanted or any(key in own for key in _CREDENTIALS):
        return None, ""
    if uri := next((name for name in _CONTAINER if environ.get(name)), ""):
        return Login.CONTAINER, uri
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None, ""
    return Login.INSTANCE, "instance metadata"


def _login(asked: str) -> Login:
    try:
        return Login(asked)
    except ValueError as error:
        raise UsageError(f"{asked!r} is not a login of AWS", f"--login is one of {', '.join(Login)}") from error


def _secrets(login: Login | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    match login:
        case Login.ENVIRONMENT:
            return tuple(name for name in _KEYS if environ.get(name))
        case Login.CONTAINER:
            return tuple(name for name in (_TOKEN,) if environ.get(name))
        case _:
            return ()


def _endpoints(environ: Mapping[str, str]) -> list[str]:
    return sorted(name for name in environ if name == _ENDPOINT or name.startswith(f"{_ENDPOINT}_"))


def _variables(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Those that are set and hold no secret; a path is written so that it holds in any folder."""
    plain = {name: environ[name] for name in names if environ.get(name) and not (name.startswith(_ENDPOINT) and "@" in environ[name])}
    paths = [name for name in (*_FILES, *plain) if environ.get(name) and (name in _FILES or name.endswith("_FILE"))]
    return {**plain, **{name: os.path.abspath(os.path.expanduser(environ[name])) for name in paths}}  # noqa: PTH100, PTH111 - as the SDK
