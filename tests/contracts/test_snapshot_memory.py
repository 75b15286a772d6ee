"""The whole command against an API server with 5,000 objects: what it keeps in memory, and the order of the lines."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.contracts.servers import packed, reply, serving

OBJECTS, PAGE = 5_000, 500
# Bytes of one object: a route of a hundred rules. All of them in memory are more than what is allowed.
SIZE = 10_000
SERVICES = "/apis/networking.istio.io/v1/virtualservices"
MOST = 200 * 1024
PROJECT = """\
apiVersion: meshinstall.dev/v1
charts: {source: ./charts}
istio: {version: 1.31.0}
environments:
  dev: {clouds: {local: {}}}
"""
# The kernel's ru_maxrss would count what this process held before the program replaced it.
RUN = """
import pathlib, sys
from meshinstall.__main__ import main
try:
    main()
finally:
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    print("KiB", next(line.split()[1] for line in status if line.startswith("VmHWM")), file=sys.stderr)
"""


def page(start: int) -> dict[str, Any]:
    """Objects in an order that is not that of their names."""
    items = [
        {
            "metadata": {"name": f"route-{(number * 7919) % OBJECTS:05}", "namespace": "shop", "managedFields": [{"manager": "x" * 500}]},
            "spec": {"hosts": [f"{number}.shop.example"], "http": [{"name": f"{rule:02}-{'r' * 86}"} for rule in range(SIZE // 100)]},
        }
        for number in range(start, start + PAGE)
    ]
    more = str(start + PAGE) if start + PAGE < OBJECTS else ""
    return {"items": items, "metadata": {"continue": more}}


class Api(BaseHTTPRequestHandler):
    """A cluster of one kind of objects, and nothing else."""

    def do_GET(self) -> None:
        """Answer."""
        asked = urlsplit(self.path)
        query = parse_qs(asked.query)
        if asked.path == SERVICES:
            reply(self, 200, json.dumps(page(int(query.get("continue", ["0"])[0]))).encode())
        elif asked.path == "/apis/networking.istio.io/v1":
            reply(self, 200, b'{"resources": [{"name": "virtualservices"}]}')
        elif asked.path == "/version":
            reply(self, 200, b'{"gitVersion": "v1.36.0"}')
        elif "limit" in query:
            reply(self, 200, b'{"items": []}')
        else:
            reply(self, 404, b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project whose cluster is the simulated one."""
    (tmp_path / "charts").mkdir()
    for name in ("base", "istiod", "gateway"):
        (tmp_path / "charts" / f"{name}-1.31.0.tgz").write_bytes(packed(name, "1.31.0"))
    (tmp_path / "meshinstall.yaml").write_text(PROJECT)
    with serving(Api) as address:
        config = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://{address}"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        yield tmp_path


def test_5000_objects_are_never_all_in_memory(project: Path) -> None:
    flags = ("--env", "dev", "--kubeconfig", "kubeconfig", "--into", "kept", "--unsigned", "--no-verify")
    done = subprocess.run([sys.executable, "-c", RUN, "snapshot", *flags], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = (project / "kept/objects/virtualservices.networking.istio.io.jsonl").read_text().splitlines()
    names = [json.loads(row)["object"]["metadata"]["name"] for row in rows]
    assert names == [f"route-{number:05}" for number in range(OBJECTS)]
    kibibytes = int(done.stderr.rpartition("KiB ")[2])
    assert kibibytes < MOST, done.stderr
