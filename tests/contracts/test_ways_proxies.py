"""Proxies: the real kubectl and we take the same one, with the same login, for requests and for port-forwards."""

import base64
import json
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
import trustme
import yaml

from meshinstall.adapters.kube import kubeconfig
from meshinstall.adapters.kube.client import KubeClient
from meshinstall.adapters.kube.portforward import PodPorts
from meshinstall.adapters.kube.tokens import source_of
from meshinstall.adapters.net.proxies import find_proxy, split_proxy
from meshinstall.errors import ClusterError, MeshinstallError, UsageError
from tests.contracts.proxies import Proxy, connect_proxy, socks_proxy
from tests.contracts.ways import Recorder, Way, by_kubectl, by_us, environment, recorder

pytestmark = pytest.mark.tools

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Place:
    """A server that only a proxy can find: its name is on no name server."""

    folder: Path
    authority: trustme.CA
    server: Recorder
    servers: ExitStack

    def tls(self) -> ssl.SSLContext:
        """For a proxy that the cluster's authority vouches for, as kubectl wants it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("127.0.0.1").configure_cert(context)
        return context

    def run(self, proxy: AbstractContextManager[Proxy]) -> Proxy:
        """Start a proxy that ends with the test."""
        return self.servers.enter_context(proxy)

    def config(self, proxy_url: str = "", **environ: str) -> Way:
        """A kubeconfig that reaches the server by its name."""
        cluster = {
            "server": f"https://api.example.org:{self.server.server_port}",
            "certificate-authority-data": base64.b64encode(self.authority.cert_pem.bytes()).decode(),
            **({"proxy-url": proxy_url} if proxy_url else {}),
        }
        content = {
            "current-context": "dev",
            "clusters": [{"name": "dev", "cluster": cluster}],
            "users": [{"name": "dev", "user": {"token": "hunter2"}}],
            "contexts": [{"name": "dev", "context": {"cluster": "dev", "user": "dev"}}],
        }
        file = self.folder / "config"
        file.write_text(yaml.safe_dump(content))
        return Way(file, environ)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    authority = trustme.CA()
    with ExitStack() as servers:
        yield Place(tmp_path, authority, servers.enter_context(recorder(authority)), servers)


LOGIN = "ann:pa%3Ass%C3%A9"
KINDS: Mapping[str, tuple[str, Callable[[Place], AbstractContextManager[Proxy]]]] = {
    "http": ("http://", lambda place: connect_proxy(place.server.server_port)),
    "https": ("https://", lambda place: connect_proxy(place.server.server_port, place.tls())),
    "socks5": ("socks5://", lambda place: socks_proxy(place.server.server_port)),
}
PLACES: Mapping[str, Callable[[Place, str], Way]] = {
    "proxy-url": lambda place, url: place.config(url),
    "HTTPS_PROXY": lambda place, url: place.config(HTTPS_PROXY=url),
    "HTTPS_PROXY before https_proxy": lambda place, url: place.config(HTTPS_PROXY=url, https_proxy="http://127.0.0.1:1"),
    "proxy-url before HTTPS_PROXY and NO_PROXY": lambda place, url: place.config(url, HTTPS_PROXY="http://127.0.0.1:1", NO_PROXY="*"),
}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("login", ["", LOGIN], ids=["without a login", "with a login"])
def test_requests_take_the_same_proxy_as_those_of_kubectl(kubectl: Path, place: Place, kind: str, where: str, login: str) -> None:
    scheme, make = KINDS[kind]
    proxy = place.run(make(place))
    way = PLACES[where](place, f"{scheme}{login}{'@' if login else ''}{proxy.address}")
    theirs = (by_kubectl(kubectl, way, [place.server]), list(proxy.asked))
    proxy.asked.clear()
    ours = (by_us(way, [place.server]), list(proxy.asked))
    assert ours == theirs
    assert ours[1] == [(f"api.example.org:{place.server.server_port}", "ann:pa:ssé" if login else "")]


@pytest.mark.parametrize("kind", [*KINDS, "socks5h"])
def test_a_port_forward_takes_the_proxy_too_with_its_token(place: Place, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scheme, make = KINDS.get(kind, ("socks5h://", KINDS["socks5"][1]))
    proxy = place.run(make(place))
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}{LOGIN}@{proxy.address}")
    config = kubeconfig.load(place.config().file)
    with pytest.raises(ClusterError, match=rf"through the proxy {scheme}{proxy.address}: ") as caught:
        anyio.run(PodPorts(config, source_of(config)).get, "a", "b", 15000, "/")
    assert "ann:" not in caught.value.message
    assert proxy.asked == [(f"api.example.org:{place.server.server_port}", "ann:pa:ssé")]
    assert [(one.path, one.authorization) for one in place.server.seen] == [
        ("/api/v1/namespaces/a/pods/b/portforward?ports=15000", "Bearer hunter2")
    ]


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
def test_a_proxy_that_does_not_answer_is_named_without_its_login(place: Place, scheme: str) -> None:
    way = place.config(f"{scheme}://ann:hunter2@127.0.0.1:1")
    config = kubeconfig.load(way.file)
    for ask in (KubeClient(config, source_of(config)).get("/version"), PodPorts(config, source_of(config)).get("a", "b", 1, "/")):
        with pytest.raises(ClusterError, match=f"through the proxy {scheme}://127.0.0.1:1: ") as caught:
            anyio.run(_await, ask)
        assert "hunter2" not in f"{caught.value} {caught.value.hint}"
        # In words, not as a tuple of Python's.
        assert "('" not in caught.value.message


async def _await(work: Any) -> None:
    await work


@pytest.mark.parametrize("url", ["ftp://h:1", "socks4://h:1", "http://", "h:3128", "http://h:port", "http://[::1", "http://a b:1"])
def test_a_proxy_url_that_cannot_be_used_is_refused_by_both(kubectl: Path, place: Place, url: str) -> None:
    way = place.config(url)
    assert (by_kubectl(kubectl, way, [place.server]), by_us(way, [place.server])) == ("refused", "refused")
    assert environment(way)


HTTPS = {"HTTPS_PROXY": "http://PROXY"}
API, ADDRESS, SIX = "https://api.example.org:6443", "https://192.0.2.7", "https://[2001:db8::7]:6443"
RULES: Mapping[str, tuple[str, dict[str, str]]] = {
    "https": (API, HTTPS),
    "upper case first": (API, {"https_proxy": "http://127.0.0.1:1", "HTTPS_PROXY": "http://PROXY"}),
    "lower case": (API, {"https_proxy": "http://PROXY"}),
    "empty upper case": (API, {"HTTPS_PROXY": "", "https_proxy": "http://PROXY"}),
    "another scheme": (API, {"HTTP_PROXY": "http://PROXY"}),
    "all": (API, {"ALL_PROXY": "http://PROXY", "all_proxy": "http://PROXY"}),
    "without a scheme": (API, {"HTTPS_PROXY": "PROXY"}),
    "without a scheme, with a login": (API, {"HTTPS_PROXY": "ann:secret@PROXY"}),
    "user alone": (API, {"HTTPS_PROXY": "http://ann@PROXY"}),
    "http": ("http://api.example.org", {"HTTP_PROXY": "http://PROXY"}),
    "http in CGI": ("http://api.example.org", {"HTTP_PROXY": "http://PROXY", "REQUEST_METHOD": "GET"}),
    "https in CGI": (API, {**HTTPS, "REQUEST_METHOD": "GET"}),
    "localhost": ("https://localhost:6443", HTTPS),
    "loopback": ("https://127.0.0.1:6443", HTTPS),
    "loopback of IPv6": ("https://[::1]:6443", HTTPS),
    "loopback, another": ("https://127.8.9.1:6443", HTTPS),
    "loopback of IPv4 in IPv6": ("https://[::ffff:127.0.0.1]:6443", HTTPS),
    "below localhost": ("https://a.localhost:6443", HTTPS),
    "address": (ADDRESS, HTTPS),
    "star": (API, {**HTTPS, "NO_PROXY": "a,*"}),
    "star in an address": (ADDRESS, {**HTTPS, "NO_PROXY": "*"}),
    "host": (API, {**HTTPS, "NO_PROXY": "api.example.org"}),
    "host in upper case": (API, {**HTTPS, "NO_PROXY": " API.Example.ORG "}),
    "domain": (API, {**HTTPS, "NO_PROXY": "example.org"}),
    "domain, its name alone": (API, {**HTTPS, "NO_PROXY": "ample.org"}),
    "dot": (API, {**HTTPS, "NO_PROXY": ".example.org"}),
    "dot, and the host": (API, {**HTTPS, "NO_PROXY": ".api.example.org"}),
    "star and dot": (API, {**HTTPS, "NO_PROXY": "*.example.org"}),
    "star and dot, and the host": (API, {**HTTPS, "NO_PROXY": "*.api.example.org"}),
    "star inside": (API, {**HTTPS, "NO_PROXY": "api.*.org"}),
    "star without dot": (API, {**HTTPS, "NO_PROXY": "*example.org"}),
    "port": (API, {**HTTPS, "NO_PROXY": "example.org:6443"}),
    "another port": (API, {**HTTPS, "NO_PROXY": "example.org:443"}),
    "no port": (ADDRESS, {**HTTPS, "NO_PROXY": "192.0.2.7:443"}),
    "empty port": (API, {**HTTPS, "NO_PROXY": "example.org:"}),
    "port alone": (API, {**HTTPS, "NO_PROXY": ":6443"}),
    "CIDR": (ADDRESS, {**HTTPS, "NO_PROXY": "192.0.2.0/24"}),
    "CIDR with bits of a host": (ADDRESS, {**HTTPS, "NO_PROXY": "10.0.0.0/8, 192.0.2.9/24"}),
    "another CIDR": (ADDRESS, {**HTTPS, "NO_PROXY": "192.0.3.0/24"}),
    "CIDR with a mask": (ADDRESS, {**HTTPS, "NO_PROXY": "192.0.2.0/255.255.255.0"}),
    "CIDR that is none": (ADDRESS, {**HTTPS, "NO_PROXY": "192.0.2.0/33"}),
    "same address": (ADDRESS, {**HTTPS, "NO_PROXY": "192.0.2.7"}),
    "beginning of an address": (ADDRESS, {**HTTPS, "NO_PROXY": "192.0.2"}),
    "end of an address": (ADDRESS, {**HTTPS, "NO_PROXY": ".2.7"}),
    "IPv6": (SIX, {**HTTPS, "NO_PROXY": "2001:db8::7"}),
    "IPv6 in another form": (SIX, {**HTTPS, "NO_PROXY": "2001:0DB8:0::7"}),
    "IPv6 with a port": (SIX, {**HTTPS, "NO_PROXY": "[2001:db8::7]:6443"}),
    "IPv6 in brackets": (SIX, {**HTTPS, "NO_PROXY": "[2001:db8::7]"}),
    "CIDR of IPv6": (SIX, {**HTTPS, "NO_PROXY": "2001:db8::/32"}),
    "upper case NO_PROXY first": (API, {**HTTPS, "no_proxy": "*", "NO_PROXY": "other.example"}),
}  # fmt: skip


def theirs(kubectl: Path, cases: list[tuple[str, dict[str, str]]]) -> list[list[str] | None]:
    """What the real kubectl asks a proxy for, in a network without any other host."""
    asked = json.dumps([{"server": server, "environ": environ} for server, environ in cases])
    command = ["unshare", "--map-root-user", "--net", sys.executable, "-m", "tests.contracts.proxy_rules", str(kubectl)]
    done = subprocess.run(command, input=asked, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    found: list[list[str] | None] = json.loads(done.stdout)
    return found


def ours(server: str, environ: Mapping[str, str]) -> list[str] | None:
    """What we would ask it for."""
    try:
        proxy = find_proxy(server, {name: value.replace("PROXY", "127.0.0.1:3128") for name, value in environ.items()})
    except UsageError:
        return None
    if not proxy:
        return None
    parts, login = urlsplit(server), split_proxy(proxy).login
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    target = f"{host}:{parts.port or 443}" if parts.scheme == "https" else f"{server}/version"
    return [target, ":".join(login) if login else ""]


def test_the_environment_means_what_it_means_to_kubectl(kubectl: Path) -> None:
    found = dict(zip(RULES, theirs(kubectl, list(RULES.values())), strict=True))
    assert {name: ours(*case) for name, case in RULES.items()} == found


def test_a_proxy_for_http_in_a_web_servers_program_is_an_error_with_a_way_out() -> None:
    with pytest.raises(MeshinstallError, match="REQUEST_METHOD") as caught:
        find_proxy("http://api.example.org", {"http_proxy": "http://h:1", "REQUEST_METHOD": "GET"})
    assert caught.value.hint
