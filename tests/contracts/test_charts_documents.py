"""What a source of charts says beside the charts themselves is as bounded as they are: every document, in bytes and in values."""

import gzip
import io
import json
import tarfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from meshinstall.adapters.charts.archive import read_chart
from meshinstall.adapters.charts.store import ChartStore
from meshinstall.errors import ChartError
from meshinstall.model.release import ChartRef
from meshinstall.ports import Charts
from tests.contracts.servers import Respond, reply

pytestmark = pytest.mark.anyio

Server = Callable[[Respond], str]
MIB = 1024**2


class Flood:
    """Sends a document without end, and keeps how many MiB of it somebody took."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.end_headers()
        request.close_connection = True
        for _ in range(100):
            try:
                request.wfile.write(b" " * MIB)
            except OSError:
                break
            self.sent += 1


async def failure(store: Charts, source: str, version: str = "1.0") -> ChartError:
    with pytest.raises(ChartError) as caught:
        await store.resolve(ChartRef("demo", version, source))
    return caught.value


# Where a source can flood: the path that floods, how the source is written, and the MiB that are read of it.
DOCUMENTS = {
    "index": ("/index.yaml", "http://{}", 20),
    "tags": ("/tags/list", "oci://{}/charts", 4),
    "manifest": ("/manifests/", "oci://{}/charts", 4),
    "token": ("/token", "oci://{}/charts", 1),
}


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_document_without_end_is_read_no_further_than_its_bound(store: Charts, server: Server, name: str) -> None:
    path, source, most = DOCUMENTS[name]
    flood, hosts = Flood(), list[str]()

    def respond(request: BaseHTTPRequestHandler) -> None:
        if path in request.path:
            flood(request)
        elif name == "token":
            reply(request, 401, WWW_Authenticate=f'Bearer realm="http://{hosts[0]}/token"')
        else:
            reply(request, 200, json.dumps({"tags": ["1.0.0"]}).encode(), Content_Type="application/json")

    hosts.append(server(respond))
    error = await failure(store, source.format(hosts[0]))
    assert error.message.endswith(f"sends more than {most} MiB")
    # What is sent and not yet read is in the buffers of the kernel.
    assert flood.sent < most + 20


def chain(first: str, link: str) -> str:
    """Each line holds the one before several times."""
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{number}: &a{number} {link.format(', '.join([f'*a{number - 1}'] * 8))}" for number in range(1, 30)]
    return "\n".join(lines)


BOMBS = {
    "merge keys": chain("{x: 1}", "{{<<: [{}]}}"),
    "aliases": chain("[x, x]", "[{}]"),
    "levels": f"a: {'[' * 5000}{']' * 5000}",
    "tags": "a: !!python/object/apply:os.system [true]",
}


@pytest.mark.parametrize("name", BOMBS)
async def test_an_index_that_unfolds_is_refused_at_once(store: Charts, server: Server, name: str) -> None:
    host = server(lambda request: reply(request, 200, f"entries: {{}}\n{BOMBS[name]}\n".encode()))
    error = await failure(store, f"http://{host}")
    assert error.message.startswith(f"http://{host}/index.yaml is not the index of a Helm repository: ")


@pytest.mark.parametrize("name", BOMBS)
def test_a_chart_yaml_that_unfolds_is_refused_at_once(tmp_path: Path, name: str) -> None:
    content = f"name: demo\nversion: 1.0.0\n{BOMBS[name]}\n".encode()
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        member = tarfile.TarInfo("demo/Chart.yaml")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    archive = tmp_path / "demo-1.0.0.tgz"
    archive.write_bytes(gzip.compress(data.getvalue()))
    with pytest.raises(ChartError, match=r"has a Chart\.yaml that is not YAML"):
        read_chart(archive)


async def test_who_gives_up_takes_the_connection_with_him(server: Server, tmp_path: Path) -> None:
    """A thread that waits for a header that never ends would wait as long as the server likes."""
    gone = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        try:
            while not gone.is_set():
                request.wfile.write(b"H")
                time.sleep(0.05)
        except OSError:
            gone.set()

    host = server(drip)
    try:
        error = await failure(ChartStore(tmp_path / "cache", print, seconds=0.3), f"http://{host}")
        assert "took longer than 0.3 s" in error.message
        assert await anyio.to_thread.run_sync(gone.wait, 10)
    finally:
        gone.set()
