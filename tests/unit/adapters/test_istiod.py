"""What an istiod, or a pod that poses as one, answers about its proxies."""

import pytest

from meshinstall.adapters.istiod import IstiodDebug
from meshinstall.errors import ClusterError
from meshinstall.model.release import Manifest
from tests.fakes import FakePods

pytestmark = pytest.mark.anyio


async def syncz(body: bytes) -> list[Manifest]:
    """What is made of a body."""
    pods = FakePods()
    pods.answers["istio-system", "istiod-1", 15014, "/debug/syncz"] = body
    return await IstiodDebug(pods).syncz("istio-system", "istiod-1")


async def test_there_is_a_record_for_each_proxy() -> None:
    assert await syncz(b'[{"proxy": "web.shop"}]') == [{"proxy": "web.shop"}]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "did not answer in JSON"),
        (b"\xff", "did not answer in JSON"),
        (b"[" * 200_000, "did not answer in JSON"),
        (b"", "did not answer with a list of proxies"),
        (b'["web.shop"]', "did not answer with a list of proxies"),
    ],
)
async def test_an_answer_that_no_istiod_gives_is_an_error_that_names_the_pod(body: bytes, words: str) -> None:
    with pytest.raises(ClusterError, match=f"istiod istio-system/istiod-1 .*{words}"):
        await syncz(body)
