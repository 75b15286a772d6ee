"""Google's Security Token Service: a CI job's own token, a signed JWT, for an access token (workload identity federation)."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from testbed.clouds.gke_identity import RefusedError

_POOL = "//iam.googleapis.com/projects/7/locations/global/workloadIdentityPools/ci"
AUDIENCE = f"{_POOL}/providers/forge"
ISSUER = "https://token.forge.example"
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_JWT = "urn:ietf:params:oauth:token-type:jwt"


def principal(subject: str) -> str:
    """The name of a federated identity in IAM and in RBAC."""
    return f"principal:{_POOL}/subject/{subject}"


@dataclass(slots=True)
class Pool:
    """A pool with one provider; ``subjects`` are those that its attribute condition lets in."""

    subjects: set[str] = field(default_factory=set)
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def job(self, subject: str, life: int = 600, audience: str = f"https:{AUDIENCE}", issuer: str = ISSUER) -> str:
        """What the CI system gives to a job; ``life`` in seconds."""
        now = int(time.time())
        return jwt.encode({"iss": issuer, "sub": subject, "aud": audience, "iat": now - 900, "exp": now + life}, self._key, "ES256")

    def subject(self, form: Mapping[str, str]) -> str:
        """Whose token a request brings; raises RefusedError in the words of the real service."""
        if (form.get("grant_type"), form.get("subject_token_type"), form.get("audience")) != (_EXCHANGE, _JWT, AUDIENCE):
            raise _refused(
                "invalid_request", 'Invalid value for "audience". This value should be the full resource name of the Identity Provider.'
            )
        try:
            claims = jwt.decode(form["subject_token"], self._key.public_key(), ["ES256"], audience=f"https:{AUDIENCE}", issuer=ISSUER)
        except jwt.ExpiredSignatureError:
            raise _refused("invalid_grant", "ID Token issued at 0 is stale to sign-in.") from None
        except jwt.InvalidAudienceError:
            raise _refused("invalid_grant", "The audience in ID Token does not match the expected audience.") from None
        except jwt.InvalidTokenError:
            raise _refused("invalid_grant", "Unable to verify the ID Token signature.") from None
        if claims["sub"] not in self.subjects:
            raise _refused("unauthorized_client", "The given credential is rejected by the attribute condition.")
        return str(claims["sub"])


def file_of(token: str, impersonated: str = "") -> dict[str, object]:
    """What ``gcloud iam workload-identity-pools create-cred-config`` writes for a job whose token is in the file ``token``."""
    url = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{impersonated}:generateAccessToken"
    return {
        "type": "external_account",
        "audience": AUDIENCE,
        "subject_token_type": _JWT,
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": token},
        **({"service_account_impersonation_url": url} if impersonated else {}),
    }


def _refused(error: str, text: str) -> RefusedError:
    return RefusedError(400, {"error": error, "error_description": text})
