"""Google's identities: accounts, the tokens they were given, and everything that gives or judges one."""

import base64
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
IAM = "https://www.googleapis.com/auth/iam"
EMAIL = "https://www.googleapis.com/auth/userinfo.email"
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
# Seconds that a clock may be off, and that an assertion may last (developers.google.com: OAuth for server to server).
_SKEW = 300
_ASSERTION = 3600


@dataclass(frozen=True)
class RefusedError(Exception):
    """An answer of the token endpoint that gives none."""

    status: int
    body: Mapping[str, Any]


@dataclass(slots=True)
class Account:
    """Somebody that Google knows; ``roles`` maps projects to IAM permissions, ``acts_as`` are accounts it may impersonate."""

    email: str
    number: str
    roles: dict[str, set[str]] = field(default_factory=dict)
    acts_as: set[str] = field(default_factory=set)
    key: rsa.RSAPrivateKey | None = field(default=None, repr=False)
    refresh_token: str = field(default_factory=lambda: f"1//{secrets.token_urlsafe(40)}", repr=False)

    def key_file(self, project: str) -> dict[str, str]:
        """What the console offers for download: a service account's key."""
        # Made when it is asked for: it takes a tenth of a second.
        self.key = self.key or rsa.generate_private_key(65537, 2048)
        pem = self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return {
            "type": "service_account",
            "project_id": project,
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": self.email,
            "client_id": self.number,
            "token_uri": TOKEN_URI,
        }

    def login_file(self) -> dict[str, str]:
        """What gcloud auth application-default login leaves: a user's refresh token."""
        return {
            "type": "authorized_user",
            "client_id": "1.apps.googleusercontent.com",
            "client_secret": "not-a-secret",
            "refresh_token": self.refresh_token,
        }


@dataclass(slots=True)
class Issued:
    """An access token as its issuer remembers it; times are seconds since 1970."""

    account: Account
    scopes: frozenset[str]
    expires: float
    revoked: bool = False

    def good(self, *scopes: str) -> bool:
        """Whether it opens what asks for the scope of the whole platform, or one of ``scopes``."""
        return not self.revoked and time.time() < self.expires and bool({PLATFORM, *scopes} & self.scopes)


