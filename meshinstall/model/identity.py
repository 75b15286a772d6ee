"""Identity providers: who signs tokens, where the public keys are, and the form that each kind's issuer has.

Sources: Okta, Authorization servers; Microsoft identity platform, Access token claims reference; Amazon Cognito, Verifying JSON web
tokens; Amazon EKS, IAM roles for service accounts; GKE, service account issuers; Google, OpenID Connect; Auth0, Validate access tokens.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

from meshinstall.model.values import Origin


class IdentityKind(StrEnum):
    """Whose tokens they are."""

    OKTA = "okta"
    ENTRA = "entra"
    COGNITO = "cognito"
    EKS = "eks"
    GKE = "gke"
    GOOGLE = "google"
    AUTH0 = "auth0"
    GENERIC = "generic"


class Tokens(StrEnum):
    """What a client sends: an access token, an ID token, or the token of a Kubernetes service account."""

    ACCESS = "access"
    ID = "id"


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """Who signs tokens; ``issuer`` is ``iss`` letter by letter, ``keys`` the address of the public keys.

    Without ``audiences`` the tokens have none. ``has_subject`` is whether they have ``sub``.
    """

    name: str
    kind: IdentityKind
    issuer: str
    keys: str
    audiences: tuple[str, ...]
    tokens: Tokens
    has_subject: bool
    origin: Origin


class Trap(NamedTuple):
    """What is wrong with an issuer, and what to write."""

    text: str
    hint: str


_GUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_LOGIN = r"https://login\.(?:microsoftonline\.com|microsoftonline\.us|partner\.microsoftonline\.cn)"
ENTRA_V1 = re.compile(rf"https://sts\.(?:windows\.net|chinacloudapi\.cn)/(?P<tenant>{_GUID})/")
ENTRA_V2 = re.compile(rf"(?P<host>{_LOGIN})/(?P<tenant>{_GUID})/v2\.0")
_OKTA = re.compile(r"https://[^/]+(?P<server>/oauth2/[^/]+)?")
_COGNITO = re.compile(
    r"https://cognito-idp\.(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com(?:\.cn)?/(?P<pool>[a-z]{2}(?:-[a-z]+)+-\d)_[0-9A-Za-z]+"
)
_EKS = re.compile(
    r"https://(?:oidc\.eks\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?|oidc-eks\.[a-z0-9-]+\.api\.(?:aws|amazonwebservices\.com\.cn))/id/[0-9A-F]{32}"
)
_GKE = re.compile(r"https://container\.googleapis\.com/v1/projects/[^/]+/locations/[^/]+/clusters/[^/]+")
_AUTH0 = re.compile(r"https://[^/]+/")
_GOOGLE = re.compile(r"https://accounts\.google\.com")
_DISCOVERY = "/.well-known/openid-configuration"
# Hosts by which an issuer is known; of Auth0 and Okta many have a host of their own.
_HOSTS: tuple[tuple[re.Pattern[str], IdentityKind], ...] = (
    (re.compile(r"login\.(?:partner\.)?microsoftonline\.(?:com|us|cn)|sts\.(?:windows\.net|chinacloudapi\.cn)"), IdentityKind.ENTRA),
    (re.compile(r"[^.]+\.(?:okta|oktapreview|okta-emea)\.com"), IdentityKind.OKTA),
    (re.compile(r"cognito-idp\..+\.amazonaws\.com(?:\.cn)?|.+\.amazoncognito\.com"), IdentityKind.COGNITO),
    (re.compile(r"oidc\.eks\..+\.amazonaws\.com(?:\.cn)?|oidc-eks\..+\.api\.(?:aws|amazonwebservices\.com\.cn)"), IdentityKind.EKS),
    (re.compile(r"container\.googleapis\.com"), IdentityKind.GKE),
    (re.compile(r"accounts\.google\.com"), IdentityKind.GOOGLE),
    (re.compile(r".+\.auth0\.com"), IdentityKind.AUTH0),
)


def kind_of(issuer: str) -> IdentityKind:
    """The kind whose host an issuer has; generic where none is known by it."""
    host = _host(issuer)
    return next((kind for form, kind in _HOSTS if form.fullmatch(host)), IdentityKind.GENERIC)


def discovery_of(issuer: str) -> str:
    """The address of the provider's own document (OpenID Connect Discovery 1.0, section 4)."""
    return issuer.removesuffix("/") + _DISCOVERY


def keys_of(kind: IdentityKind, issuer: str) -> str:
    """Where a kind keeps the keys of an issuer of the right form; empty where only its own document says it."""
    if kind is IdentityKind.ENTRA and (second := ENTRA_V2.fullmatch(issuer)):
        return f"{second['host']}/{second['tenant']}/discovery/v2.0/keys"
    if kind is IdentityKind.ENTRA and ENTRA_V1.fullmatch(issuer):
        host = "https://login.partner.microsoftonline.cn" if "chinacloudapi" in issuer else "https://login.microsoftonline.com"
        return f"{host}/common/discovery/keys"
    found = _OKTA.fullmatch(issuer) if kind is IdentityKind.OKTA else None
    if found:
        return f"{issuer}/v1/keys" if found["server"] else f"{issuer}/oauth2/v1/keys"
    return _KEYS[kind].format(issuer=issuer) if kind in _KEYS else ""


