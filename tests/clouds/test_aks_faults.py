"""What Azure's servers can do wrong: throttle, break, hang, and send what nobody asked for. Over the wire, with the unmodified SDK."""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from meshinstall.adapters.aks.limits import Limits
from meshinstall.adapters.aks.provider import AksProvider
from meshinstall.errors import ClusterError, UnreachableError
from meshinstall.model.cluster import Cloud, ClusterRef
from testbed.clouds.aks import Answer, FakeAzure, Fault
from testbed.clouds.aks_shop import GROUP, NAME, SUBSCRIPTION
from tests.clouds import aks_world

LIMITS = Limits(connect=1, read=0.5, exchange=1, pause=1.5, retries=3, size=1024**2)
CLUSTER = f"managedClusters/{NAME}?"
SIGN_IN = "listClusterUserCredential"
TOKEN = "/oauth2/v2.0/token"  # noqa: S105 - a path
THROTTLED = b'{"error": {"code": "TooManyRequests", "message": "The request is being throttled."}}'
MEGABYTE = b"x" * 1024**2


@dataclass(slots=True)
class Listener:
    """Remembers what it is told."""

    said: list[str] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        """Listen."""
        self.said.append(line)


def provider(say: Callable[[str], None] = lambda _: None) -> AksProvider:
    ref = ClusterRef(Cloud.AKS, NAME, selectors={"subscription": SUBSCRIPTION, "resource_group": GROUP})
    return AksProvider(ref, say, LIMITS)


@pytest.fixture
def azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAzure]:
    """Azure with one cluster; the caller is the pipeline."""
    with aks_world.azure_shop(tmp_path, monkeypatch) as fake:
        yield fake


@pytest.mark.parametrize("status", [400, 429, 503])
def test_what_only_a_warning_needs_stops_nothing_when_azure_does_not_tell_it(azure: FakeAzure, status: int) -> None:
    azure.faults.append(Fault("kubernetesVersions", Answer(status, b"{}"), count=99))
    aks = provider()
    ((what, why),) = aks.inspect(aks.describe()).unread.items()
    assert what == "the Kubernetes versions that AKS supports"
    assert why.why.startswith("reading the versions that AKS supports: Azure ")


@pytest.mark.parametrize("part", [CLUSTER, SIGN_IN])
def test_throttling_is_waited_out_and_told(azure: FakeAzure, part: str) -> None:
    azure.faults.append(Fault(part, Answer(429, THROTTLED, headers={"Retry-After": "1"})))
    listener = Listener()
    started = time.monotonic()
    assert provider(listener).describe().ready
    assert time.monotonic() - started >= 1
    assert listener.said == ["Azure is busy or did not answer; trying again in 1.0 s"]
    assert azure.count(part) == 2


BURSTS = {"503 of ARM": (CLUSTER, 503), "500 of a POST": (SIGN_IN, 500), "502 of Entra": (TOKEN, 502), "429 without a time": (CLUSTER, 429)}


@pytest.mark.parametrize(("part", "status"), BURSTS.values(), ids=BURSTS)
def test_a_burst_of_errors_is_survived(azure: FakeAzure, part: str, status: int) -> None:
    azure.faults.append(Fault(part, Answer(status, b"{}"), count=2))
    listener = Listener()
    assert provider(listener).describe().ready
    assert len(listener.said) == 1


def test_it_ends_when_azure_stays_broken(azure: FakeAzure) -> None:
    azure.faults.append(Fault(SIGN_IN, Answer(503, b'{"error": {"code": "ServiceUnavailable", "message": "Sorry."}}'), count=99))
    with pytest.raises(UnreachableError, match=r"Azure is busy or broken \(503 ServiceUnavailable\): Sorry\."):
        provider().describe()
    assert azure.count(SIGN_IN) == LIMITS.retries + 1


def test_a_wait_beyond_reason_is_not_begun(azure: FakeAzure) -> None:
    azure.faults.append(Fault(SIGN_IN, Answer(429, THROTTLED, headers={"Retry-After": "3600"}), count=99))
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="asks to try again in 3600 s"):
        provider().describe()
    assert time.monotonic() - started < 20


HANGING = {"ARM": SIGN_IN, "Entra": TOKEN}


@pytest.mark.parametrize("part", HANGING.values(), ids=HANGING)
def test_a_server_that_hangs_is_left(azure: FakeAzure, part: str) -> None:
    azure.faults.append(Fault(part, Answer(hang=True), count=99))
    with pytest.raises(ClusterError, match=r"in time|timed out"):
        provider().describe()
    assert azure.count(part) == 2


