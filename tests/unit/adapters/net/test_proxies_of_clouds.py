"""Clouds and charts take the proxy that the API server's client takes, with its login, and name it without the login when it fails."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from meshinstall.adapters.charts.store import ChartStore
from meshinstall.errors import ChartError, UsageError
from tests.contracts.servers import RecordingProxy, chart, recording_proxy

HOST = "shop.example.org"
LOGIN = "Basic YW5uOnNlY3JldA=="


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those of the test, and keys that open nothing."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "REQUEST_METHOD", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "opens-nothing")


@pytest.fixture
def company() -> Iterator[RecordingProxy]:
    """A proxy that lets nothing through."""
    with recording_proxy() as proxy:
        yield proxy


def aws(tmp_path: Path) -> None:  # noqa: ARG001 - all of them are called alike
    from meshinstall.adapters.eks.errors import explained
    from meshinstall.adapters.eks.session import open_aws

    with explained("eks:ListClusters"):
        open_aws({"region": "eu-west-1"}, os.environ, lambda _: None).client("eks", endpoint_url=f"https://{HOST}").list_clusters()


def azure(tmp_path: Path) -> None:  # noqa: ARG001
    from azure.core.rest import HttpRequest

    from meshinstall.adapters.aks.errors import explained
    from meshinstall.adapters.aks.limits import Limits
    from meshinstall.adapters.aks.task import Task
    from meshinstall.adapters.aks.transport import BoundedTransport

    with explained(Task("listing clusters")), BoundedTransport(Limits(), lambda _: None) as transport:
        transport.send(HttpRequest("GET", f"https://{HOST}"))


def google(tmp_path: Path) -> None:  # noqa: ARG001
    from meshinstall.adapters.gke.errors import explained
    from meshinstall.adapters.gke.http import Http, Patience

    with explained("container.clusters.list", "shop"):
        Http(Patience())(f"https://{HOST}")


def charts(tmp_path: Path) -> None:
    store = ChartStore(tmp_path / "cache", lambda _: None, seconds=20)
    anyio.run(store.fetch, chart(HOST))


CALLERS = {"aws": aws, "azure": azure, "google": google, "charts": charts}
Call = Callable[[Path], None]
each = pytest.mark.parametrize("call", CALLERS.values(), ids=CALLERS)


@each
def test_the_proxy_is_asked_with_its_login(call: Call, company: RecordingProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", company.url.replace("http://", "ann:secret@"))
    monkeypatch.setenv("NO_PROXY", "*.shop.example.org,10.0.0.0/8")
    with pytest.raises(Exception, match=r"\w") as caught:
        call(tmp_path)
    assert set(company.asked) == {(f"{HOST}:443", LOGIN)}
    assert "secret" not in str(caught.value)


@each
def test_a_proxy_that_is_not_there_is_named_without_its_login(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://ann:secret@127.0.0.1:1")
    with pytest.raises(Exception, match=r"127\.0\.0\.1:1") as caught:
        call(tmp_path)
    assert "secret" not in str(caught.value)


def test_the_sdk_of_aws_cannot_use_socks_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://ann:secret@127.0.0.1:1")
    with pytest.raises(UsageError, match=r"cannot use the SOCKS proxy socks5://127\.0\.0\.1:1$") as caught:
        aws(tmp_path)
    assert "proxy-url" in caught.value.hint


def test_charts_fail_by_their_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://ann:secret@127.0.0.1:1")
    with pytest.raises(ChartError, match=r"through the proxy socks5://127\.0\.0\.1:1 ") as caught:
        charts(tmp_path)
    assert "secret" not in caught.value.message
