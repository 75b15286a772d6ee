"""Logins to a registry: tokens and basic, from the files that other tools write."""

import base64
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from meshinstall.errors import ChartError
from meshinstall.ports import Charts
from tests.contracts.servers import DIGEST, MANIFEST, Respond, chart, reply

pytestmark = pytest.mark.anyio

Server = Callable[[Respond], str]
Logins = Callable[[str, dict[str, dict[str, str]]], None]
LOGIN = f"Basic {base64.b64encode(b'me:hunter2').decode()}"


@pytest.fixture
def logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Logins:
    """Writes a file of logins and names it in a variable of the environment."""

    def write(variable: str, auths: dict[str, dict[str, str]]) -> None:
        file = tmp_path / "auth.json"
        file.write_text(json.dumps({"auths": auths}))
        monkeypatch.setenv(variable, str(file))

    return write


def token_registry(asked: list[dict[str, list[str]]], *, private: bool) -> Respond:
    """A registry that wants a token of its own token service, as Docker Hub and the clouds' registries do."""

    def respond(request: BaseHTTPRequestHandler) -> None:
        host = request.headers["Host"]
        url = urlsplit(request.path)
        if url.path == "/token":
            asked.append(parse_qs(url.query))
            allowed = not private or request.headers.get("Authorization") == LOGIN
            reply(request, 200 if allowed else 401, json.dumps({"token": "t-1"}).encode() if allowed else b"")
        elif request.headers.get("Authorization") == "Bearer t-1":
            reply(request, 200, MANIFEST)
        else:
            scope = "repository:charts/demo:pull"
            reply(request, 401, WWW_Authenticate=f'Bearer realm="http://{host}/token",service="{host}",scope="{scope}"')

    return respond


def basic_registry(request: BaseHTTPRequestHandler) -> None:
    """A registry that wants a name and a password."""
    if request.headers.get("Authorization") == LOGIN:
        reply(request, 200, MANIFEST)
    else:
        reply(request, 401, WWW_Authenticate='Basic realm="charts"')


async def test_a_public_registry_gives_a_token_to_anybody(store: Charts, server: Server) -> None:
    asked: list[dict[str, list[str]]] = []
    host = server(token_registry(asked, private=False))

    assert (await store.resolve(chart(host))).digest == DIGEST
    assert asked == [{"service": [host], "scope": ["repository:charts/demo:pull"]}]


@pytest.mark.parametrize("entry", [{"auth": LOGIN.removeprefix("Basic ")}, {"username": "me", "password": "hunter2"}])
@pytest.mark.parametrize("kind", [token_registry([], private=True), basic_registry], ids=["token", "basic"])
async def test_a_stored_login_is_used(store: Charts, server: Server, logins: Logins, kind: Respond, entry: dict[str, str]) -> None:
    host = server(kind)
    logins("REGISTRY_AUTH_FILE", {"other.example.org": {"auth": "eDp5"}, host: entry})

    assert (await store.resolve(chart(host))).digest == DIGEST


async def test_the_file_of_helm_registry_login_is_read(store: Charts, server: Server, logins: Logins) -> None:
    host = server(basic_registry)
    logins("HELM_REGISTRY_CONFIG", {host: {"auth": LOGIN.removeprefix("Basic ")}})

    assert (await store.resolve(chart(host))).digest == DIGEST


async def test_docker_s_own_file_is_read_and_its_keys_may_be_urls(
    store: Charts, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = server(basic_registry)
    (tmp_path / "config.json").write_text(json.dumps({"auths": {f"https://{host}/v1/": {"auth": LOGIN.removeprefix("Basic ")}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    assert (await store.resolve(chart(host))).digest == DIGEST


@pytest.mark.parametrize("kind", [token_registry([], private=True), basic_registry], ids=["token", "basic"])
async def test_without_a_login_the_error_says_which_host_and_how_to_log_in(store: Charts, server: Server, kind: Respond) -> None:
    host = server(kind)

    with pytest.raises(ChartError) as caught:
        await store.resolve(chart(host))

    assert caught.value.message == (
        f"http://{host}/v2/charts/demo/manifests/1.0.0 answered 401: the registry needs a login with read permission"
    )
    assert f"helm registry login {host}" in caught.value.hint


async def test_a_token_service_in_plain_http_elsewhere_never_sees_the_login(store: Charts, server: Server) -> None:
    host = server(lambda request: reply(request, 401, WWW_Authenticate='Bearer realm="http://example.invalid/token"'))

    with pytest.raises(ChartError, match=r"not supported: 'Bearer' with realm 'http://example.invalid/token'"):
        await store.resolve(chart(host))


async def test_no_error_repeats_the_password(store: Charts, server: Server, logins: Logins) -> None:
    host = server(lambda request: reply(request, 403))
    logins("REGISTRY_AUTH_FILE", {host: {"username": "me", "password": "hunter2"}})

    with pytest.raises(ChartError) as caught:
        await store.resolve(chart(host))

    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"
