"""The client of the Kubernetes API against a server that answers well, badly or not at all."""

import json
import ssl
import stat
import sys
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from meshinstall.adapters.kube import patience
from meshinstall.adapters.kube.client import KubeClient, tls_context
from meshinstall.adapters.kube.kubeconfig import ExecPlugin, Kubeconfig
from meshinstall.adapters.kube.tokens import source_of
from meshinstall.errors import ClusterError, ConflictError, ForbiddenError
from testbed.clouds.eks_sts import proxy
from tests.contracts.servers import delays_small_packets, reply
from tests.unit.adapters.conftest import ApiServer, Reached, shake

pytestmark = pytest.mark.anyio

TOKEN = "t"  # noqa: S105 - opens nothing
POD = "/api/v1/namespaces/a/pods/b"


def connect(config: Kubeconfig) -> KubeClient:
    return KubeClient(config, source_of(config))


def answer(request: BaseHTTPRequestHandler, status: int, body: object) -> None:
    reply(request, status, json.dumps(body).encode())


def status(code: int, message: str) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda request: answer(request, code, {"kind": "Status", "message": message})


async def test_an_object_is_its_json(api: ApiServer, reached: Reached) -> None:
    api.respond = lambda request: answer(request, 200, {"kind": "Pod"})
    assert await connect(reached(token=TOKEN)).get(POD) == {"kind": "Pod"}
    assert api.requests == [("GET", POD, f"Bearer {TOKEN}")]


async def test_what_is_not_there_is_none_and_is_gone_already(api: ApiServer, reached: Reached) -> None:
    api.respond = status(404, "not found")
    client = connect(reached())
    assert await client.get(POD) is None
    await client.delete(POD)
    assert [item async for item in client.list("/apis/example.com/v1/widgets")] == []
    with pytest.raises(ClusterError, match="not found"):
        await client.patch(POD, {})


@pytest.mark.parametrize(("code", "kind"), [(403, ForbiddenError), (409, ConflictError), (422, ClusterError), (500, ClusterError)])
async def test_a_refusal_is_told_in_the_servers_words(api: ApiServer, reached: Reached, code: int, kind: type[ClusterError]) -> None:
    api.respond = status(code, "pods is what the server said")
    with pytest.raises(ClusterError, match="pods is what the server said") as caught:
        await connect(reached()).create("/api/v1/namespaces/a/pods", {})
    assert type(caught.value) is kind


async def test_a_collection_comes_page_by_page(api: ApiServer, reached: Reached) -> None:
    def pages(request: BaseHTTPRequestHandler) -> None:
        query = parse_qs(urlsplit(request.path).query)
        number = int(query.get("continue", ["0"])[0])
        assert query["labelSelector"] == ["app=x"]
        assert query["limit"] == ["500"]
        answer(request, 200, {"metadata": {"continue": str(number + 1) if number < 2 else ""}, "items": [{"page": number}]})

    api.respond = pages
    assert [item async for item in connect(reached()).list("/api/v1/pods", labels="app=x")] == [{"page": number} for number in range(3)]


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ({"items": 5}, "has items that are not objects"),
        ({"items": [{}, "x"]}, "has items that are not objects"),
        ({"items": {"a": {}}}, "has items that are not objects"),
        ({"items": [], "metadata": {"continue": "the-same"}}, "does not lead to a next page"),
        ({"items": [], "metadata": {"continue": [1]}}, "does not lead to a next page"),
    ],
)
async def test_a_list_that_is_none_or_never_ends_is_an_error(api: ApiServer, reached: Reached, page: object, problem: str) -> None:
    api.respond = lambda request: answer(request, 200, page)
    with pytest.raises(ClusterError, match=f"the answer to a list of /api/v1/pods {problem}"):
        [one async for one in connect(reached()).list("/api/v1/pods")]
    assert len(api.requests) <= 2


