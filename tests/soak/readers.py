"""The readers of foreign input, each with some good input to begin with and the words of its format."""

import gzip
import io
import json
import os
import re
import tarfile
import threading
import zlib
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio

from meshinstall.adapters import certificates
from meshinstall.adapters.charts.logins import Logins
from meshinstall.adapters.charts.store import ChartStore, read_chart
from meshinstall.adapters.helm import records
from meshinstall.adapters.kube import kubeconfig
from meshinstall.adapters.kube.client import KubeClient
from meshinstall.adapters.kube.kubeconfig import Kubeconfig
from meshinstall.config import lockfile, source
from meshinstall.config.documents import Settings, validate
from meshinstall.engine.mesh import client_dump, envoy, kube_objects
from meshinstall.engine.objects.release_manifest import objects
from meshinstall.errors import MeshinstallError, Problem
from meshinstall.model.release import ChartRef
from tests.contracts.servers import MANIFEST, QuietHandler, packed, reply

TESTS = Path(__file__).parents[1]
YAML_WORDS = (
    b"&a ",
    b"*a",
    b"<<: *a\n",
    b"<<: [*a, *a]\n",
    b"!!int ",
    b"!!binary x",
    b"%TAG !a! b\n",
    b"? ",
    b"- ",
    b"|\n",
    b"---\n",
    b": ",
    b"0x",
)
JSON_WORDS = (b'"', b"null", b"{}", b"[]", b",", b":", b"\\u0000", b"1e400", b"-0")


@dataclass(frozen=True)
class Reader:
    """A function that takes bytes, what to begin with, and words of the format."""

    read: Callable[[bytes], object]
    seeds: Sequence[bytes]
    words: Sequence[bytes] = ()


def _archive(folder: Path) -> Reader:
    """Archives, changed before they are packed as often as after it."""
    file = folder / "demo.tgz"

    def read(data: bytes) -> object:
        file.write_bytes(data if data.startswith(b"\x1f\x8b") else gzip.compress(data, compresslevel=1))
        return read_chart(file)

    plain = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w", format=form) as tar:
            for name in ("Chart.yaml", "values.yaml", f"files/profile-{'x' * (60 if form == tarfile.USTAR_FORMAT else 150)}.yaml"):
                info = tarfile.TarInfo(f"demo/{name}")
                content = b"name: demo\nversion: 1.0.0\n"
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        plain.append(data.getvalue())
    words = (
        b"ustar\x0000",
        b"ustar  \0",
        b"77777777777\0",
        b"\x80" + b"\xff" * 11,
        b"30 path=../../x\n",
        b"28 GNU.sparse.major=1\n",
        bytes(512),
    )
    return Reader(read, (*plain, packed()), words)


def _server(answer: Callable[[], bytes], kind: str = "application/json") -> str:
    """A server on loopback that answers everything with the same; gives its host:port."""

    class Handler(QuietHandler):
        def do(self) -> None:
            with suppress(ConnectionError):
                reply(self, 200, answer(), Content_Type=kind)

    for method in ("GET", "POST", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.do)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"


def _index(folder: Path) -> Reader:
    """index.yaml, through the repository that it is of."""
    held = [b""]
    host = _server(lambda: held[0])

    def read(data: bytes) -> object:
        held[0] = data
        store = ChartStore(folder / "cache", lambda _: None, 30)
        return anyio.run(store.resolve, ChartRef("demo", "1.0.0", f"http://{host}"))

    entry = {"name": "demo", "version": "1.0.0", "digest": "ab" * 32, "urls": ["demo-1.0.0.tgz"], "created": "2026-01-01T00:00:00Z"}
    block = b"apiVersion: v1\nentries:\n  demo:\n  - &a\n    version: 1.0.0\n    digest: abc\n    urls: [http://x/demo.tgz]\n  - *a\n"
    return Reader(read, (json.dumps({"apiVersion": "v1", "entries": {"demo": [entry, entry]}}).encode(), block), YAML_WORDS)


