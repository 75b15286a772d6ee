"""How programs and people come to an AWS session without keys: web identity (IRSA), EKS Pod Identity, IAM Identity Center (SSO).

Tokens of service accounts are real JWTs, and their signature, issuer, audience, time and subject are checked as AWS does.
"""

import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from testbed.clouds.eks_answers import Answer, assumed, json_answer, stamp
from testbed.clouds.eks_identity import Keys, RefusedError, Signed

WEB, PODS = "sts.amazonaws.com", "pods.eks.amazonaws.com"
ISSUER = "https://oidc.eks.eu-west-1.amazonaws.com/id/SHOP"
# Service and action of what is asked without a signature, by path; all else is a query to STS.
UNSIGNED = {
    "/federation/credentials": ("sso", "GetRoleCredentials"),
    "/token": ("sso-oidc", "CreateToken"),
    "/v1/credentials": ("pods", "AssumeRoleForPodIdentity"),
}
# How long a person stays signed in.
_LOGIN = timedelta(hours=8)


@dataclass(slots=True)
class Logins:
    """Who may become which role, and for how long a session of it lasts."""

    keys: Keys
    trusts: dict[str, str] = field(default_factory=dict)  # by web identity: a role's ARN to a service account
    pods: dict[str, str] = field(default_factory=dict)  # by Pod Identity: a service account to a role's ARN
    assignments: set[tuple[str, str]] = field(default_factory=set)  # by SSO: account and role's name
    life: timedelta = timedelta(hours=1)
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    _signed_in: dict[str, datetime] = field(default_factory=dict)  # access tokens of people, with their ends
    _refresh: set[str] = field(default_factory=set)

    def service_account(self, subject: str, audience: str, life: timedelta = timedelta(hours=1), issuer: str = ISSUER) -> str:
        """The token that kubelet puts into a pod."""
        now = int(time.time())
        claims = {"iss": issuer, "sub": subject, "aud": [audience], "iat": now, "nbf": now, "exp": now + int(life.total_seconds())}
        return jwt.encode(claims, self._key, "ES256")

    def sign_in(self, life: timedelta = _LOGIN) -> dict[str, str]:
        """A person in the browser: what ``aws sso login`` keeps in its cache."""
        token, refresh = f"sso-{secrets.token_hex(12)}", f"refresh-{secrets.token_hex(12)}"
        self._signed_in[token] = datetime.now(UTC) + life
        self._refresh.add(refresh)
        return {
            "accessToken": token,
            "refreshToken": refresh,
            "expiresAt": stamp(self._signed_in[token]),
            "clientId": "cli",
            "clientSecret": "planted-client-secret",
            "registrationExpiresAt": stamp(datetime.now(UTC) + timedelta(days=30)),
        }

    def sign_out(self) -> None:
        """End every person's login."""
        self._signed_in.clear()
        self._refresh.clear()

    def answer(self, action: str, request: Signed) -> Answer | None:
        """The answer to a request that needs no signature; None when it is none of them. Raises RefusedError."""
        match action:
            case "sts:AssumeRoleWithWebIdentity":
                return self._web_identity(dict(parse_qsl(request.body.decode())))
            case "pods:AssumeRoleForPodIdentity":
                return self._pod_identity(request.headers.get("authorization", ""))
            case "sso:GetRoleCredentials":
                return self._portal(request)
            case "sso-oidc:CreateToken":
                return self._renewed(json.loads(request.body))
        return None

    def _web_identity(self, form: dict[str, str]) -> Answer:
        role = form["RoleArn"]
        subject = self._subject(form["WebIdentityToken"], WEB)
        if self.trusts.get(role) != subject:
            raise RefusedError(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        ends = datetime.now(UTC) + self.life
        return assumed("AssumeRoleWithWebIdentity", self.keys.session(role, form["RoleSessionName"]), ends)

    def _pod_identity(self, token: str) -> Answer:
        subject = self._subject(token, PODS)
        if subject not in self.pods:
            raise RefusedError(404, "ResourceNotFoundException", f"No role is associated with {subject}")
        session = self.keys.session(self.pods[subject], "eks-shop-pod")
        ends = stamp(datetime.now(UTC) + self.life)
        return json_answer(
            {"AccessKeyId": session.access_key, "SecretAccessKey": session.secret, "Token": session.token, "Expiration": ends}
        )

    def _portal(self, request: Signed) -> Answer:
        asked = dict(parse_qsl(request.query))
        ends = self._signed_in.get(request.headers.get("x-amz-sso-bearer-token", ""))
        if ends is None or ends < datetime.now(UTC):
            raise RefusedError(401, "UnauthorizedException", "Session token not found or invalid")
        if (asked["account_id"], asked["role_name"]) not in self.assignments:
            raise RefusedError(403, "ForbiddenException", "No access")
        session = self.keys.session(f"role/AWSReservedSSO_{asked['role_name']}_0123456789abcdef", "engineer@example.com")
        credentials = {
            "accessKeyId": session.access_key,
            "secretAccessKey": session.secret,
            "sessionToken": session.token,
            "expiration": int((datetime.now(UTC) + self.life).timestamp() * 1000),
        }
        return json_answer({"roleCredentials": credentials})

    def _renewed(self, asked: dict[str, str]) -> Answer:
        if asked["grantType"] != "refresh_token" or asked["refreshToken"] not in self._refresh:
            raise RefusedError(400, "InvalidGrantException", "Invalid refresh token provided")
        # Each is good for once.
        self._refresh.remove(asked["refreshToken"])
        made = self.sign_in()
        tokens = {name: made[name] for name in ("accessToken", "refreshToken")}
        return json_answer({**tokens, "tokenType": "Bearer", "expiresIn": int(_LOGIN.total_seconds())})

    def _subject(self, token: str, audience: str) -> str:
        """The service account that a token names; raises RefusedError."""
        try:
            claims = jwt.decode(token, self._key.public_key(), ["ES256"], audience=audience, issuer=ISSUER)
        except jwt.ExpiredSignatureError as error:
            raise RefusedError(
                400, "ExpiredTokenException", "Token expired: current date/time must be before the expiration date/time"
            ) from error
        except jwt.InvalidAudienceError as error:
            raise RefusedError(400, "InvalidIdentityToken", "Incorrect token audience") from error
        except jwt.InvalidTokenError as error:
            raise RefusedError(
                400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for the token's issuer"
            ) from error
        return str(claims["sub"])
