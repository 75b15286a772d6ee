"""What Helm 3 and Helm 4 do alike to a real cluster, and what of it the release records say."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from meshinstall.adapters.helm.client import PyHelm
from meshinstall.adapters.helm.records import SECRET_TYPE, mark_failed, newest, read
from meshinstall.adapters.kube import kubeconfig
from meshinstall.adapters.kube.client import KubeClient
from meshinstall.errors import HelmError
from meshinstall.model.cluster import Access
from meshinstall.model.release import ReleaseKey, ReleaseRecord, ReleaseStatus
from meshinstall.ports import Helm
from testbed.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.tools, pytest.mark.anyio]


@pytest.fixture(params=["helm3", "helm4"])
def program(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def helm(program: Path, cluster: Cluster) -> Helm:
    return PyHelm(access_to(cluster), str(program))


@pytest.fixture
def both(helm3: Path, helm4: Path, cluster: Cluster) -> tuple[Helm, Helm]:
    return PyHelm(access_to(cluster), str(helm3)), PyHelm(access_to(cluster), str(helm4))


@pytest.fixture
def kube(cluster: Cluster) -> KubeClient:
    return KubeClient(kubeconfig.load(cluster.kubeconfig), None)


@pytest.fixture
async def key(kube: KubeClient) -> AsyncIterator[ReleaseKey]:
    """A release in a namespace of its own."""
    created = await kube.create("/api/v1/namespaces", {"metadata": {"generateName": "helm-contract-"}})
    name = created["metadata"]["name"]
    yield ReleaseKey(name, "demo")
    await kube.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def demo(demo_charts: Path) -> Path:
    return demo_charts / "demo-2.0.0.tgz"


def access_to(cluster: Cluster) -> Access:
    loaded = kubeconfig.load(cluster.kubeconfig)
    return Access("test", loaded.server, cluster.kubeconfig, loaded.context)


async def secrets(kube: KubeClient, key: ReleaseKey) -> list[dict[str, Any]]:
    path = f"/api/v1/namespaces/{key.namespace}/secrets"
    return [dict(item) async for item in kube.list(path, fields=f"type={SECRET_TYPE}")]


async def recorded(kube: KubeClient, key: ReleaseKey) -> ReleaseRecord:
    return read(key, newest(await secrets(kube, key))[key])


async def colour(kube: KubeClient, key: ReleaseKey) -> str | None:
    found = await kube.get(f"/api/v1/namespaces/{key.namespace}/configmaps/demo")
    return str(found["data"]["colour"]) if found else None


async def test_install_upgrade_and_uninstall(helm: Helm, kube: KubeClient, key: ReleaseKey, demo: Path) -> None:
    await helm.upgrade(key, demo, {"colour": "red"}, description="the first")
    first = await recorded(kube, key)
    assert await colour(kube, key) == "red"
    assert first.revision == 1
    assert first.status == ReleaseStatus.DEPLOYED
    assert first.chart == "demo"
    assert first.version == "2.0.0"
    assert first.values == {"colour": "red"}
    assert first.description == "the first"
    assert "colour: red" in first.manifest

    await helm.upgrade(key, demo, {"colour": "green"}, description="the second")
    assert await colour(kube, key) == "green"
    assert (await recorded(kube, key)).revision == 2

    await helm.uninstall(key)
    assert await colour(kube, key) is None
    assert await secrets(kube, key) == []


async def test_empty_values_are_the_chart_s_defaults_and_not_the_old_values(
    helm: Helm, kube: KubeClient, key: ReleaseKey, demo: Path
) -> None:
    await helm.upgrade(key, demo, {"colour": "red"}, description="x")
    await helm.upgrade(key, demo, {}, description="x")

    assert await colour(kube, key) == "blue"


async def test_uninstalling_what_is_not_there_is_nothing_to_do(helm: Helm, key: ReleaseKey) -> None:
    await helm.uninstall(key)


async def test_the_namespace_is_not_created(helm: Helm, demo: Path) -> None:
    with pytest.raises(HelmError, match='namespaces "not-there" not found'):
        await helm.upgrade(ReleaseKey("not-there", "demo"), demo, {}, description="x")


async def test_an_object_of_another_release_is_named_with_its_owner(helm: Helm, key: ReleaseKey, demo: Path) -> None:
    await helm.upgrade(key, demo, {}, description="x")

    with pytest.raises(HelmError) as caught:
        await helm.upgrade(ReleaseKey(key.namespace, "other"), demo, {}, description="x")

    assert f'ConfigMap "demo" in namespace "{key.namespace}" exists already and belongs to release demo' in caught.value.message


async def test_an_object_made_by_hand_belongs_to_no_release(helm: Helm, kube: KubeClient, key: ReleaseKey, demo: Path) -> None:
    await kube.create(f"/api/v1/namespaces/{key.namespace}/configmaps", {"metadata": {"name": "demo"}})

    with pytest.raises(HelmError, match="belongs to no Helm release"):
        await helm.upgrade(key, demo, {}, description="x")


async def test_a_field_that_another_manager_applied_is_named(
    both: tuple[Helm, Helm], kube: KubeClient, key: ReleaseKey, demo: Path
) -> None:
    _, helm = both
    await helm.upgrade(key, demo, {"colour": "red"}, description="x")
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "demo"}, "data": {"colour": "grey"}}
    await kube.apply(f"/api/v1/namespaces/{key.namespace}/configmaps/demo", theirs, force=True)

    with pytest.raises(HelmError) as caught:
        await helm.upgrade(key, demo, {"colour": "green"}, description="x")

    assert caught.value.message.endswith("Kind=ConfigMap has fields that another manager owns: .data.colour is set by 'meshinstall'")
    assert (await recorded(kube, key)).status is ReleaseStatus.FAILED


async def test_a_release_of_helm_3_is_upgraded_by_helm_4_and_back(
    both: tuple[Helm, Helm], kube: KubeClient, key: ReleaseKey, demo: Path
) -> None:
    for revision, helm in enumerate((*both, *both), start=1):
        await helm.upgrade(key, demo, {"colour": f"colour-{revision}"}, description="x")
        assert await colour(kube, key) == f"colour-{revision}"
        assert (await recorded(kube, key)).revision == revision


async def test_a_release_whose_helm_was_killed_is_upgradable_once_it_is_marked_failed(
    helm: Helm, kube: KubeClient, key: ReleaseKey, slow_demo: Path, demo: Path
) -> None:
    await killed_at_work(helm, kube, key, slow_demo)
    (pending,) = await secrets(kube, key)
    assert (await recorded(kube, key)).status is ReleaseStatus.PENDING_INSTALL
    with pytest.raises(HelmError, match="another operation") as caught:
        await helm.upgrade(key, demo, {}, description="x")
    assert "it was interrupted" in caught.value.hint

    await kube.patch(f"/api/v1/namespaces/{key.namespace}/secrets/{pending['metadata']['name']}", mark_failed(pending, "killed"))
    after = await recorded(kube, key)
    assert after.status == ReleaseStatus.FAILED
    assert after.description == "killed"
    await helm.upgrade(key, demo, {"colour": "red"}, description="x")

    assert await colour(kube, key) == "red"
    assert (await recorded(kube, key)).status is ReleaseStatus.DEPLOYED


async def test_a_cancelled_helm_ends_in_seconds_and_leaves_a_record(helm: Helm, kube: KubeClient, key: ReleaseKey, slow_demo: Path) -> None:
    with anyio.fail_after(15):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: helm.upgrade(key, slow_demo, {}, description="x"))
            await until_pending(kube, key)
            group.cancel_scope.cancel()

    assert (await recorded(kube, key)).status in {ReleaseStatus.FAILED, ReleaseStatus.PENDING_INSTALL}


@pytest.fixture
def slow_demo(program: Path, tmp_path: Path) -> Path:
    """A chart whose installation waits for a hook that never ends."""
    chart = tmp_path / "demo"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: demo\nversion: 1.0.0\n")
    (chart / "templates" / "hook.yaml").write_text(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: never\n  annotations: {helm.sh/hook: pre-install}\n"
        "spec:\n  suspend: true\n  template:\n    spec:\n      restartPolicy: Never\n      containers: [{name: x, image: x}]\n"
    )
    assert program.exists()
    return chart


async def until_pending(kube: KubeClient, key: ReleaseKey) -> None:
    """Return when helm has written its record."""
    while not await secrets(kube, key):  # noqa: ASYNC110 - another process writes it
        await anyio.sleep(0.05)


async def killed_at_work(helm: Helm, kube: KubeClient, key: ReleaseKey, chart: Path) -> None:
    """Install ``chart`` and kill helm outright when its record is there."""

    async def install() -> None:
        with pytest.raises(HelmError, match="was killed"):
            await helm.upgrade(key, chart, {}, description="x")

    with anyio.fail_after(15):
        async with anyio.create_task_group() as group:
            group.start_soon(install)
            await until_pending(kube, key)
            kill(lambda words: key.namespace in words)


def kill(wanted: Callable[[list[str]], bool]) -> None:
    """SIGKILL our child whose command line is wanted."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            words = (process / "cmdline").read_text().split("\0")
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == os.getpid() and wanted(words):
            os.kill(int(process.name), signal.SIGKILL)