def _registry(folder: Path) -> Reader:
    """Manifests, tags and tokens of a registry."""
    held = [b""]
    host = _server(lambda: held[0])

    def read(data: bytes) -> object:
        held[0] = data
        store = ChartStore(folder / "cache", lambda _: None, 30)
        for version in ("1.0.0", "1"):
            with suppress(MeshinstallError):
                anyio.run(store.resolve, ChartRef("demo", version, f"oci://{host}/charts"))
        return None

    return Reader(read, (MANIFEST, b'{"name": "demo", "tags": ["1.0.0", "1.2.3_build", null]}', b'{"token": "t"}'), JSON_WORDS)


def _logins(folder: Path) -> Reader:
    """Files of logins."""
    file = folder / "config.json"
    os.environ.update(HELM_REGISTRY_CONFIG=str(file), DOCKER_CONFIG=str(folder / "none"), PATH=str(folder))

    def read(data: bytes) -> object:
        file.write_bytes(data)
        return Logins().find("registry.example.org", lambda: 5.0).basic

    entries = {"registry.example.org": {"auth": "bWU6eA=="}, "https://b/v1": {"username": "a", "password": "b", "identitytoken": "c"}}
    helpers = {"credHelpers": {"registry.example.org": "x"}, "credsStore": "y"}
    return Reader(read, (json.dumps({"auths": entries}).encode(), json.dumps({"auths": entries, **helpers}).encode()), JSON_WORDS)


KUBECONFIG = b"""apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: LS0tLS0K, proxy-url: "http://p:1"}}]
contexts: [{name: c, context: {cluster: c, user: u, namespace: n}}]
users:
- name: u
  user:
    client-certificate-data: LS0tLS0K
    token: t
    exec: {apiVersion: client.authentication.k8s.io/v1, command: x, args: [a], env: [{name: A, value: b}]}
"""


def _kubeconfigs(folder: Path) -> Reader:
    file = folder / "kubeconfig"

    def read(data: bytes) -> object:
        file.write_bytes(data)
        return kubeconfig.load(file)

    return Reader(read, (KUBECONFIG, json.dumps({"clusters": [], "users": None, "contexts": [{"name": "c"}]}).encode()), YAML_WORDS)


def _project(folder: Path) -> Reader:
    """meshinstall.yaml and meshinstall.lock."""
    file = folder / "meshinstall.yaml"

    def read(data: bytes) -> object:
        file.write_bytes(data)
        problems: list[Problem] = []
        document = source.read(file, "meshinstall.yaml", problems)
        assert all(problem.text for problem in problems)
        validate(document, Settings, problems)
        return lockfile.load(file)

    settings = b"apiVersion: meshinstall.dev/v1\nistio: {version: 1.31.0}\nenvironments:\n  dev: &a\n    profile: minimal\n  b: {<<: *a}\n"
    pins = lockfile.dump(lockfile.Lock((ChartRef("base", "1.31.0", "oci://r/charts", f"sha256:{'a' * 64}"),)))
    return Reader(read, (settings, pins.encode()), YAML_WORDS)


