"""Answers an OCI registry that asks for a login, and gives the login to nobody else.

https://distribution.github.io/distribution/spec/auth/token/, https://distribution.github.io/distribution/spec/auth/oauth/; which
addresses may ask is oras-go's rule, by which helm goes (registry/remote/auth/client.go).
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from urllib.request import parse_http_list

from meshinstall.adapters.charts.http import Answer, Http, is_loopback, is_safe, origin, shown
from meshinstall.adapters.charts.logins import Login
from meshinstall.errors import ChartError
from meshinstall.model import json_text
from meshinstall.model.foreign_text import plain

_MAX_TOKEN = 1024**2
_VISIBLE = re.compile(r"[!-~]{1,65536}")
_CLIENT = "meshinstall"


def authorization(http: Http, answer: Answer, asked: str, login: Login) -> str:
    """The Authorization header that a registry's 401 asks for; empty when we have none to give. Raises ChartError.

    ``answer`` is what came for ``asked``; if another address gave it, after a redirect, it gets no login and no token.
    """
    if origin(answer.url) != origin(asked):
        raise refused(answer, asked, login)
    challenges = _challenges(answer.headers.get("WWW-Authenticate", ""))
    if "bearer" in challenges:
        return _bearer(http, asked, challenges["bearer"], login)
    if "basic" in challenges:
        return login.basic
    raise ChartError(
        f"{shown(asked)} asks for a kind of login that is not supported: {plain(', '.join(challenges)) or 'it does not say which'}",
        "the supported kinds are Bearer and Basic: use another registry",
    )


def refused(answer: Answer, asked: str, login: Login) -> ChartError:
    """The error for a registry that wants a login, or a better one than it got; its hint names the helpers that failed."""
    if origin(answer.url) != origin(asked):
        return ChartError(
            f"{shown(asked)} redirects to {shown(answer.url)}, which asks for a login; only the registry itself gets one",
            "use the address that it redirects to as the source of the charts",
        )
    host = urlsplit(asked).netloc
    text = f"{shown(asked)} answered {answer.status}: the registry needs a login with read permission"
    own_file = "set REGISTRY_AUTH_FILE to a config.json with the credentials"
    if login.source:
        return ChartError(f"{text}, and the one from {login.source} is not enough", f"log in again, or {own_file}")
    if login.notes:
        return ChartError(f"{text}; {'; '.join(login.notes)}", f"see what it answers: {', '.join(login.tries)}; or {own_file}")
    return ChartError(text, f"log in with `helm registry login {host}`, or {own_file}")


def _bearer(http: Http, asked: str, challenge: Mapping[str, str], login: Login) -> str:
    """A token of the token service that the registry names, or the one that is stored."""
    if login.access:
        return f"Bearer {_visible(login.access, login.source)}"
    realm, wanted = _realm(challenge.get("realm", ""), asked), {"service": challenge.get("service", "")}
    if login.identity:
        form = {"grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": login.identity}
        answer = http.post(realm, _MAX_TOKEN, {**form, **wanted, "scope": challenge.get("scope", "")})
    else:
        parts = urlsplit(realm)
        scopes = [("scope", one) for one in challenge.get("scope", "").split()]
        query = urlencode([*parse_qsl(parts.query), *(item for item in wanted.items() if item[1]), *scopes])
        headers = {"Authorization": login.basic} if login.basic else {}
        answer = http.get(urlunsplit(parts._replace(query=query)), _MAX_TOKEN, headers)
    if answer.status != HTTPStatus.OK:
        # Registries differ in the status for a wrong login; the registry's own 401 is told.
        return ""
    try:
        found: Any = json_text.load(answer.body)
        token = found.get("token") or found.get("access_token")
    except (ValueError, AttributeError):
        token = None
    if not token:
        raise ChartError(f"{shown(realm)}, the token service of {shown(asked)}, answered without a token", "try later, or use a mirror")
    return f"Bearer {_visible(token, shown(realm))}"


def _realm(realm: str, asked: str) -> str:
    """The address of a token service; raises ChartError for one that a login is not safe with."""
    why = _unsafe(realm, asked)
    if why:
        raise ChartError(
            f"{shown(asked)} asks for a kind of login that is not supported: 'Bearer' with realm {shown(realm)!r}, which {why}",
            "no login was sent there: use another registry",
        )
    return realm


def _unsafe(realm: str, asked: str) -> str:
    try:
        parts = urlsplit(realm)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is not an address"
    if not is_safe(realm, loopback=is_loopback(asked)) or not host:
        return "is not https"
    if "@" in parts.netloc:
        return "has a login in it"
    try:
        is_inner = not ip_address(host).is_global
    except ValueError:
        is_inner = False
    return "is an address of a private network" if is_inner and host != urlsplit(asked).hostname and not is_loopback(asked) else ""


def _visible(token: object, giver: str) -> str:
    """A token as it may stand in a header; no error shows it."""
    if not isinstance(token, str) or not _VISIBLE.fullmatch(token):
        raise ChartError(
            f"the token from {giver} cannot be used: it has other characters than visible ASCII, or too many",
            "log in again; if the token service gave it, report it to whoever runs that",
        )
    return token


def _challenges(header: str) -> dict[str, dict[str, str]]:
    """The parameters of each kind of login in a WWW-Authenticate header (RFC 9110, 11.6.1), of one kind the first."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for item in parse_http_list(header):
        words = item.partition("=")[0].split(maxsplit=1)
        if len(words) > 1 or "=" not in item:
            current = {}
            found.setdefault((words or [""])[0].lower(), current)
            item = item[len((words or [""])[0]) :].strip()  # noqa: PLW2901 - what is left of it
        name, _, value = item.partition("=")
        quoted = re.fullmatch(r'"(.*)"', value.strip(), re.DOTALL)
        current.setdefault(name.strip().lower(), re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else value.strip())
    return found
