"""The key ``identity`` of meshinstall.yaml: identity providers by name, and what can be wrong with them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from meshinstall.config.source import Document
from meshinstall.errors import Problem
from meshinstall.model.foreign_text import plain
from meshinstall.model.identity import ENTRA_V2, IdentityKind, Tokens, keys_of, trap_of
from meshinstall.model.values import KeyPath

_MOST = 64
# The newer of the forms that Entra's tokens have.
_SECOND = 2
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_KUBERNETES = frozenset({IdentityKind.EKS, IdentityKind.GKE})
# A workload that gets such a token could use it where it was made for (Kubernetes, TokenRequest; AWS STS; OpenID Connect's userinfo).
_FOR_OTHERS = ("https://kubernetes.default.svc", "sts.amazonaws.com", "https://container.googleapis.com/", "https://sts.googleapis.com")


@dataclass(frozen=True, slots=True)
class WrittenProvider:
    """Who signs tokens. There is no field for a secret: to check a token takes public keys alone.

    ``tokens`` is what clients send, ``tokenVersion`` which of Entra's two forms, ``subject: false`` that tokens have no sub.
    """

    type: Literal["okta", "entra", "cognito", "eks", "gke", "google", "auth0", "generic"]
    issuer: str
    audiences: tuple[str, ...] = ()
    jwks_uri: str = ""
    tokens: Literal["", "access", "id"] = ""
    token_version: Literal[1, 2] | None = None
    subject: bool = True

    @property
    def kind(self) -> IdentityKind:
        """Whose tokens they are."""
        return IdentityKind(self.type)

    @property
    def sent(self) -> Tokens:
        """What clients send: of Google only ID tokens are JWTs."""
        return Tokens(self.tokens) if self.tokens else Tokens.ID if self.kind is IdentityKind.GOOGLE else Tokens.ACCESS

    @property
    def has_audiences(self) -> bool:
        """Whether the tokens have ``aud`` at all: Cognito's access tokens have ``client_id`` instead."""
        return not (self.kind is IdentityKind.COGNITO and self.sent is Tokens.ACCESS)


Providers = Mapping[str, WrittenProvider | None]


def check_identity(document: Document, providers: Providers, above: KeyPath) -> Iterator[Problem]:
    """What is wrong with the providers of one place, each with its line."""
    at = (*above, "identity")
    if len(providers) > _MOST:
        yield document.problem(at, f"identity has {len(providers)} providers, and may have {_MOST}")
    for name, written in list(providers.items())[:_MOST]:
        if not _NAME.fullmatch(name):
            hint = "use at most 63 lower-case letters, digits and hyphens"
            yield document.problem((*at, name), f"invalid name {name!r} of an identity provider", hint)
            continue
        for key, text, hint in _wrong(written) if written else ():
            yield document.problem((*at, name, key), f"identity.{name}.{key}: {text}", hint)


def _wrong(written: WrittenProvider) -> Iterator[tuple[str, str, str]]:
    """Key, mistake and what to do."""
    kind = written.kind
    if trap := trap_of(kind, written.issuer):
        yield "issuer", *trap
    else:
        yield from _wrong_keys(written)
    yield from _wrong_tokens(written)
    if kind is IdentityKind.ENTRA:
        yield from _wrong_version(written)
    elif written.token_version is not None:
        yield "tokenVersion", "only tokens of Entra have a version", "remove it"
    yield from _wrong_audiences(written)


def _wrong_keys(written: WrittenProvider) -> Iterator[tuple[str, str, str]]:
    known, uri = keys_of(written.kind, written.issuer), written.jwks_uri
    if uri.startswith("http://"):
        yield "jwksUri", "keys without TLS: whoever is on the way can make tokens of his own", "write https://"
    elif uri and not _is_address(uri):
        text = "must be an https:// address without a login; a key itself has no place here"
        yield "jwksUri", text, "write where the issuer publishes its public keys"
    elif uri.endswith("openid-configuration"):
        yield "jwksUri", "this is the discovery document, and not the keys", "write what it has as jwks_uri"
    elif uri and known and uri != known:
        yield "jwksUri", f"the keys of this issuer are at {known}", "remove jwksUri, or write type: generic"
    elif not uri and not known:
        yield "jwksUri", "is missing: a generic provider's keys may be anywhere", "write what its discovery document has as jwks_uri"


def _is_address(uri: str) -> bool:
    try:
        address = urlsplit(uri)
        return address.scheme == "https" and bool(address.hostname) and "@" not in address.netloc and uri.isprintable()
    except ValueError:
        return False


def _wrong_tokens(written: WrittenProvider) -> Iterator[tuple[str, str, str]]:
    kind, sent = written.kind, written.sent
    if kind is IdentityKind.GOOGLE and sent is Tokens.ACCESS:
        yield "tokens", "Google's access tokens are not JWTs: nobody but Google can check them", "let clients send ID tokens: tokens: id"
    elif kind is IdentityKind.OKTA and sent is Tokens.ACCESS and "/oauth2/" not in written.issuer:
        hint = "use an authorization server of your own, such as /oauth2/default, or write tokens: id"
        yield "issuer", "access tokens of Okta's org server are for Okta alone, which changes their keys and form at will", hint
    elif kind in _KUBERNETES and written.tokens:
        yield "tokens", "these are tokens of service accounts, neither access nor ID tokens", "remove it"
    if not written.subject and kind is not IdentityKind.GENERIC:
        yield "subject", f"tokens of {kind} have a sub", "remove it"


def _wrong_version(written: WrittenProvider) -> Iterator[tuple[str, str, str]]:
    version = written.token_version
    hint = "requestedAccessTokenVersion in the manifest of the application that the token is for; null there is 1"
    if version is None:
        yield "tokenVersion", "is missing: the application decides whether its tokens are of version 1 or 2", hint
    elif trap_of(written.kind, written.issuer) is None and bool(ENTRA_V2.fullmatch(written.issuer)) != (version == _SECOND):
        of = "https://login.microsoftonline.com/TENANT-ID/v2.0" if version == _SECOND else "https://sts.windows.net/TENANT-ID/"
        yield "issuer", f"tokens of version {version} have the issuer {of}", hint
    if version == _SECOND and any("://" in one for one in written.audiences):
        text = "the audience of a token of version 2 is the application's ID, never its URI"
        yield "audiences", text, "write the application (client) ID"


def _wrong_audiences(written: WrittenProvider) -> Iterator[tuple[str, str, str]]:
    if not written.has_audiences:
        if written.audiences:
            hint = 'leave them out and allow by when: {key: "request.auth.claims[client_id]"}, or write tokens: id'
            yield "audiences", "access tokens of Cognito have no aud: with audiences every token is refused", hint
        return
    if not written.audiences:
        text = "is missing: a token that was made for any other service would be accepted"
        yield "audiences", text, "list what aud is in tokens for this mesh"
    for one in written.audiences:
        if not one.strip():
            yield "audiences", "an audience is empty", "remove it"
        elif one.startswith(_FOR_OTHERS) or (written.kind is IdentityKind.AUTH0 and one.endswith("/userinfo")):
            text = f"{plain(one)} is whom another service's tokens are for: who gets one here can use it there"
            yield "audiences", text, "ask for tokens with an audience of your own"
