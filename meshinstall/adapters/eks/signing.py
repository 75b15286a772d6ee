"""Credentials as the SDK finds them: from the one source that was chosen, with MFA asked for once, and roles that are assumed."""

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from meshinstall.adapters.eks.chosen import Login, chain
from meshinstall.errors import UnauthorizedError
from meshinstall.model.foreign_text import plain

if TYPE_CHECKING:
    from botocore.credentials import CredentialResolver
    from botocore.session import Session

# The providers of botocore that each login stands for, by their METHOD.
_METHODS: Mapping[Login, frozenset[str]] = {
    Login.ENVIRONMENT: frozenset({"env"}),
    Login.WEB_IDENTITY: frozenset({"assume-role-with-web-identity"}),
    Login.CONTAINER: frozenset({"container-role"}),
    Login.INSTANCE: frozenset({"ec2-credentials-file", "boto-config", "iam-role"}),
}
# Where the AWS CLI keeps sessions of roles.
_CLI_CACHE = "~/.aws/cli/cache"


def use_login(session: "Session", login: Login | None, say: Callable[[str], None]) -> None:
    """Let a session have credentials from nowhere but ``login``; None leaves the SDK's order, with MFA as the AWS CLI has it."""
    from botocore.credentials import CredentialResolver, create_credential_resolver

    if login is None:
        if _needs_mfa(session):
            session.register_component("credential_provider", _with_mfa(session, say))
        return
    # A profile here is configuration alone: given to the SDK as a choice, it would hide the variables.
    profile = session.get_config_variable("profile")
    session.set_config_variable("profile", None)
    found = create_credential_resolver(session)
    session.set_config_variable("profile", profile)
    session.register_component("credential_provider", CredentialResolver([one for one in found.providers if one.METHOD in _METHODS[login]]))


def use_role(session: "Session", source: Any, create_client: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Let a session have the credentials of a role that ``source`` assumes, renewed before they expire; the arguments are AssumeRole's."""
    from botocore.credentials import AssumeRoleCredentialFetcher, CredentialResolver, DeferredRefreshableCredentials

    role, more = arguments["RoleArn"], {key: value for key, value in arguments.items() if key != "RoleArn"}
    fetcher = AssumeRoleCredentialFetcher(create_client, source, role, extra_args=more)
    # AWS is asked when they are used.
    provider = _Given(DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role"))
    session.register_component("credential_provider", CredentialResolver([provider]))


class _Given:
    """A provider of botocore's that has credentials already."""

    METHOD = CANONICAL_NAME = "assume-role"

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials

    def load(self) -> Any:
        """The credentials."""
        return self._credentials


def _needs_mfa(session: "Session") -> bool:
    """Whether the profile, or one that it assumes its role from, names an MFA device."""
    profiles = session.full_config["profiles"]
    return any("mfa_serial" in (profiles.get(name) or {}) for name in chain(session.profile or "default", profiles))


def _with_mfa(session: "Session", say: Callable[[str], None]) -> "CredentialResolver":
    """The SDK's providers, of which the one for roles asks for MFA codes on the terminal alone and shares sessions with the AWS CLI."""
    from botocore import credentials as sdk

    found = sdk.create_credential_resolver(session)
    cache, sources = _cache(say), {one.METHOD: one for one in found.providers}
    ours = sdk.AssumeRoleProvider(
        load_config=lambda: session.full_config,
        client_creator=session.create_client,
        cache=cache,
        profile_name=session.profile or "default",
        prompter=lambda prompt: _ask(prompt, session.profile or ""),
        credential_sourcer=sdk.CanonicalNameCredentialSourcer([sdk.EnvProvider(), sources["container-role"], sources["iam-role"]]),
        profile_provider_builder=sdk.ProfileProviderBuilder(session),
    )
    return sdk.CredentialResolver([ours if one.METHOD == ours.METHOD else one for one in found.providers])


def _cache(say: Callable[[str], None]) -> Any:
    """The AWS CLI's: one MFA code is good for many starts of a credential plugin, and for the CLI too."""
    from botocore.credentials import JSONFileCache

    class Cache(JSONFileCache):  # type: ignore[misc] # botocore ships no types
        def __contains__(self, key: str) -> bool:
            # What another program left half written is no session.
            try:
                return bool(self[key]["Credentials"]["Expiration"])
            except (KeyError, TypeError):
                return False

        def __setitem__(self, key: str, value: Any) -> None:
            try:
                super().__setitem__(key, value)
            except OSError as error:
                say(f"the session cannot be kept in {_CLI_CACHE}, so the next command asks for an MFA code again: {plain(error)}")

    return Cache(os.path.expanduser(_CLI_CACHE))  # noqa: PTH111 - botocore wants a string


def _ask(prompt: str, profile: str) -> str:
    """A code from the person at the terminal; raises UnauthorizedError where nobody is."""
    from meshinstall.adapters.eks.advice import named

    device = plain(prompt.removeprefix("Enter MFA code for ").rstrip(": "))
    if not _has_terminal():
        raise UnauthorizedError(
            f"the profile needs an MFA code of {device}, and there is no terminal to ask for it",
            f"sign in once at a terminal: aws sts get-caller-identity{named(profile)}; its session in {_CLI_CACHE} is used here",
        )
    from getpass import getpass

    try:
        code = getpass(prompt)
    except EOFError:
        code = ""
    if not code:
        raise UnauthorizedError(f"no MFA code of {device} was given", "run the command again and type the code that the device shows")
    return code


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return sys.stdin is not None and sys.stdin.isatty()
    return True
