"""What goes wrong between a source and us: each ends, in bounded time, in one sentence that names the address."""

import hashlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import anyio
import pytest

from meshinstall.adapters.charts.store import ChartStore
from meshinstall.errors import ChartError
from meshinstall.model.release import ChartRef
from meshinstall.ports import Charts
from tests.contracts.servers import ARCHIVE, DIGEST, MANIFEST, Respond, chart, packed, registry, reply

pytestmark = pytest.mark.anyio

Server = Callable[[Respond], str]


async def failure(store: Charts, found: ChartRef) -> ChartError:
    with pytest.raises(ChartError) as caught:
        await store.fetch(found)
    return caught.value


async def test_the_chart_of_these_tests_is_a_good_one(store: Charts, server: Server) -> None:
    archive = await store.fetch(chart(server(registry(lambda request: reply(request, 200, ARCHIVE)))))

    assert archive.read_bytes() == ARCHIVE


async def test_a_blob_that_is_not_the_manifests_is_a_wrong_digest(store: Charts, server: Server, tmp_path: Path) -> None:
    other = packed(version="6.6.6")
    host = server(registry(lambda request: reply(request, 200, other)))

    error = await failure(store, chart(host))

    came = hashlib.sha256(other).hexdigest()
    assert error.message == f"chart demo 1.0.0: expected {DIGEST}, but oci://{host}/charts has sha256:{came}"
    assert list((tmp_path / "cache").iterdir()) == []


async def test_what_is_not_the_pinned_chart_is_not_even_downloaded(store: Charts, server: Server) -> None:
    asked = []
    host = server(registry(lambda request: asked.append(request.path)))

    error = await failure(store, replace(chart(host), digest=f"sha256:{'0' * 64}"))

    assert f"but oci://{host}/charts has {DIGEST}" in error.message
    assert asked == []


async def test_a_manifest_that_is_not_what_the_registry_announces_is_corrupt(store: Charts, server: Server) -> None:
    announced = f"sha256:{'1' * 64}"

    error = await failure(store, chart(server(lambda request: reply(request, 200, MANIFEST, Docker_Content_Digest=announced))))

    assert f"is corrupt: the registry states {announced}" in error.message


async def test_a_truncated_download_is_tried_three_times(store: Charts, server: Server, said: list[str]) -> None:
    tries = []

    def truncated(request: BaseHTTPRequestHandler) -> None:
        tries.append(request.path)
        request.send_response(200)
        request.send_header("Content-Length", str(len(ARCHIVE)))
        request.end_headers()
        request.wfile.write(ARCHIVE[:20])

    host = server(registry(truncated))
    error = await failure(store, chart(host))

    assert (
        error.message
        == f"http://{host}/v2/charts/demo/blobs/{DIGEST} closed the connection after 20 bytes; {len(ARCHIVE) - 20} are missing"
    )
    assert len(tries) == 3
    assert [line.rpartition("; ")[2] for line in said] == ["trying again in 0.3 s", "trying again in 1 s"]


async def test_a_second_try_starts_the_file_again(store: Charts, server: Server) -> None:
    tries = []

    def truncated_once(request: BaseHTTPRequestHandler) -> None:
        tries.append(request.path)
        if len(tries) > 1:
            reply(request, 200, ARCHIVE)
            return
        request.send_response(200)
        request.send_header("Content-Length", "100000")
        request.end_headers()
        request.wfile.write(b"." * (len(ARCHIVE) + 500))

    archive = await store.fetch(chart(server(registry(truncated_once))))

    assert archive.read_bytes() == ARCHIVE


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_overloaded_server_is_asked_again_after_the_time_it_names(
    store: Charts, server: Server, said: list[str], status: int
) -> None:
    tries = []

    def busy_once(request: BaseHTTPRequestHandler) -> None:
        tries.append(request.path)
        if len(tries) > 1:
            reply(request, 200, ARCHIVE)
        else:
            reply(request, status, Retry_After="0")

    host = server(registry(busy_once))
    await store.fetch(chart(host))

    assert said == [f"http://{host}/v2/charts/demo/blobs/{DIGEST} answered {status}; trying again in 0 s"]


async def test_a_server_that_stays_broken_is_an_error(store: Charts, server: Server) -> None:
    error = await failure(store, chart(server(lambda request: reply(request, 502, Retry_After="0"))))

    assert "answered 502" in error.message


