"""Who may ask AWS: identities with their keys, and signatures recomputed the way AWS does (Signature Version 4)."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlsplit

ACCOUNT = "123456789012"
# Minutes that AWS lets a signature's time be off.
_SKEW = timedelta(minutes=5)
_PRESIGNED_LIFE = timedelta(minutes=15)


@dataclass(slots=True)
class Identity:
    """One set of keys; ``denied`` are IAM actions that it may not use, ``ended`` when its session is over or revoked."""

    arn: str
    user_id: str
    access_key: str = field(default_factory=lambda: "AKIA" + secrets.token_hex(8).upper())
    secret: str = field(default_factory=lambda: secrets.token_hex(20))
    token: str = ""
    denied: frozenset[str] = frozenset()
    ended: bool = False


@dataclass(frozen=True, slots=True)
class RefusedError(Exception):
    """What AWS says to a request that it does not take."""

    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Signed:
    """A request as it arrived; ``path`` still quoted, header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""


class Keys:
    """Every identity, by access key."""

    def __init__(self) -> None:
        self._known: dict[str, Identity] = {}

    def add(self, identity: Identity) -> Identity:
        """Let an identity in."""
        self._known[identity.access_key] = identity
        return identity

    def session(self, role: str, name: str) -> Identity:
        """A new session of a role, given by its ARN."""
        short = role.rpartition("/")[2]
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{short}/{name}"
        return self.add(Identity(arn, f"AROATESTBED:{name}", token=f"session-{secrets.token_hex(8)}"))

    def end(self, role: str) -> None:
        """Revoke every session of a role."""
        for identity in self._known.values():
            identity.ended |= f":assumed-role/{role.rpartition('/')[2]}/" in identity.arn

    def secrets(self) -> list[str]:
        """Everything that nobody but its owner may see."""
        return [secret for identity in self._known.values() for secret in (identity.secret, identity.token) if secret]

    def of_header(self, request: Signed) -> Identity:
        """Who signed a request in its Authorization header; raises RefusedError."""
        algorithm, _, rest = request.headers.get("authorization", "").partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        if algorithm != "AWS4-HMAC-SHA256" or set(parts) != {"Credential", "SignedHeaders", "Signature"}:
            raise RefusedError(403, "MissingAuthenticationToken", "Missing Authentication Token")
        return self._check(
            request,
            parts["Credential"],
            parts["SignedHeaders"],
            parts["Signature"],
            when=request.headers.get("x-amz-date", ""),
            token=request.headers.get("x-amz-security-token", ""),
            life=_SKEW,
        )

    def of_query(self, request: Signed) -> Identity:
        """Who presigned a request; raises RefusedError."""
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        try:
            credential, signed, given = query["X-Amz-Credential"], query["X-Amz-SignedHeaders"], query["X-Amz-Signature"]
            when = query["X-Amz-Date"]
        except KeyError as error:
            raise RefusedError(403, "MissingAuthenticationToken", "Missing Authentication Token") from error
        bare = "&".join(part for part in request.query.split("&") if not part.startswith("X-Amz-Signature="))
        plain = Signed(request.method, request.path, bare, request.headers)
        return self._check(plain, credential, signed, given, when=when, token=query.get("X-Amz-Security-Token", ""), life=_PRESIGNED_LIFE)

    def _check(  # noqa: PLR0913 - the parts of a signature
        self, request: Signed, credential: str, signed: str, given: str, *, when: str, token: str, life: timedelta
    ) -> Identity:
        access_key, *scope = credential.split("/")
        identity = self._known.get(access_key)
        if identity is None or not hmac.compare_digest(identity.token, token):
            raise RefusedError(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
        if identity.ended:
            raise RefusedError(403, "ExpiredToken", "The security token included in the request is expired")
        wanted = signature(identity.secret, scope, when, signed.split(";"), request)
        if not hmac.compare_digest(wanted, given):
            raise RefusedError(
                403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."
            )
        age = datetime.now(UTC) - datetime.strptime(when, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if age > life:
            raise RefusedError(403, "InvalidSignatureException", f"Signature expired: {when} is now earlier than the time allowed")
        if age < -_SKEW:
            raise RefusedError(403, "InvalidSignatureException", f"Signature not yet current: {when} is still later than the time allowed")
        return identity


def signature(secret: str, scope: Iterable[str], when: str, signed: Iterable[str], request: Signed) -> str:
    """The signature of ``request`` (docs.aws.amazon.com: Create a signed AWS API request)."""
    names = list(signed)
    pairs = sorted(part.partition("=")[::2] for part in request.query.split("&") if part)
    presigned = "X-Amz-Algorithm=" in request.query
    canonical = "\n".join(
        (
            request.method,
            quote(request.path, safe="/-_.~"),
            "&".join(f"{key}={value}" for key, value in pairs),
            *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(b"" if presigned else request.body).hexdigest(),
        )
    )
    parts = list(scope)
    to_sign = "\n".join(("AWS4-HMAC-SHA256", when, "/".join(parts), hashlib.sha256(canonical.encode()).hexdigest()))
    key = b"AWS4" + secret.encode()
    for part in (*parts, to_sign):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


def path_and_query(target: str) -> tuple[str, str]:
    """The two parts of a request's target, as sent."""
    parts = urlsplit(target)
    return parts.path or "/", parts.query
