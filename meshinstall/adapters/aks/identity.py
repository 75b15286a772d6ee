"""The caller's identity: tokens of one tenant alone, and who their own claims say that it is."""

import base64
import json
import re
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from meshinstall.errors import UnauthorizedError
from meshinstall.model.foreign_text import plain

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, AccessTokenInfo, SupportsTokenInfo, TokenRequestOptions

    from meshinstall.model.cluster import Caller

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Characters of a token's claims, encoded, and of a name in them.
_MOST, _LONGEST = 64 * 1024, 120
# Seconds of its life that a token must still have, as the SDK's policies want it.
_MARGIN = 300


class Identity:
    """A credential of the SDK that asks for tokens of ``tenant`` (an ID or a domain; empty for the login's own); safe for threads.

    It stands in the place of the credential for the SDK's clients, whose policies know no tenant. Some ways to sign in ignore the
    tenant that they are asked for (a managed identity; all, with AZURE_IDENTITY_DISABLE_MULTITENANTAUTH): their token is refused here.
    """

    def __init__(self, credential: "SupportsTokenInfo", tenant: str) -> None:
        self._credential = credential
        self._tenant = tenant
        self.claims: Mapping[str, Any] = {}
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, ...], AccessTokenInfo] = {}

    @property
    def way(self) -> str:
        """The credential of the SDK's chain that gave a token; empty before one did."""
        # The chain says it in its log only, at a level that nobody sees.
        found = getattr(self._credential, "_successful_credential", None)
        return type(found).__name__ if found else ""

    def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False, **_: Any
    ) -> "AccessToken":
        """A new token, of another tenant if one is named; raises UnauthorizedError when it is of a wrong one."""
        from azure.core.credentials import AccessToken

        options: TokenRequestOptions = {"enable_cae": enable_cae}
        if claims:
            options["claims"] = claims
        if tenant_id:
            options["tenant_id"] = tenant_id
        found = self._fetch(scopes, options)
        return AccessToken(found.token, found.expires_on)

    def get_token_info(self, *scopes: str, options: "TokenRequestOptions | None" = None) -> "AccessTokenInfo":
        """The same, as the SDK's policies ask for it: one token serves all clients, as each run of the Azure CLI takes a second."""
        if options and options.get("claims"):
            return self._fetch(scopes, options)
        with self._lock:
            if (found := self._kept.get(scopes)) is None or found.expires_on - time.time() < _MARGIN:
                found = self._kept[scopes] = self._fetch(scopes, options or {})
            return found

    def _fetch(self, scopes: tuple[str, ...], options: "TokenRequestOptions") -> "AccessTokenInfo":
        from azure.core.exceptions import ClientAuthenticationError

        wanted: TokenRequestOptions = {"tenant_id": self._tenant, **options} if self._tenant else {**options}
        try:
            found = self._credential.get_token_info(*scopes, options=wanted)
        except ClientAuthenticationError as error:
            # For the command in the error's words: az alone says which tenant it was.
            error.add_note(wanted.get("tenant_id", ""))
            raise
        self.claims = read_claims(found.token)
        _check_tenant(self.claims, wanted.get("tenant_id", ""), self.way)
        return found


def read_claims(token: object) -> Mapping[str, Any]:
    """What a token says of its owner, not verified; empty for what is not a JSON web token."""
    parts = token.split(".") if isinstance(token, str) else []
    if len(parts) != 3 or len(parts[1]) > _MOST:  # noqa: PLR2004 - header, claims, signature
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(f"{parts[1]}=="))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def object_id(claims: Mapping[str, Any]) -> str:
    """The object ID that role assignments name; empty where the claims have none."""
    found = _text(claims, "oid").lower()
    return found if _ID.fullmatch(found) else ""


def cluster_user(claims: Mapping[str, Any]) -> str:
    """The user name that an AKS API server has for the caller: of a person its UPN, of a guest or an application the object ID."""
    upn = _text(claims, "upn")
    return object_id(claims) if not upn or _is_guest(claims) else upn


def caller(claims: Mapping[str, Any], by: str) -> "Caller | None":
    """Who a token's claims say that it is; None where they say nothing."""
    from meshinstall.model.cluster import Caller

    person = _text(claims, "upn") or _text(claims, "unique_name") or _text(claims, "preferred_username")
    application = _text(claims, "appid") or _text(claims, "azp")
    # A person's token names the application that signed in for it as well.
    is_person = bool(person) and _text(claims, "idtyp") != "app"
    name = person if is_person else f"application {application}" if application else ""
    oid, tenant = object_id(claims), _text(claims, "tid")
    if not (name or oid):
        return None
    where = f"{'guest in ' if is_person and _is_guest(claims) else ''}tenant {tenant}" if tenant else ""
    return Caller(name or f"object {oid}", ", ".join(part for part in (by, where, f"object ID {oid}" if oid and name else "") if part))


def _is_guest(claims: Mapping[str, Any]) -> bool:
    """A person of another tenant: Entra ID marks the name, and names who really signed the person in."""
    return "#EXT#" in _text(claims, "upn").upper() or "idp" in claims


def _text(claims: Mapping[str, Any], name: str) -> str:
    found = claims.get(name)
    return plain(found, _LONGEST) if isinstance(found, str) else ""


def _check_tenant(claims: Mapping[str, Any], wanted: str, way: str) -> None:
    given = _text(claims, "tid").lower()
    wanted = wanted.lower()
    # A domain cannot be compared with the ID in a token; Entra ID itself looked it up.
    if not (_ID.fullmatch(wanted) and given) or given == wanted:
        return
    if way == "ManagedIdentityCredential":
        hint = "a managed identity signs in to its own tenant only: use another login, or the --tenant that it belongs to"
    else:
        hint = f"az login --tenant {wanted}; unset AZURE_IDENTITY_DISABLE_MULTITENANTAUTH if it is set"
    raise UnauthorizedError(f"{way or 'the login'} gave a token of tenant {given}, and tenant {wanted} is needed", hint)
