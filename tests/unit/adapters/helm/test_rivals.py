"""Helm goes by the content of whatever has two labels: a removal by what it read needs to know that there is no other."""

import base64
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from meshinstall.adapters.helm.releases import HelmReleases
from meshinstall.model.release import Manifest, ReleaseKey
from tests.fake_kube import FakeKube

pytestmark = pytest.mark.anyio

KEY = ReleaseKey("istio-ingress", "public")
TYPE = "helm.sh/release.v1"


def secret(name: str, version: int, label: str = "", *, kind: str = TYPE, status: str = "superseded", **body: Any) -> dict[str, Any]:
    """A record, by its labels of revision ``label`` and by its content of ``version``."""
    content = gzip.compress(json.dumps({"name": KEY.name, "version": version, "info": {"status": status}, **body}).encode())
    labels = {"name": KEY.name, "owner": "helm", "status": status, "version": label or str(version)}
    metadata = {"name": name, "namespace": KEY.namespace, "labels": labels}
    return {"type": kind, "metadata": metadata, "data": {"release": base64.b64encode(base64.b64encode(content)).decode()}}


async def rivals(*more: dict[str, Any]) -> str:
    kube = FakeKube()
    for one in (secret("v5", 5, status="deployed"), *more):
        kube.objects[f"/api/v1/namespaces/istio-ingress/secrets/{one['metadata']['name']}"] = one
    releases = HelmReleases(kube)
    record = (await releases.newest([KEY.namespace]))[KEY]
    assert record.revision == 5
    return await releases.rivals(record)


async def test_what_came_before_is_no_rival() -> None:
    other = secret("other", 99)
    other["metadata"]["labels"]["name"] = "other"
    assert await rivals(secret("v4", 4), secret("v3", 3), other) == ""


@pytest.mark.parametrize(
    "more",
    [
        secret("x", 6),
        secret("x", 6, kind="Opaque"),
        secret("x", 5),
        secret("x", 99, "1"),
        secret("x", 99, "1", kind="Opaque"),
        secret("x", 4, Version=99),
        secret("x", 4, namespace="kube-system"),
        {**secret("x", 4), "data": {"release": "eA=="}},
        {**secret("x", 4), "data": {}},
    ],
    ids=[
        "superseded by its label",
        "of another type",
        "as new",
        "newer inside",
        "both",
        "another case",
        "of elsewhere",
        "rubbish",
        "empty",
    ],
)
async def test_what_helm_may_take_for_the_newest_is_named(more: dict[str, Any]) -> None:
    assert await rivals(more) == "has another record, which helm may take for the newest: Secret istio-ingress/x"


async def test_no_list_of_secrets_holds_what_is_in_them() -> None:
    """Hundreds of them have more bytes than one answer may have."""
    asked: list[bool] = []

    class Kube(FakeKube):
        async def list(self, path: str, *, metadata_only: bool = False, **selectors: str) -> AsyncIterator[Manifest]:
            """Keep how it was asked."""
            asked.append(metadata_only)
            async for item in super().list(path, metadata_only=metadata_only, **selectors):
                yield item

    kube = Kube()
    kube.objects["/api/v1/namespaces/istio-ingress/secrets/v5"] = secret("v5", 5, status="deployed")
    releases = HelmReleases(kube)
    await releases.rivals((await releases.newest([KEY.namespace]))[KEY])
    assert asked == [True, True]