_KEYS: Mapping[IdentityKind, str] = {
    IdentityKind.COGNITO: "{issuer}/.well-known/jwks.json",
    IdentityKind.EKS: "{issuer}/keys",
    IdentityKind.GKE: "{issuer}/jwks",
    IdentityKind.GOOGLE: "https://www.googleapis.com/oauth2/v3/certs",
    IdentityKind.AUTH0: "{issuer}.well-known/jwks.json",
}


def trap_of(kind: IdentityKind, issuer: str) -> Trap | None:
    """Why no token of this kind has such an issuer; None where its form is right."""
    if issuer.endswith(_DISCOVERY):
        return Trap("this is the address of the discovery document", "write what the document has as issuer")
    if general := _general(issuer):
        return general
    if kind in _FORMS:
        form, trap = _FORMS[kind]
        return None if form.fullmatch(issuer) else trap
    several = {IdentityKind.OKTA: _okta, IdentityKind.ENTRA: _entra, IdentityKind.COGNITO: _cognito}.get(kind)
    return several(issuer) if several else None


def _general(issuer: str) -> Trap | None:
    try:
        address = urlsplit(issuer)
        host = address.hostname
    except ValueError:
        return Trap("this is not an address", "write iss as a token has it")
    if address.scheme == "http":
        return Trap("an issuer of OpenID Connect has https, and its keys come from there", "write iss as a token has it")
    if address.scheme != "https" or not host:
        return Trap("this is not an https:// address", "write iss as a token has it")
    if any(char in issuer for char in "?# ") or "@" in address.netloc or not issuer.isprintable():
        return Trap("an issuer has no query, fragment, login or space", "write iss as a token has it")
    return None


def _host(issuer: str) -> str:
    try:
        return (urlsplit(issuer).hostname or "").lower()
    except ValueError:
        return ""


def _okta(issuer: str) -> Trap | None:
    if _host(issuer).split(".")[0].endswith("-admin"):
        return Trap("this is the address of Okta's administrators, which no token names", "write the address without -admin")
    if not _OKTA.fullmatch(issuer):
        return Trap(
            "Okta's issuers are https://ORG or https://ORG/oauth2/SERVER, without a slash at the end",
            "such as https://example.okta.com/oauth2/default",
        )
    return None


def _entra(issuer: str) -> Trap | None:
    if ENTRA_V1.fullmatch(issuer) or ENTRA_V2.fullmatch(issuer):
        return None
    tenant = next(iter(urlsplit(issuer).path.strip("/").split("/")), "")
    hint = "version 2: https://login.microsoftonline.com/TENANT-ID/v2.0; version 1: https://sts.windows.net/TENANT-ID/"
    if not re.fullmatch(_GUID, tenant):
        return Trap("a token names its tenant by ID, never common, organizations or a domain", hint)
    if _host(issuer).startswith("sts."):
        return Trap("the issuer of Entra's tokens of version 1 ends with a slash", hint)
    if "v2.0" in issuer:
        return Trap("the issuer of Entra's tokens of version 2 ends with v2.0, without a slash", hint)
    return Trap("this is where Entra signs people in, and no token has it as issuer", hint)


def _cognito(issuer: str) -> Trap | None:
    found = _COGNITO.fullmatch(issuer)
    hint = "https://cognito-idp.REGION.amazonaws.com/POOL-ID, such as https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123"
    if found and found["region"] == found["pool"]:
        return None
    if found:
        return Trap(f"the pool is one of {found['pool']}, and the address one of {found['region']}", hint)
    if ".amazoncognito.com" in issuer:
        return Trap("this is the page where people sign in, and no token has it as issuer", hint)
    return Trap("Cognito's issuers have the region and the pool's ID, and no slash at the end", hint)


# Kinds whose issuers have one form.
_FORMS: Mapping[IdentityKind, tuple[re.Pattern[str], Trap]] = {
    IdentityKind.EKS: (
        _EKS,
        Trap(
            "the issuer of an EKS cluster is https://oidc.eks.REGION.amazonaws.com/id/ID, without a slash at the end",
            "aws eks describe-cluster --name NAME --query cluster.identity.oidc.issuer",
        ),
    ),
    IdentityKind.GKE: (
        _GKE,
        Trap(
            "the issuer of a GKE cluster is https://container.googleapis.com/v1/projects/PROJECT/locations/LOCATION/clusters/NAME",
            "locations is also for a zone; there is no slash at the end",
        ),
    ),
    IdentityKind.GOOGLE: (
        _GOOGLE,
        Trap(
            "Google's issuer is https://accounts.google.com, without a slash at the end",
            "clients send ID tokens: access tokens are not JWTs",
        ),
    ),
    IdentityKind.AUTH0: (
        _AUTH0,
        Trap(
            "the issuer of Auth0 is the tenant's address with a slash at the end, and nothing after it",
            "such as https://example.eu.auth0.com/",
        ),
    ),
}


def same_but(one: str, other: str) -> bool:
    """Whether two issuers are meant to be one: they differ by a slash, by letters' case, or by what comes after the tenant."""
    return _bare(one) == _bare(other)


def _bare(issuer: str) -> str:
    for form in (ENTRA_V1, ENTRA_V2):
        if found := form.fullmatch(issuer.rstrip("/") + ("/" if form is ENTRA_V1 else "")):
            return found["tenant"].lower()
    text = issuer.rstrip("/").lower()
    return text if kind_of(issuer) is not IdentityKind.OKTA else _host(issuer)
