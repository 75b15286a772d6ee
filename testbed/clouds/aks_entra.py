"""Entra ID as far as programs sign in to it: who asks is checked, and what is given out is really signed."""

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

SERVER_APP = "6dae42f8-4368-4678-94ff-3960e28e3630"
EXCHANGE = "api://AzureADTokenExchange"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# Audiences that tokens are given out for; the first of each group is what Azure Resource Manager calls itself.
MANAGERS = {
    "management.azure.com": ("https://management.azure.com", "https://management.azure.com/", "https://management.core.windows.net/"),
    "management.usgovcloudapi.net": ("https://management.core.usgovcloudapi.net", "https://management.usgovcloudapi.net"),
    "management.sovcloud-api.fr": ("https://management.sovcloud-api.fr",),
    "management.chinacloudapi.cn": ("https://management.chinacloudapi.cn", "https://management.core.chinacloudapi.cn"),
}
LOGINS = ("login.microsoftonline.com", "login.microsoftonline.us", "login.chinacloudapi.cn", "login.sovcloud-identity.fr")
_RESOURCES = frozenset({SERVER_APP, *(audience for audiences in MANAGERS.values() for audience in audiences)})


@dataclass(frozen=True, slots=True)
class Principal:
    """A user (``upn``), an application (``secret``) or a managed identity; ``trusts`` maps (issuer, subject) to a public key.

    ``refresh`` is what a user's login left behind; a guest has the tenant it comes from in ``home``. ``strong``: it can do whatever a
    Conditional Access policy asks for.
    """

    oid: str
    client_id: str = ""
    secret: str = ""
    upn: str = ""
    groups: tuple[str, ...] = ()
    trusts: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    refresh: str = ""
    home: str = ""
    strong: bool = False