async def test_apply_names_its_manager_and_forces_only_when_asked(api: ApiServer, reached: Reached) -> None:
    api.respond = lambda request: answer(request, 200, {})
    client = connect(reached())
    await client.apply(POD, {}, dry_run=True)
    await client.apply(POD, {}, force=True)
    assert [path for _, path, _ in api.requests] == [
        f"{POD}?fieldManager=meshinstall&force=false&dryRun=All",
        f"{POD}?fieldManager=meshinstall&force=true",
    ]


@pytest.fixture
def plugin(tmp_path: Path) -> ExecPlugin:
    """A credential plugin whose tokens are counted: t1, t2, ..."""
    script = tmp_path / "login"
    script.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib\n"
        f"count = pathlib.Path({str(tmp_path / 'count')!r})\n"
        "number = int(count.read_text()) + 1 if count.exists() else 1\n"
        "count.write_text(str(number))\n"
        "status = {'token': f't{number}'}\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential', 'status': status}))\n"
    )
    script.chmod(stat.S_IRWXU)
    return ExecPlugin("client.authentication.k8s.io/v1", str(script), (), {})


async def test_a_token_that_is_refused_is_renewed_once(api: ApiServer, reached: Reached, plugin: ExecPlugin) -> None:
    api.respond = lambda request: answer(
        request, 200 if request.headers["Authorization"] == "Bearer t2" else 401, {"message": "Unauthorized"}
    )
    assert await connect(reached(plugin=plugin)).get(POD) == {"message": "Unauthorized"}
    assert [token for _, _, token in api.requests] == ["Bearer t1", "Bearer t2"]


async def test_a_token_that_is_refused_again_ends_it(api: ApiServer, reached: Reached, plugin: ExecPlugin) -> None:
    api.respond = status(401, "Unauthorized")
    with pytest.raises(ClusterError, match="does not accept the credentials of context 'dev': Unauthorized") as caught:
        await connect(reached(plugin=plugin)).get(POD)
    assert "log in again" in caught.value.hint
    assert len(api.requests) == 2


async def test_a_body_that_is_too_large_is_refused(api: ApiServer, reached: Reached) -> None:
    piece = b" " * 2**20

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(100):
            request.wfile.write(piece)

    api.respond = endless
    with pytest.raises(ClusterError, match="sent more than 64 MiB for GET"):
        await connect(reached()).get(POD)


