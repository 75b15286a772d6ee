"""Which proxy the environment asks for, and what reaches it."""

from collections.abc import Iterator

import anyio
import pytest

from meshinstall.adapters.kube.client import KubeClient
from meshinstall.adapters.kube.portforward import PodPorts
from meshinstall.adapters.net.proxies import find_proxy, split_proxy
from meshinstall.errors import ClusterError, UsageError
from tests.contracts.servers import RecordingProxy, recording_proxy
from tests.unit.adapters.conftest import Reached

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "REQUEST_METHOD")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those of the test."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def company() -> Iterator[RecordingProxy]:
    """A proxy that lets nothing through."""
    with recording_proxy() as proxy:
        yield proxy


WAYS = {
    "https": ({"HTTPS_PROXY": "http://a:1"}, "https://shop.example.org/x", "http://a:1"),
    "in lower case": ({"https_proxy": "http://a:1"}, "https://shop.example.org", "http://a:1"),
    "another scheme": ({"HTTPS_PROXY": "http://a:1"}, "http://shop.example.org", ""),
    "http": ({"HTTP_PROXY": "http://a:1"}, "http://shop.example.org", "http://a:1"),
    "the host is left out": ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "shop.example.org"}, "https://shop.example.org:6443", ""),
    "its domain is left out": ({"HTTPS_PROXY": "http://a:1", "no_proxy": ".example.org"}, "https://shop.example.org", ""),
    "all are left out": ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "*"}, "https://shop.example.org", ""),
    "none": ({}, "https://shop.example.org", ""),
    "a part of a name is not its domain": (
        {"HTTPS_PROXY": "http://a:1", "NO_PROXY": "op.example.org"},
        "https://shop.example.org",
        "http://a:1",
    ),
    "what is below": ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "*.example.org"}, "https://shop.example.org", ""),
    "what is below, not itself": ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "*.example.org"}, "https://example.org", "http://a:1"),
    "a port": ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "example.org:6443"}, "https://shop.example.org:6443", ""),
    "another port": ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "example.org:6443"}, "https://shop.example.org", "http://a:1"),
    "a network": ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "10.0.0.0/8"}, "https://10.1.2.3:6443", ""),
    "this machine": ({"HTTPS_PROXY": "http://a:1"}, "https://127.0.0.1:6443", ""),
    "this machine by name": ({"HTTPS_PROXY": "http://a:1"}, "https://localhost:6443", ""),
    "upper case first": ({"https_proxy": "http://b:1", "HTTPS_PROXY": "http://a:1"}, "https://shop.example.org", "http://a:1"),
    "without a scheme": ({"HTTPS_PROXY": "ann:secret@a:1"}, "https://shop.example.org", "http://ann:secret@a:1"),
    "socks": ({"HTTPS_PROXY": "socks5://a:1"}, "https://shop.example.org", "socks5://a:1"),
    "all is not for all": ({"ALL_PROXY": "http://a:1"}, "https://shop.example.org", ""),
}


@pytest.mark.parametrize(("env", "url", "proxy"), WAYS.values(), ids=WAYS)
def test_the_proxy_is_that_of_the_scheme_unless_the_host_is_left_out(
    env: dict[str, str], url: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert find_proxy(url) == proxy


@pytest.mark.parametrize("proxy", ["ftp://hunter2@a:1", "socks4://a:1", "http://", "http://a:port", "http://ann:hunter2@[::1"])
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable_without_its_login(proxy: str) -> None:
    with pytest.raises(UsageError, match=r"^HTTPS_PROXY is not the URL of a proxy") as caught:
        find_proxy("https://shop.example.org", {"HTTPS_PROXY": proxy})
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"


def test_the_parts_of_a_proxy_are_decoded() -> None:
    assert split_proxy("http://ann:pa%3Ass@proxy.example.org:3128") == ("http", "proxy.example.org", 3128, ("ann", "pa:ss"))
    assert split_proxy("http://proxy.example.org") == ("http", "proxy.example.org", 80, None)
    assert split_proxy("https://proxy.example.org") == ("https", "proxy.example.org", 443, None)


ASKS = {
    "a request": lambda config: KubeClient(config, None).get("/version"),
    "a port-forward": lambda config: PodPorts(config, None).get("istio-system", "istiod", 15014, "/debug/syncz"),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize("place", ["kubeconfig", "environment"])
def test_a_cluster_is_reached_through_the_proxy_with_its_login(
    ask: object, place: str, company: RecordingProxy, reached: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = company.url.replace("http://", "http://ann:secret@")
    if place == "environment":
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    config = reached(server="https://cluster.example.org:6443", **({"proxy": proxy} if place == "kubeconfig" else {}))
    with pytest.raises(ClusterError):
        anyio.run(ask, config)  # type: ignore[arg-type]
    assert company.asked == [("cluster.example.org:6443", "Basic YW5uOnNlY3JldA==")]


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_a_kubeconfigs_proxy_is_taken_whatever_the_environment_leaves_out(
    ask: object, company: RecordingProxy, reached: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "cluster.example.org")
    with pytest.raises(ClusterError):
        anyio.run(ask, reached(server="https://cluster.example.org:6443", proxy=company.url))  # type: ignore[arg-type]
    assert company.asked == [("cluster.example.org:6443", "")]
