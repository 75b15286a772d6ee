"""What is refused of a source, and what it is never told."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from meshinstall.errors import ChartError
from meshinstall.model.release import ChartRef
from meshinstall.ports import Charts
from tests.contracts.servers import ARCHIVE, Respond, chart, registry, reply

pytestmark = pytest.mark.anyio

Server = Callable[[Respond], str]


async def failure(store: Charts, found: ChartRef) -> ChartError:
    with pytest.raises(ChartError) as caught:
        await store.fetch(found)
    return caught.value


async def test_a_redirect_to_plain_http_is_refused(store: Charts, server: Server) -> None:
    error = await failure(
        store, chart(server(registry(lambda request: reply(request, 307, Location="http://example.invalid/blob?sig=secret"))))
    )

    assert "redirects to http://example.invalid/blob, which is not https" in error.message


@pytest.mark.parametrize("rest", ["?token=hunter2", "#token=hunter2", "#hunter2?a"])
async def test_where_a_redirect_leads_is_told_without_what_may_be_a_secret(store: Charts, server: Server, rest: str) -> None:
    target = f"http://ann:hunter2@example.invalid/{'x' * 3000}{rest}"
    error = await failure(store, chart(server(registry(lambda request: reply(request, 302, Location=target)))))
    assert "redirects to http://example.invalid/xxx" in error.message
    assert "hunter2" not in f"{error.message}{error.hint}"
    assert len(error.message) < 1500


async def test_a_redirect_is_followed_without_the_login(
    store: Charts, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def storage(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.headers.get("Authorization"))
        reply(request, 200, ARCHIVE)

    elsewhere = server(storage)

    def private(request: BaseHTTPRequestHandler) -> None:
        if not request.headers.get("Authorization"):
            reply(request, 401, WWW_Authenticate='Basic realm="r"')
        else:
            registry(lambda asked: reply(asked, 307, Location=f"http://{elsewhere}/blob"))(request)

    host = server(private)
    login = tmp_path / "auth.json"
    login.write_text(json.dumps({"auths": {host: {"username": "me", "password": "pw"}}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(login))

    assert (await store.fetch(chart(host))).read_bytes() == ARCHIVE
    assert seen == [None]


async def test_redirects_without_end_are_an_error(store: Charts, server: Server) -> None:
    error = await failure(store, chart(server(lambda request: reply(request, 302, Location=request.path))))

    assert "more than 5 redirects" in error.message


async def test_plain_http_is_for_this_machine_only(store: Charts) -> None:
    error = await failure(store, ChartRef("demo", "1.0.0", "http://charts.example.org"))

    assert error.message == "the chart source http://charts.example.org is neither oci://, https:// nor a folder"


async def test_a_login_in_the_address_is_refused_and_not_repeated(store: Charts) -> None:
    error = await failure(store, ChartRef("demo", "1.0.0", "https://me:hunter2@charts.example.org/x"))

    assert error.message == "the chart source https://charts.example.org/x contains a login"


async def test_a_name_that_is_a_path_is_refused(store: Charts, tmp_path: Path) -> None:
    error = await failure(store, ChartRef("../demo", "1.0.0", str(tmp_path)))

    assert "'../demo'" in error.message


async def test_a_repository_that_sends_the_chart_elsewhere_in_plain_http_is_refused(store: Charts, server: Server) -> None:
    index = b"entries: {demo: [{version: 1.0.0, urls: ['http://example.invalid/demo.tgz']}]}"
    error = await failure(store, ChartRef("demo", "1.0.0", f"http://{server(lambda request: reply(request, 200, index))}"))

    assert error.message.endswith("lists chart demo at http://example.invalid/demo.tgz, which is not https")