def test_one_silence_is_survived(azure: FakeAzure) -> None:
    azure.faults.append(Fault(CLUSTER, Answer(hang=True)))
    assert provider().describe().ready


PAGE = b"<html><body>Please sign in to the guest network</body></html>"
HOSTILE = {
    "HTML that says all is well": (SIGN_IN, Answer(200, PAGE, "text/html")),
    "HTML that calls itself JSON": (SIGN_IN, Answer(200, PAGE)),
    "HTML for a cluster": (CLUSTER, Answer(200, PAGE, "text/html")),
    "nothing": (CLUSTER, Answer(200)),
    "a list": (CLUSTER, Answer(200, b"[]")),
    "a number": (SIGN_IN, Answer(200, b"7")),
    "null": (SIGN_IN, Answer(200, b"null")),
    "other types": (SIGN_IN, Answer(200, b'{"kubeconfigs": {"a": 1}}')),
    "no list": (SIGN_IN, Answer(200, b'{"kubeconfigs": 3}')),
    "no base64": (SIGN_IN, Answer(200, b'{"kubeconfigs": [{"name": "x", "value": "%%%"}]}')),
    "no kubeconfig": (SIGN_IN, Answer(200, b'{"kubeconfigs": []}')),
    "deep": (CLUSTER, Answer(200, b"[" * 100_000)),
    "truncated": (SIGN_IN, Answer(200, b'{"kubeconfigs": [{"name"', claimed=5000)),
    "an error of another shape": (SIGN_IN, Answer(400, b'{"error": [1, 2]}')),
    "an error that is a page": (SIGN_IN, Answer(403, PAGE, "text/html")),
    "a redirect": (SIGN_IN, Answer(302, b"", headers={"Location": "https://example.org/"})),
    "HTML for a token": (TOKEN, Answer(200, PAGE, "text/html")),
    "a token that is none": (TOKEN, Answer(200, b'{"access_token": 7}')),
}


@pytest.mark.parametrize(("part", "answer"), HOSTILE.values(), ids=HOSTILE)
def test_an_answer_of_another_kind_is_one_clear_error(azure: FakeAzure, part: str, answer: Answer) -> None:
    azure.faults.append(Fault(part, answer, count=99))
    with pytest.raises(ClusterError) as caught:
        provider().describe()
    assert len(caught.value.message) < 600
    assert caught.value.message.isprintable()


def test_what_azure_says_moves_no_cursor(azure: FakeAzure) -> None:
    body = b'{"error": {"code": "Bad\\u001b[2J", "message": "one\\u0007\\r\\ntwo ' + b"y" * 5000 + b'"}}'
    azure.faults.append(Fault(SIGN_IN, Answer(400, body)))
    with pytest.raises(ClusterError, match="one two yyy") as caught:
        provider().describe()
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 1000


LARGE = {"ARM": SIGN_IN, "Entra": TOKEN}


@pytest.mark.parametrize("part", LARGE.values(), ids=LARGE)
def test_a_body_of_100_megabytes_is_not_read(azure: FakeAzure, part: str) -> None:
    azure.faults.append(Fault(part, Answer(200, MEGABYTE, times=100), count=99))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ClusterError, match="sends more than 1 MiB"):
        provider().describe()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_a_body_that_never_ends_is_left(azure: FakeAzure) -> None:
    azure.faults.append(Fault(SIGN_IN, Answer(200, b" ", drip=0.2, times=1000), count=99))
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="did not finish its answer in 1 s"):
        provider().describe()
    assert time.monotonic() - started < 10


def test_a_proxy_with_a_certificate_of_its_own_is_named(azure: FakeAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    assert azure.port
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(ClusterError, match="CERTIFICATE_VERIFY_FAILED"):
        provider().describe()


def test_nothing_is_registered_in_the_subscription(azure: FakeAzure) -> None:
    said = b"The subscription is not registered to use namespace 'Microsoft.ContainerService'."
    body = b'{"error": {"code": "MissingSubscriptionRegistration", "message": "' + said + b'"}}'
    azure.faults.append(Fault(SIGN_IN, Answer(409, body), count=99))
    with pytest.raises(ClusterError, match="MissingSubscriptionRegistration"):
        provider().describe()
    assert azure.count("/register") == 0