async def test_a_connection_that_is_cut_is_tried_again(store: Charts, server: Server) -> None:
    tries = []

    def cut_once(request: BaseHTTPRequestHandler) -> None:
        tries.append(request.path)
        if len(tries) > 1:
            reply(request, 200, ARCHIVE)
        else:
            request.connection.shutdown(socket.SHUT_RDWR)

    assert (await store.fetch(chart(server(registry(cut_once))))).read_bytes() == ARCHIVE


async def test_nobody_at_the_address(store: Charts) -> None:
    error = await failure(store, chart("localhost:1"))

    assert error.message.startswith("http://localhost:1/v2/charts/demo/manifests/1.0.0 cannot be reached (")
    assert "Connection refused" in error.message
    assert "--charts DIR" in error.hint


async def test_a_host_name_that_does_not_exist(store: Charts) -> None:
    error = await failure(store, ChartRef("demo", "1.0.0", "oci://registry.invalid/charts"))

    assert error.message == "https://registry.invalid/v2/charts/demo/manifests/1.0.0 has a host name that cannot be resolved"


async def test_a_server_that_says_nothing_ends_with_the_deadline(tmp_path: Path, server: Server, said: list[str]) -> None:
    done = threading.Event()
    host = server(lambda _: done.wait(20))

    started = time.monotonic()
    error = await failure(ChartStore(tmp_path, said.append, seconds=0.3), chart(host))
    done.set()

    assert time.monotonic() - started < 3
    assert error.message == f"http://{host}/v2/charts/demo/manifests/1.0.0 does not answer in time"


async def test_a_server_that_drips_ends_with_the_deadline(tmp_path: Path, server: Server, said: list[str]) -> None:
    done = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        while not done.wait(0.02):
            request.wfile.write(b".")

    host = server(registry(drip))
    error = await failure(ChartStore(tmp_path, said.append, seconds=0.5), chart(host))
    done.set()

    assert error.message == f"oci://{host}/charts took longer than 0.5 s"


async def test_a_server_that_drips_its_headers_ends_soon_after_the_deadline(tmp_path: Path, server: Server, said: list[str]) -> None:
    done = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not done.wait(0.02):
            request.wfile.write(b".")

    host = server(drip)
    error = await failure(ChartStore(tmp_path, said.append, seconds=0.5), chart(host))
    done.set()

    assert error.message == f"oci://{host}/charts took longer than 0.5 s"


async def test_cancelling_does_not_wait_for_the_server(store: Charts, server: Server) -> None:
    done = threading.Event()
    host = server(lambda _: done.wait(20))

    started = time.monotonic()
    with anyio.move_on_after(0.2):
        await store.fetch(chart(host))
    done.set()

    assert time.monotonic() - started < 2


async def test_a_login_page_instead_of_a_registry(store: Charts, server: Server) -> None:
    error = await failure(store, chart(server(lambda request: reply(request, 200, b"<html>", Content_Type="text/html"))))

    assert error.message.endswith("/v2/charts/demo/manifests/1.0.0 answered text/html, not JSON")


async def test_a_login_page_instead_of_a_repository(store: Charts, server: Server) -> None:
    host = server(lambda request: reply(request, 200, b"<html><body>Hello: <b>you</b></body></html>", Content_Type="text/html"))

    error = await failure(store, ChartRef("demo", "1.0.0", f"http://{host}"))

    assert error.message.startswith(f"http://{host}/index.yaml is not the index of a Helm repository: ")


async def test_a_hundred_megabytes_are_not_read(store: Charts, server: Server) -> None:
    sent = []

    def flood(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(100 * 1024**2))
        request.end_headers()
        block = b"\0" * 1024**2
        for _ in range(100):
            try:
                request.wfile.write(block)
            except OSError:
                break
            sent.append(1)

    error = await failure(store, chart(server(registry(flood))))

    assert error.message.endswith("sends more than 20 MiB")
    assert len(sent) < 40


async def test_a_cache_that_cannot_be_written(server: Server, tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")

    error = await failure(
        ChartStore(tmp_path / "cache", said.append), chart(server(registry(lambda request: reply(request, 200, ARCHIVE))))
    )

    assert error.message == f"the chart cache {tmp_path}/cache cannot be used: File exists"


@pytest.mark.parametrize("tags", ["7", '{"1.0.0": 1}', "[7, null]", "null", '"1.0.0"'])
async def test_tags_that_are_no_list_of_texts_are_no_versions(store: Charts, server: Server, tags: str) -> None:
    host = server(lambda request: reply(request, 200, f'{{"tags": {tags}}}'.encode()))

    with pytest.raises(ChartError, match="there is no chart demo at"):
        await store.resolve(replace(chart(host), version="1"))