class RefusedError(Exception):
    """An AADSTS error: OAuth's word for it, its number and what it says."""

    def __init__(self, error: str, number: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status
        said = f"{f'AADSTS{number}: ' if number else ''}{text} Trace ID: {uuid.uuid4()} Correlation ID: {uuid.uuid4()}"
        self.body = {
            "error": error,
            "error_description": said,
            "error_codes": [number],
            "error_uri": f"https://example.org/error?code={number}",
        }


class Entra:
    """One tenant. ``life`` is in seconds; ``skew`` moves the clock of what it signs; ``refusals`` are errors by who asks (object ID)."""

    def __init__(self, tenant: str, *principals: Principal) -> None:
        self.tenant = tenant
        self.principals = list(principals)
        self.life = 3600
        self.skew = 0
        self.issued: list[str] = []
        self.refusals: dict[str, tuple[int, str]] = {}
        self._kid = uuid.uuid4().hex

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        """Made when it is needed, as it takes a while: many tenants sign nothing."""
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def issuer(self) -> str:
        """What tokens of version 1.0 name as their issuer; an AKS API server asks for this."""
        return f"https://sts.windows.net/{self.tenant}/"

    def discovery(self, base: str, issuer: str) -> dict[str, Any]:
        """The OpenID configuration, with addresses under ``base``."""
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{base}/{self.tenant}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/{self.tenant}/oauth2/v2.0/token",
            "jwks_uri": f"{base}/common/discovery/keys",
            "response_types_supported": ["code", "id_token", "token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def instances(self, host: str) -> dict[str, Any]:
        """Which hosts are one cloud."""
        metadata = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
        return {"tenant_discovery_endpoint": f"https://{host}/{self.tenant}/.well-known/openid-configuration", "metadata": [metadata]}

    def unknown(self, tenant: str) -> RefusedError:
        """What is said of a tenant that is not this one."""
        return RefusedError("invalid_tenant", 90002, f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID.")

    def keys(self) -> dict[str, Any]:
        """The public keys (JWKS)."""
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**public, "use": "sig", "alg": "RS256", "kid": self._kid}]}

    def token(self, tenant: str, form: Mapping[str, str]) -> dict[str, Any]:
        """The answer to a request with an application's credentials or a user's refresh token; raises RefusedError."""
        if tenant != self.tenant:
            raise self.unknown(tenant)
        if form.get("grant_type") not in {"client_credentials", "refresh_token"}:
            raise RefusedError("unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        scope = form.get("scope", "")
        if not scope.endswith("/.default"):
            raise RefusedError(
                "invalid_scope", 1002012, "The provided value for scope is not valid. Client credential flows must have a scope."
            )
        who = self._user(form) if form["grant_type"] == "refresh_token" else self._client(form)
        if refusal := self.refusals.get(who.oid):
            raise RefusedError("invalid_grant", *refusal)
        if "acrs" in form.get("claims", "") and not who.strong:
            raise RefusedError("invalid_grant", 53003, "Access has been blocked by Conditional Access policies.")
        return self.grant(who, scope.removesuffix("/.default"))

    def grant(self, who: Principal, resource: str) -> dict[str, Any]:
        """A token for a resource, as the token endpoint answers."""
        if resource not in _RESOURCES:
            raise RefusedError("invalid_resource", 500011, f"The resource principal named {resource} was not found in the tenant.")
        token = self.sign(who, resource)
        return {"token_type": "Bearer", "expires_in": self.life, "ext_expires_in": self.life, "access_token": token}

    def sign(self, who: Principal, audience: str) -> str:
        """A token of version 1.0 for ``who``."""
        now = int(time.time()) + self.skew
        claims = {
            "aud": audience,
            "iss": self.issuer,
            "iat": now,
            "nbf": now,
            "exp": now + self.life,
            "tid": self.tenant,
            "oid": who.oid,
            "sub": who.oid,
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
            **self._names(who),
            **({"acrs": ["c1"]} if who.strong else {}),
            **({"groups": list(who.groups)} if who.groups else {}),
        }
        token = jwt.encode(claims, self._key, "RS256", {"kid": self._kid})
        self.issued.append(token)
        return token

    @staticmethod
    def _names(who: Principal) -> dict[str, str]:
        if not who.upn:
            return {"appid": who.client_id, "idtyp": "app"}
        if who.home:
            # A guest has no user principal name of this tenant in the token.
            return {"unique_name": who.upn, "idp": f"https://sts.windows.net/{who.home}/", "idtyp": "user"}
        return {"upn": who.upn, "unique_name": who.upn, "idtyp": "user"}

    def claims(self, token: str, audiences: tuple[str, ...]) -> dict[str, Any]:
        """What a token says, once its signature, issuer, times and audience are checked; raises jwt.InvalidTokenError."""
        return dict(jwt.decode(token, self._key.public_key(), ["RS256"], audience=list(audiences), issuer=self.issuer))

    def _user(self, form: Mapping[str, str]) -> Principal:
        found = next((one for one in self.principals if one.refresh and one.refresh == form.get("refresh_token")), None)
        if found is None:
            text = f"User account from identity provider does not exist in tenant '{self.tenant}' and cannot access the application."
            raise RefusedError("invalid_grant", 50020, text)
        return found

    def _client(self, form: Mapping[str, str]) -> Principal:
        client = form.get("client_id", "")
        found = next((one for one in self.principals if client and one.client_id == client), None)
        if found is None:
            raise RefusedError("unauthorized_client", 700016, f"Application with identifier '{client}' was not found in the directory.")
        if "client_assertion" in form:
            self._check_assertion(found, form)
        elif not found.secret or form.get("client_secret") != found.secret:
            text = f"Invalid client secret provided. Ensure the secret being sent is the client secret value, for app '{client}'."
            raise RefusedError("invalid_client", 7000215, text, 401)
        return found

    def _check_assertion(self, who: Principal, form: Mapping[str, str]) -> None:
        """Workload identity: a token of an issuer that the application trusts."""
        assertion = form["client_assertion"]
        said = jwt.decode(assertion, options={"verify_signature": False})
        key = who.trusts.get((said.get("iss", ""), said.get("sub", "")))
        if form.get("client_assertion_type") != _ASSERTION or key is None:
            text = f"No matching federated identity record found for presented assertion subject '{said.get('sub')}'."
            raise RefusedError("invalid_request", 700213, text)
        try:
            jwt.decode(assertion, key, ["RS256", "ES256"], audience=EXCHANGE, issuer=said["iss"])
        except jwt.ExpiredSignatureError as error:
            raise RefusedError("invalid_client", 700024, "Client assertion is not within its valid time range.", 401) from error
        except jwt.InvalidTokenError as error:
            raise RefusedError("invalid_client", 700027, "The signature of the client assertion is not valid.", 401) from error