async def test_html_of_a_proxy_is_shown_in_part(api: ApiServer, reached: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LONGEST", 0)
    api.respond = lambda request: reply(request, 502, b"<html>Bad gateway" + b"x" * 1000)
    with pytest.raises(ClusterError, match="Bad gateway") as caught:
        await connect(reached()).get(POD)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("body", [b"<html>Please log in", b"[" * 200_000], ids=["html", "brackets without end"])
async def test_what_is_no_object_with_status_200_is_an_error(api: ApiServer, reached: Reached, body: bytes) -> None:
    api.respond = lambda request: reply(request, 200, body)
    with pytest.raises(ClusterError):
        await connect(reached()).get(POD)


async def test_a_connection_that_breaks_names_the_server(api: ApiServer, reached: Reached) -> None:
    api.respond = lambda _: None
    with pytest.raises(ClusterError, match=r"the API server https://127\.0\.0\.1:\d+ does not answer: "):
        await connect(reached()).get(POD)


async def test_a_body_that_ends_early_is_no_answer(api: ApiServer, reached: Reached) -> None:
    def short(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100")
        request.end_headers()
        request.wfile.write(b'{"kind": ')

    api.respond = short
    with pytest.raises(ClusterError, match="does not answer"):
        await connect(reached()).get(POD)


async def test_nobody_at_the_address(reached: Reached) -> None:
    with pytest.raises(ClusterError, match="Connection refused") as caught:
        await connect(reached(server="https://127.0.0.1:1")).get(POD)
    assert caught.value.hint == "check that the cluster is running and that this machine can reach its network"


async def test_a_server_that_hangs_is_left_at_the_callers_deadline(api: ApiServer, reached: Reached) -> None:
    done = threading.Event()
    api.respond = lambda _: done.wait()
    try:
        with pytest.raises(TimeoutError), anyio.fail_after(0.2):
            await connect(reached()).get(POD)
    finally:
        done.set()


async def test_a_server_of_another_authority_is_not_trusted(reached: Reached) -> None:
    with pytest.raises(ClusterError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        await connect(reached(authority=trustme.CA().cert_pem.bytes())).get(POD)
    assert "fetch the kubeconfig again" in caught.value.hint


async def test_a_server_of_another_name_is_not_trusted_unless_the_context_says_so(api: ApiServer, reached: Reached) -> None:
    api.respond = lambda request: answer(request, 200, {})
    with pytest.raises(ClusterError, match="hostname 'elsewhere' doesn't match"):
        await connect(reached(server_name="elsewhere")).get(POD)
    assert await connect(reached(server_name="localhost")).get(POD) == {}


def without_key_identifiers() -> tuple[bytes, bytes]:
    """An authority with basic constraints alone, as EKS makes them, and a server's certificate and key, both in PEM."""
    now = datetime.now(UTC)

    def made(name: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> bytes:
        names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in (name, "kubernetes")]
        builder = x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    root, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    pem = own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made("kubernetes", root, root, x509.BasicConstraints(ca=True, path_length=None)), made("server", own, root, address) + pem


def test_an_authority_without_key_identifiers_is_trusted_where_python_is_strict(
    reached: Reached, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.13 and later ask for them by default."""
    default = ssl.create_default_context

    def strict(**given: Any) -> ssl.SSLContext:
        context = default(**given)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    root, pair = without_key_identifiers()
    file = tmp_path / "pair.pem"
    file.write_bytes(pair)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    shake(tls_context(reached(authority=root)), server)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(tls_context(reached(authority=trustme.CA().cert_pem.bytes())), server)


async def test_behind_a_proxy_a_body_does_not_wait_for_the_acknowledgement_of_its_headers(api: ApiServer, reached: Reached) -> None:
    delayed = []

    def respond(request: BaseHTTPRequestHandler) -> None:
        delayed.extend(delays_small_packets(int(url.rpartition(":")[2])))
        answer(request, 200, {})

    api.respond = respond
    with proxy(api.server_port) as url:
        await connect(reached(proxy=url)).create("/api/v1/namespaces", {"kind": "Namespace"})
    assert delayed == [False]


async def test_a_redirect_is_not_followed(api: ApiServer, reached: Reached) -> None:
    """The token would go elsewhere."""
    api.respond = lambda request: reply(request, 302, Location="https://elsewhere.example/")
    with pytest.raises(ClusterError, match="answers with a redirect to https://elsewhere"):
        await connect(reached(token=TOKEN)).get(POD)
    assert len(api.requests) == 1


async def test_a_client_certificate_is_shown_and_its_key_is_in_no_file(
    api: ApiServer, reached: Reached, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    seen = []

    def respond(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.connection.getpeercert() != {})
        answer(request, 200, {})

    api.respond = respond
    pair = authority.issue_cert("ann@example.com")
    client = connect(reached(certificate=pair.cert_chain_pems[0].bytes(), key=pair.private_key_pem.bytes()))
    await client.get(POD)
    assert seen == [True]
    assert [name async for name in anyio.Path(tmp_path).iterdir()] == []


def test_a_key_that_is_none_says_so_and_is_not_shown(reached: Reached) -> None:
    with pytest.raises(ClusterError, match=r"a certificate or key of context 'dev' in the kubeconfig config\.yaml is not usable") as caught:
        connect(reached(certificate=b"not a certificate", key=b"hunter2"))
    assert "hunter2" not in str(caught.value)