def _certificates(_: Path) -> Reader:
    """Certificates in PEM."""

    def read(data: bytes) -> None:
        for reading in (certificates.read_certificates, certificates.read_roots, lambda pem: certificates.read_chain(pem, ROOTS)):
            with suppress(MeshinstallError):
                reading(data)

    der = re.sub(rb"-----[^-]+-----|\s", b"", ROOTS)
    return Reader(read, (ROOTS, ROOTS * 3), (b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n", der[:80], b"MII", b"=="))


ROOTS = (TESTS / "unit/engine/mesh/foreign_root.pem").read_bytes()


def _envoy(_: Path) -> Reader:
    """Dumps of servers' and clients' proxies."""
    recorded = json.loads((TESTS / "unit/engine/mesh/client_dump.json").read_text())
    seeds = [(TESTS / "unit/engine/mesh/envoy_dump.json").read_bytes(), *(json.dumps(part).encode() for part in recorded.values())]
    readers: tuple[Callable[[bytes], object], ...] = (
        *(envoy.read_dump, client_dump.read_names, client_dump.read_passing_on, client_dump.read_addresses),
        lambda data: client_dump.read_clusters(data, data, whole=True),
    )

    def read(data: bytes) -> None:
        for reading in readers:
            with suppress(MeshinstallError):
                reading(data)

    return Reader(read, seeds, JSON_WORDS)


def _records(_: Path) -> Reader:
    """Helm's records, changed inside, and the Secrets that hold them."""
    secrets = [json.loads(file.read_text()) for file in sorted((TESTS / "contracts/records").glob("*.json"))]
    secrets = [one for found in secrets for one in (found if isinstance(found, list) else [found])]
    bodies = [json.dumps(records._unpack(one)).encode() for one in secrets]  # noqa: SLF001 - the inside of a record

    def read(data: bytes) -> None:
        for packed_body in (zlib.compress(data, 1, wbits=31), data):
            text = b64encode(b64encode(packed_body)).decode()
            changed = {**secrets[0], "data": {"release": text}}
            for reading in (records.decode, partial(records.mark_failed, reason="x"), lambda one: records.newest([one])):
                with suppress(MeshinstallError):
                    reading(changed)
            with suppress(MeshinstallError):
                objects(records.decode(changed))

    return Reader(read, bodies, (*JSON_WORDS, *(word.replace(b"\n", b"\\n") for word in YAML_WORDS)))


def _api(_: Path) -> Reader:
    """Answers of the API server, and the objects in them."""
    held = [b""]
    client = KubeClient(Kubeconfig("fuzz", "fuzz", f"http://{_server(lambda: held[0])}", None), None)

    async def collect() -> list[Any]:
        return [item async for item in client.list("/api/v1/pods")]

    def read(data: bytes) -> None:
        held[0] = data
        with suppress(MeshinstallError):
            anyio.run(client.get, "/api/v1/namespaces/a/pods/b")
        with suppress(MeshinstallError):
            for item in anyio.run(collect):
                for reading in _OBJECTS:
                    # By their contract: for what does not have the shape of the API.
                    with suppress(ValueError):
                        reading(item)

    item = {
        "metadata": {"name": "n", "namespace": "a", "labels": {"a": "b"}, "creationTimestamp": "2026-01-01T00:00:00Z", "uid": "u"},
        "spec": {
            "type": "ClusterIP",
            "selector": {"matchLabels": {"a": "b"}},
            "ports": [{"port": 80, "targetPort": "http"}],
            "mtls": {"mode": "STRICT"},
            "portLevelMtls": {"80": {"mode": "DISABLE"}},
            "host": "x",
            "hosts": ["x"],
            "trafficPolicy": {"tls": {"mode": "SIMPLE"}},
            "template": {"spec": {"containers": [{"name": "discovery", "image": "a/b:1.31.0"}]}},
        },
        "data": {"mesh": "trustDomain: a\nrootNamespace: b"},
        "endpoints": [{"addresses": ["192.0.2.1"]}],
    }
    seeds = (json.dumps({"items": [item, item], "metadata": {"continue": ""}}).encode(), json.dumps(item).encode())
    return Reader(read, seeds, JSON_WORDS)


_OBJECTS: tuple[Callable[[Any], object], ...] = (
    *(kube_objects.namespace, kube_objects.peer_policy, kube_objects.client_rule, kube_objects.external_service, kube_objects.service),
    *(kube_objects.endpoint_slice, kube_objects.istiod, kube_objects.mesh_settings, kube_objects.checked_settings),
)

READERS: dict[str, Callable[[Path], Reader]] = {
    "archives": _archive,
    "indexes": _index,
    "registries": _registry,
    "logins": _logins,
    "kubeconfigs": _kubeconfigs,
    "projects": _project,
    "certificates": _certificates,
    "envoy-dumps": _envoy,
    "helm-records": _records,
    "api-answers": _api,
}