class Issuer:
    """Gives tokens and judges them; ``life`` in seconds of the next ones, ``margin`` at which the metadata server renews its own."""

    def __init__(self, *accounts: Account) -> None:
        self.accounts = {account.email: account for account in accounts}
        self.tokens: dict[str, Issued] = {}
        self.life = 3600
        self.margin = 240
        # The account that the metadata server speaks for, and the scopes of its machine when those are fixed.
        self.machine: Account | None = None
        self.machine_scopes: frozenset[str] | None = None
        self._lock = threading.Lock()
        self._cached = ""

    def issue(self, account: Account, scopes: frozenset[str]) -> tuple[str, Issued]:
        """A new token."""
        token = f"ya29.{secrets.token_urlsafe(60)}"
        with self._lock:
            self.tokens[token] = Issued(account, scopes, time.time() + self.life)
        return token, self.tokens[token]

    def revoke_all(self) -> None:
        """Make every token so far worthless."""
        with self._lock:
            for issued in self.tokens.values():
                issued.revoked = True

    def who(self, authorization: str, *scopes: str) -> Account | None:
        """Whose request it is by its header; None for nobody's. ``scopes`` are others that will do."""
        issued = self.tokens.get(authorization.removeprefix("Bearer "))
        return issued.account if issued and issued.good(*scopes) else None

    def review(self, token: str) -> dict[str, Any]:
        """The status of a TokenReview; a token without the e-mail scope is only a number to GKE."""
        issued = self.tokens.get(token)
        if issued is None or not issued.good():
            return {"authenticated": False}
        name = issued.account.email if EMAIL in issued.scopes else issued.account.number
        return {"authenticated": True, "user": {"username": name, "groups": []}}

    def token(self, form: Mapping[str, str]) -> dict[str, Any]:
        """The token endpoint."""
        match form.get("grant_type"):
            case "refresh_token":
                account = next((one for one in self.accounts.values() if one.refresh_token == form.get("refresh_token")), None)
                if account is None:
                    raise _grant("Token has been expired or revoked.")
                scopes = frozenset(form.get("scope", f"{PLATFORM} {EMAIL}").split())
            case "urn:ietf:params:oauth:grant-type:jwt-bearer":
                account, scopes = self._asserted(form.get("assertion", ""))
            case other:
                raise RefusedError(400, {"error": "unsupported_grant_type", "error_description": f"Invalid grant_type: {other}"})
        value, _ = self.issue(account, scopes)
        return {"access_token": value, "expires_in": self.life, "scope": " ".join(sorted(scopes)), "token_type": "Bearer"}

    def _asserted(self, assertion: str) -> tuple[Account, frozenset[str]]:
        signed, _, signature = assertion.rpartition(".")
        claims = json.loads(_unpadded(signed.partition(".")[2]))
        account = self.accounts.get(claims.get("iss", ""))
        if account is None or account.key is None or claims.get("aud") != TOKEN_URI:
            raise _grant("Invalid grant: account not found")
        try:
            account.key.public_key().verify(_unpadded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise _grant("Invalid JWT Signature.") from None
        now = time.time()
        if claims["iat"] > now + _SKEW or claims["exp"] < now - _SKEW or claims["exp"] - claims["iat"] > _ASSERTION:
            raise _grant("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.")
        return account, frozenset(claims["scope"].split())

    def exchange(self, name: str, scopes: frozenset[str]) -> dict[str, Any]:
        """A token for a federated identity, which is in no directory."""
        value, _ = self.issue(self.accounts.get(name) or Account(name, name), scopes)
        kind = "urn:ietf:params:oauth:token-type:access_token"
        return {"access_token": value, "issued_token_type": kind, "expires_in": self.life, "token_type": "Bearer"}

    def impersonate(self, caller: Account, target: str, body: Mapping[str, Any]) -> dict[str, Any] | str:
        """IAM credentials' generateAccessToken; the permission that one of the chain lacks on the next."""
        hops = [str(each).rpartition("/")[2] for each in body.get("delegates") or ()]
        for hop in hops:
            if hop not in caller.acts_as or hop not in self.accounts:
                return "iam.serviceAccounts.implicitDelegation"
            caller = self.accounts[hop]
        if target not in caller.acts_as:
            return "iam.serviceAccounts.getAccessToken"
        value, issued = self.issue(self.accounts[target], frozenset(body["scope"]))
        return {"accessToken": value, "expireTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(issued.expires))}

    def describe(self, authorization: str) -> dict[str, Any]:
        """The token endpoint's information on a token; raises RefusedError for one that is worth nothing."""
        issued = self.tokens.get(authorization.removeprefix("Bearer "))
        if issued is None or not issued.good(*issued.scopes):
            raise RefusedError(400, {"error": "invalid_token", "error_description": "Invalid Value"})
        email = {"email": issued.account.email, "email_verified": "true"} if EMAIL in issued.scopes else {}
        return {"azp": issued.account.number, "scope": " ".join(sorted(issued.scopes)), "exp": str(int(issued.expires)), **email}

    def metadata(self, path: str, query: Mapping[str, str]) -> str | None:
        """A value of the metadata server; None for what it has not."""
        if self.machine is None:
            return None
        match path.rstrip("/").removeprefix("/computeMetadata/v1/"):
            case "":
                return "computeMetadata/"
            case "project/project-id":
                return next(iter(self.machine.roles), "")
            case "instance/service-accounts/default":
                return json.dumps({"email": self.machine.email, "aliases": ["default"], "scopes": sorted(self._machine_scopes(""))})
            case "instance/service-accounts/default/token":
                return json.dumps(self._machine_token(self.machine, self._machine_scopes(query.get("scopes", ""))))
            case _:
                return None

    def _machine_scopes(self, asked: str) -> frozenset[str]:
        if self.machine_scopes:
            return self.machine_scopes
        return frozenset(asked.split(",")) if asked else frozenset({PLATFORM})

    def _machine_token(self, machine: Account, scopes: frozenset[str]) -> dict[str, Any]:
        """The same token until it has less than ``margin`` left, as the real server does."""
        kept = self.tokens.get(self._cached)
        if kept is None or kept.expires - time.time() < self.margin or kept.scopes != scopes or kept.revoked:
            self._cached, kept = self.issue(machine, scopes)
        return {"access_token": self._cached, "expires_in": int(kept.expires - time.time()), "token_type": "Bearer"}


def _grant(text: str) -> RefusedError:
    return RefusedError(400, {"error": "invalid_grant", "error_description": text})


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
