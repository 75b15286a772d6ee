"""What to do when a login gives no credentials, by what the login is: a command with the profile's name wherever there is one."""

from collections.abc import Mapping

from meshinstall.adapters.eks.chosen import Login, Profiles, chain, source
from meshinstall.model.cluster_ref import Chosen
from meshinstall.model.foreign_text import plain

_CHECK = "to check it: aws sts get-caller-identity"
_OTHER = "choose a profile (--aws-profile NAME), or log in: aws configure sso"
_OF: Mapping[Login, str] = {
    Login.ENVIRONMENT: (
        "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary keys, AWS_SESSION_TOKEN, or unset them all and choose a profile: "
        "--aws-profile NAME"
    ),
    Login.WEB_IDENTITY: (
        "check AWS_ROLE_ARN, and issuer, audience and expiry of the token in AWS_WEB_IDENTITY_TOKEN_FILE, which kubelet writes for an "
        "annotated service account"
    ),
    Login.CONTAINER: (
        "check the association of the pod (aws eks list-pod-identity-associations --cluster-name NAME), and the token in "
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, which kubelet renews"
    ),
    Login.INSTANCE: f"this machine has no role to give (an instance profile of EC2): {_OTHER}",
}

_SSO = ("sso_session", "sso_start_url", "sso_account_id", "sso_role_name")
# By a key of the profile, the first that is there.
_BY_KEY = (
    ("sso_session", "log in again: aws sso login{named}"),
    ("sso_start_url", "log in again: aws sso login{named}"),
    ("login_session", "log in again: aws login{named}"),
    (
        "credential_process",
        "run the credential_process of profile {name} by itself: it must print JSON with Version 1, AccessKeyId, SecretAccessKey",
    ),
    ("web_identity_token_file", "check role_arn, and the file in web_identity_token_file, of profile {name}"),
    ("role_arn", "profile {name} needs source_profile or credential_source for its role: aws configure set source_profile NAME{named}"),
    ("aws_access_key_id", "renew the keys of profile {name}: aws configure{named}"),
    ("", "profile {name} has no credentials: aws configure sso{named}, or choose another: --aws-profile NAME"),
)


def advice(chosen: Chosen, profiles: Profiles) -> str:
    """How to have credentials again, for what was chosen."""
    login, profile = chosen.selectors.get("login", ""), chosen.selectors.get("profile", "")
    if login:
        return f"{_OF[Login(login)]}; {_CHECK}"
    if not profile:
        return f"set keys in variables, {_OTHER}; {_CHECK}"
    return f"{_of_profile(chain(profile, profiles)[-1], profiles)}; {_CHECK}{named(profile)}"


def named(profile: str) -> str:
    """The option of the AWS CLI that names a profile; empty without one, and for a name that a shell would read as more than a word."""
    return f" --profile {profile}" if profile and plain(profile) == profile and not set(profile) & set(" ;&|<>$`'\"\\()") else ""


def _of_profile(name: str, profiles: Profiles) -> str:
    """The same for the profile that a chain of roles begins with: what is in it says which kind of login it is."""
    own = profiles.get(name) or {}
    if any(key in own for key in _SSO[:2]) and (missing := [key for key in _SSO[2:] if key not in own]):
        return f"profile {plain(name)} lacks {' and '.join(missing)}: aws configure sso{named(name)}"
    if found := source(name, profiles):
        return f"profile {plain(name)} has credential_source = {plain(own['credential_source'])}: {_OF[found]}"
    return next(text for key, text in _BY_KEY if key in own or not key).format(name=plain(name), named=named(name))
