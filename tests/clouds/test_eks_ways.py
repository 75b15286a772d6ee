"""How AWS is reached: the STS of each partition by its host name, and whose certificates are trusted on the way."""

import os
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
import pytest

from meshinstall.adapters.eks.provider import EksProvider
from meshinstall.errors import ForbiddenError, UnreachableError, UsageError
from meshinstall.model.cluster import Cloud, ClusterRef
from testbed.pki import Authority

AUTHORITY = Authority("proxy that inspects TLS")


class Refusing(BaseHTTPRequestHandler):
    """Notes each host that somebody wants to be led to, and leads nobody; answers all else with a denial."""

    hosts: list[str]

    def do_CONNECT(self) -> None:
        """Lead nobody."""
        self.hosts.append(self.path)
        self.send_error(403)

    def do_GET(self) -> None:
        """Deny."""
        body = b'{"message": "no"}'
        self.send_response(403)
        self.send_header("x-amzn-errortype", "AccessDeniedException")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[str]]]:
    """Serve; yields the port and the hosts that were asked for."""
    hosts: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Refusing,), {"hosts": hosts}))
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1], hosts
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of AWS's in the environment; one try for each request."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith(("_proxy", "_ca_bundle"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    (tmp_path / ".aws").mkdir()


def provider(region: str = "eu-west-1", **selectors: str) -> EksProvider:
    return EksProvider(ClusterRef(Cloud.EKS, "shop", selectors={"region": region, **selectors}), print)


HOSTS = {
    "us-west-2": "sts.us-west-2.amazonaws.com:443",
    "cn-north-1": "sts.cn-north-1.amazonaws.com.cn:443",
    "us-gov-west-1": "sts.us-gov-west-1.amazonaws.com:443",
    "eusc-de-east-1": "sts.eusc-de-east-1.amazonaws.eu:443",
}


# A role is of the partition that its region is in.
PARTITIONS = {"cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov", "eusc-de-east-1": "aws-eusc"}


@pytest.mark.parametrize("region", HOSTS)
def test_credentials_are_fetched_from_the_sts_of_the_region(region: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a web identity, a role in a profile without a region, and a role that is given as an option."""
    token = tmp_path / "token"
    token.write_text(jwt.encode({"sub": "a"}, "k" * 32))
    keys = "aws_access_key_id = AKIA\naws_secret_access_key = s\n"
    role = f"arn:{PARTITIONS.get(region, 'aws')}:iam::123456789012:role/a"
    (tmp_path / ".aws/config").write_text(f"[profile role]\nrole_arn = {role}\nsource_profile = keys\n[profile keys]\n{keys}")
    web = {"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}
    with serving() as (port, hosts):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        for selectors, variables in (({}, web), ({"profile": "role"}, {}), ({"profile": "keys", "role_arn": role}, {})):
            with monkeypatch.context() as there:
                for name, value in variables.items():
                    there.setenv(name, value)
                with pytest.raises(UnreachableError):
                    provider(region, **selectors).credential()
    assert set(hosts) == {HOSTS[region]}
    assert len(hosts) >= 3


@pytest.fixture
def inspecting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS by https, with a certificate that no system trusts, and keys."""
    pair = AUTHORITY.server("127.0.0.1", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(file.name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    with serving(context) as (port, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{port}")
        yield


@pytest.mark.usefixtures("inspecting")
@pytest.mark.parametrize("name", ["", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_certificate_that_is_not_trusted_names_whom_is_trusted(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(Authority("another").pair.certificate)
    if name:
        monkeypatch.setenv(name, str(other))
    with pytest.raises(UnreachableError, match="the certificate of AWS is not trusted: eks:DescribeCluster") as caught:
        provider().describe()
    assert (f"{name}={other} names whom to trust" if name else "neither AWS_CA_BUNDLE nor REQUESTS_CA_BUNDLE") in caught.value.hint
    assert "ca_bundle" in caught.value.hint


@pytest.mark.usefixtures("inspecting")
@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "ca_bundle"])
def test_a_file_or_a_folder_of_certificates_is_trusted(name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / "README").write_text("not a certificate")
    (folder / "proxy.crt").write_bytes(AUTHORITY.pair.certificate)
    path = folder if kind == "folder" else folder / "proxy.crt"
    if name == "ca_bundle":
        (tmp_path / ".aws/config").write_text(f"[default]\nca_bundle = {path}\n")
    else:
        monkeypatch.setenv(name, str(path))
    with pytest.raises(ForbiddenError):
        provider().describe()


@pytest.mark.usefixtures("inspecting")
def test_a_bundle_that_breaks_off_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first certificate is looked at before; the SDK finds the others."""
    path = tmp_path / "bundle"
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    path.write_bytes(broken + AUTHORITY.pair.certificate)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
    with pytest.raises(UsageError, match=r"AWS_CA_BUNDLE.*it holds no certificate"):
        provider().describe()
    path.write_bytes(AUTHORITY.pair.certificate + broken)
    with pytest.raises(UnreachableError) as caught:
        provider().describe()
    assert f"AWS_CA_BUNDLE={path} names whom to trust" in caught.value.hint


@pytest.mark.usefixtures("inspecting")
@pytest.mark.parametrize(
    ("made", "said"), [("nothing", "No such file"), ("file", "it holds no certificate"), ("folder", "holds no certificate")]
)
def test_a_bundle_of_no_use_is_named_with_its_variable(made: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bundle"
    if made == "file":
        path.write_text("not a certificate")
    if made == "folder":
        path.mkdir()
    monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
    with pytest.raises(UsageError, match=f"AWS_CA_BUNDLE.*{said}|{path} of AWS_CA_BUNDLE {said}"):
        provider().describe()
