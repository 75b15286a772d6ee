"""Azure Resource Manager as far as AKS clusters are found and signed in to; records are the SDK's own models."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import jwt
from azure.mgmt.containerservice import models

from testbed.clouds.aks_entra import MANAGERS, Entra, Principal

_AKS = "Microsoft.ContainerService"
API_VERSION = "2026-08-01"
# Those of the pinned SDK and of the oldest one that is allowed.
_API_VERSIONS = (API_VERSION, "2026-04-01")
_SUBSCRIPTIONS_VERSION = "2022-12-01"
USER_ROLE = frozenset({f"{_AKS}/managedClusters/read", f"{_AKS}/managedClusters/listClusterUserCredential/action"})
READER = frozenset({f"{_AKS}/managedClusters/read", f"{_AKS}/locations/kubernetesVersions/read"})
_ROUTES = (
    (re.compile(r"/subscriptions"), "GET", "_subscriptions", ""),
    (re.compile(rf"/subscriptions/(?P<subscription>[^/]+)/providers/{_AKS}/managedClusters"), "GET", "_list", "managedClusters/read"),
    (
        re.compile(rf"/subscriptions/(?P<subscription>[^/]+)/providers/{_AKS}/locations/(?P<location>[^/]+)/kubernetesVersions"),
        "GET",
        "_versions",
        "locations/kubernetesVersions/read",
    ),
    (
        re.compile(
            rf"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/{_AKS}/managedClusters/(?P<name>[^/]+)"
        ),
        "GET",
        "_get",
        "managedClusters/read",
    ),
    (
        re.compile(
            rf"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/{_AKS}/managedClusters/(?P<name>[^/]+)"
            r"/listClusterUserCredential"
        ),
        "POST",
        "_user_credential",
        "managedClusters/listClusterUserCredential/action",
    ),
)


@dataclass(slots=True)
class AksCluster:
    """A cluster and the kubeconfig that its users get; ``public`` is the one with the public name of a private cluster."""

    subscription: str
    group: str
    model: models.ManagedCluster
    kubeconfig: bytes
    public: bytes = b""

    @property
    def name(self) -> str:
        """Its name, which is the last part of its ID."""
        return str(self.model.id).rpartition("/")[2]


@dataclass
class RefusalError(Exception):
    """An error in ARM's own shape."""

    status: int
    code: str
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Arm:
    """The resources, and who may do what: ``grants`` maps an object ID to its actions.

    ``others`` are tenants without a subscription here; ``guarded`` are subscriptions whose Conditional Access asks for more than a
    password; ``forbidden`` maps an action to the error that a policy, a deny assignment or a lock has for it: status, code, text.
    ``states`` are those of subscriptions that are not Enabled.
    """

    def __init__(self, entra: Entra, subscriptions: tuple[str, ...], others: tuple[Entra, ...] = ()) -> None:
        self.entra = entra
        self.others = others
        self.guarded: set[str] = set()
        self.forbidden: dict[str, tuple[int, str, str]] = {}
        self.states: dict[str, str] = {}
        self.subscriptions = subscriptions
        self.clusters: list[AksCluster] = []
        self.grants: dict[str, frozenset[str]] = {}
        self.versions: dict[str, list[str]] = {}
        self.page = 2

    def allow(self, who: Principal, *actions: str) -> None:
        """Give ``who`` more actions."""
        self.grants[who.oid] = self.grants.get(who.oid, frozenset()) | frozenset(actions)

    def answer(self, host: str, method: str, path: str, query: Mapping[str, str], authorization: str) -> dict[str, Any]:
        """The JSON for a request; raises RefusalError."""
        claims = self._caller(host, authorization)
        for pattern, verb, name, action in _ROUTES:
            if (match := pattern.fullmatch(path)) and verb == method:
                places = match.groupdict()
                _check_version(query, (_SUBSCRIPTIONS_VERSION,) if name == "_subscriptions" else _API_VERSIONS)
                if (stranger := claims["tid"]) != self.entra.tenant:
                    if name == "_subscriptions":
                        return {"value": []}
                    raise self._wrong_tenant(stranger)
                self._check_subscription(places, claims)
                if refusal := self.forbidden.get(action):
                    raise RefusalError(*refusal)
                self._check_grant(claims, f"{_AKS}/{action}" if action else "", path.rpartition("/listClusterUser")[0] or path)
                found: dict[str, Any] = getattr(self, name)(host, places, query, claims)
                return found
        raise RefusalError(HTTPStatus.NOT_FOUND, "InvalidResourceType", f"The resource type could not be found in the namespace '{_AKS}'.")

    def _caller(self, host: str, authorization: str) -> dict[str, Any]:
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer" or not token:
            text = "Authentication failed. The 'Authorization' header is missing."
            raise RefusalError(HTTPStatus.UNAUTHORIZED, "AuthenticationFailed", text, {"WWW-Authenticate": "Bearer"})
        try:
            return self._issuer(token).claims(token, MANAGERS[host])
        except jwt.InvalidAudienceError as error:
            said = jwt.decode(token, options={"verify_signature": False})["aud"]
            allowed = ",".join(f"'{one}'" for one in MANAGERS[host])
            text = f"The access token has been obtained for wrong audience or resource '{said}'. It should match one of {allowed}."
            raise RefusalError(HTTPStatus.UNAUTHORIZED, "InvalidAuthenticationTokenAudience", text) from error
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
            text = "The access token expiry UTC time is earlier than current UTC time."
            raise RefusalError(HTTPStatus.UNAUTHORIZED, "ExpiredAuthenticationToken", text) from error
        except jwt.InvalidTokenError as error:
            raise RefusalError(HTTPStatus.UNAUTHORIZED, "InvalidAuthenticationToken", "The access token is invalid.") from error

    def _issuer(self, token: str) -> Entra:
        """The tenant that a token says it is of; the own one where it is of none of them."""
        try:
            tenant = jwt.decode(token, options={"verify_signature": False}).get("tid")
        except jwt.InvalidTokenError:
            tenant = None
        return next((one for one in self.others if one.tenant == tenant), self.entra)

    def _wrong_tenant(self, tenant: str) -> RefusalError:
        text = (
            f"The access token is from the wrong issuer 'https://sts.windows.net/{tenant}/'. It must match the tenant "
            f"'{self.entra.issuer}' associated with this subscription. Please use the authority (URL) "
            f"'https://login.windows.net/{self.entra.tenant}' to get the token. Note, if the subscription is transferred to another tenant "
            "there is no impact to the services, but information about new tenant could take time to propagate (up to an hour)."
        )
        return RefusalError(HTTPStatus.UNAUTHORIZED, "InvalidAuthenticationTokenTenant", text)

    def _check_subscription(self, places: Mapping[str, str], claims: Mapping[str, Any]) -> None:
        subscription = places.get("subscription")
        if subscription in self.guarded and "acrs" not in claims:
            asked = base64.b64encode(b'{"access_token":{"acrs":{"essential":true,"value":"c1"}}}').decode()
            challenge = f'Bearer realm="", error="insufficient_claims", claims="{asked}"'
            text = "The access token does not satisfy the Conditional Access policies of the resource."
            raise RefusalError(HTTPStatus.UNAUTHORIZED, "InsufficientClaims", text, {"WWW-Authenticate": challenge})
        if subscription and subscription not in self.subscriptions:
            raise RefusalError(HTTPStatus.NOT_FOUND, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")

    def _check_grant(self, claims: Mapping[str, Any], action: str, scope: str) -> None:
        oid = claims["oid"]
        if action and action not in self.grants.get(oid, ()):
            text = (
                f"The client '{claims.get('appid', claims.get('upn'))}' with object id '{oid}' does not have authorization "
                f"to perform action '{action}' over scope '{scope}' or the scope is invalid. "
                "If access was recently granted, please refresh your credentials."
            )
            raise RefusalError(HTTPStatus.FORBIDDEN, "AuthorizationFailed", text)

    def _subscriptions(self, host: str, _places: Mapping[str, str], query: Mapping[str, str], claims: Mapping[str, Any]) -> dict[str, Any]:
        tenant = claims["tid"]
        items = [
            {"id": f"/subscriptions/{one}", "subscriptionId": one, "tenantId": tenant, "displayName": one[:4], "state": self._state(one)}
            for one in self.subscriptions
        ]
        return self._paged(items, host, f"/subscriptions?api-version={_SUBSCRIPTIONS_VERSION}", query)

    def _state(self, subscription: str) -> str:
        return self.states.get(subscription, "Enabled")

    def _list(self, host: str, places: Mapping[str, str], query: Mapping[str, str], _claims: Mapping[str, Any]) -> dict[str, Any]:
        items = [one.model.as_dict() for one in self.clusters if one.subscription == places["subscription"]]
        path = f"/subscriptions/{places['subscription']}/providers/{_AKS}/managedClusters?api-version={API_VERSION}"
        return self._paged(items, host, path, query)

    def _paged(self, items: list[dict[str, Any]], host: str, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        start = int(query.get("$skiptoken", "0"))
        rest = len(items) > start + self.page
        return {
            "value": items[start : start + self.page],
            **({"nextLink": f"https://{host}{path}&$skiptoken={start + self.page}"} if rest else {}),
        }

    def _get(self, _host: str, places: Mapping[str, str], _query: Mapping[str, str], _claims: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self._find(places).model.as_dict())

    def _user_credential(
        self, _host: str, places: Mapping[str, str], query: Mapping[str, str], _claims: Mapping[str, Any]
    ) -> dict[str, Any]:
        if query.get("format") not in {"exec", "azure", None}:
            raise RefusalError(HTTPStatus.BAD_REQUEST, "BadRequest", f"Invalid format {query['format']}")
        result = models.CredentialResult()
        cluster = self._find(places)
        if query.get("server-fqdn") not in {"public", None}:
            raise RefusalError(HTTPStatus.BAD_REQUEST, "BadRequest", f"Invalid server-fqdn {query['server-fqdn']}")
        given = cluster.public if "server-fqdn" in query and cluster.public else cluster.kubeconfig
        result.name, result.value = "clusterUser", given
        found = models.CredentialResults()
        found.kubeconfigs = [result]
        return dict(found.as_dict())

    def _versions(self, _host: str, _places: Mapping[str, str], _query: Mapping[str, str], _claims: Mapping[str, Any]) -> dict[str, Any]:
        values = [
            models.KubernetesVersion(version=minor, capabilities=models.KubernetesVersionCapabilities(support_plan=plans))
            for minor, plans in self.versions.items()
        ]
        return dict(models.KubernetesVersionListResult(values_property=values).as_dict())

    def _find(self, places: Mapping[str, str]) -> AksCluster:
        group, name = places["group"], places["name"]
        mine = [one for one in self.clusters if one.subscription == places["subscription"]]
        if not any(one.group.lower() == group.lower() for one in mine):
            raise RefusalError(HTTPStatus.NOT_FOUND, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        for one in mine:
            if (one.group.lower(), one.name.lower()) == (group.lower(), name.lower()):
                return one
        text = f"The Resource '{_AKS}/managedClusters/{name}' under resource group '{group}' was not found."
        raise RefusalError(HTTPStatus.NOT_FOUND, "ResourceNotFound", text)


def _check_version(query: Mapping[str, str], accepted: tuple[str, ...]) -> None:
    version = query.get("api-version")
    if version is None:
        text = "The api-version query parameter (?api-version=) is required for all requests."
        raise RefusalError(HTTPStatus.BAD_REQUEST, "MissingApiVersionParameter", text)
    if version not in accepted:
        raise RefusalError(HTTPStatus.BAD_REQUEST, "InvalidApiVersionParameter", f"The api-version '{version}' is invalid.")
