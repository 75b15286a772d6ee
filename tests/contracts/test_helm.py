"""What Helm 3 and Helm 4 do alike without a cluster."""

import json
from pathlib import Path

import pytest
import yaml

from meshinstall.adapters.helm.client import PyHelm
from meshinstall.engine.objects.release_manifest import read_objects
from meshinstall.errors import HelmError
from meshinstall.model.cluster import Access
from meshinstall.model.facts import key_of
from meshinstall.model.release import ReleaseKey
from meshinstall.model.secrets import hides
from meshinstall.model.trial import ApiKind, Ground
from meshinstall.ports import Helm

pytestmark = [pytest.mark.tools, pytest.mark.anyio]

KEY = ReleaseKey("istio-system", "istiod")


@pytest.fixture(params=["helm3", "helm4"])
def program(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def helm(program: Path) -> Helm:
    return PyHelm(executable=str(program))


@pytest.fixture
def demo(demo_charts: Path) -> Path:
    return demo_charts / "demo-2.0.0.tgz"


async def test_it_says_its_version(helm: Helm, program: Path) -> None:
    wanted = "3.22.0" if "helm3" in program.parent.name else "4.3.1"

    assert await helm.version() == wanted


async def test_it_renders_a_chart_with_values(helm: Helm, demo: Path) -> None:
    (found,) = yaml.safe_load_all(await helm.template(KEY, demo, {"colour": "red"}, Ground("1.36.3")))

    assert found["data"] == {"colour": "red"}


async def test_null_deletes_a_default(helm: Helm, demo: Path) -> None:
    with pytest.raises(HelmError, match="no colour"):
        await helm.template(KEY, demo, {"colour": None}, Ground("1.36.3"))


async def test_it_renders_all_of_istiod(helm: Helm, charts_dir: Path) -> None:
    text = await helm.template(KEY, charts_dir / "istiod-1.31.0.tgz", {"replicaCount": 3, "autoscaleEnabled": False}, Ground("1.36.3"))

    found = {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(text) if item}
    assert found["Deployment", "istiod"]["spec"]["replicas"] == 3
    assert found["Deployment", "istiod"]["metadata"]["namespace"] == "istio-system"


async def test_it_renders_what_an_install_sends_crds_too_but_no_tests(helm: Helm, tmp_path: Path) -> None:
    (tmp_path / "crds").mkdir()
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: demo\nversion: 1.0.0\n")
    (tmp_path / "crds" / "a.yaml").write_text("kind: CustomResourceDefinition\n")
    (tmp_path / "templates" / "test.yaml").write_text("kind: Pod\nmetadata: {annotations: {helm.sh/hook: test}}\n")

    text = await helm.template(KEY, tmp_path, {}, Ground("1.36.3"))

    assert [found["kind"] for found in yaml.safe_load_all(text)] == ["CustomResourceDefinition"]


@pytest.mark.parametrize(("upgrade", "policy"), [(False, "Ignore"), (True, None)])
async def test_it_renders_an_upgrade_as_one(helm: Helm, charts_dir: Path, *, upgrade: bool, policy: str | None) -> None:
    text = await helm.template(KEY, charts_dir / "istiod-1.31.0.tgz", {}, Ground("1.36.3"), upgrade=upgrade)

    found = next(item for item in yaml.safe_load_all(text) if item and item["kind"] == "ValidatingWebhookConfiguration")
    assert {hook.get("failurePolicy") for hook in found["webhooks"]} == {policy}


async def test_a_chart_sees_the_kinds_that_the_cluster_serves(helm: Helm, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: demo\nversion: 1.0.0\n")
    seen = '{{ .Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor" }}'
    (tmp_path / "templates" / "seen.yaml").write_text(f"kind: ConfigMap\ndata: {{seen: {seen}}}\n")
    kinds = {("monitoring.coreos.com/v1", "ServiceMonitor"): ApiKind("servicemonitors", namespaced=True)}

    for ground, wanted in ((Ground("1.36.3", kinds), True), (Ground("1.36.3"), False)):
        (found,) = yaml.safe_load_all(await helm.template(KEY, tmp_path, {}, ground))
        assert found["data"] == {"seen": wanted}


async def test_base_renders_istio_s_crds(helm: Helm, charts_dir: Path) -> None:
    text = await helm.template(ReleaseKey("istio-system", "istio-base"), charts_dir / "base-1.31.0.tgz", {}, Ground("1.36.3"))

    assert "peerauthentications.security.istio.io" in text


async def test_an_unknown_platform_is_explained(helm: Helm, charts_dir: Path) -> None:
    with pytest.raises(HelmError, match=r"helm template of istio-system/istiod failed: .*unknown platform") as caught:
        await helm.template(KEY, charts_dir / "istiod-1.31.0.tgz", {"global": {"platform": "eks"}}, Ground("1.36.3"))

    assert "meshinstall explain" in caught.value.hint


async def test_a_value_that_the_schema_refuses_is_explained(helm: Helm, charts_dir: Path) -> None:
    with pytest.raises(HelmError, match="don't meet the specifications of the schema") as caught:
        await helm.template(KEY, charts_dir / "gateway-1.31.0.tgz", {"replicaCount": "many"}, Ground("1.36.3"))

    assert "replicaCount" in caught.value.message
    assert "meshinstall explain" in caught.value.hint


async def test_a_corrupt_archive_is_an_error(helm: Helm, tmp_path: Path) -> None:
    (tmp_path / "c.tgz").write_bytes(b"no chart")

    with pytest.raises(HelmError, match="helm template of istio-system/istiod failed"):
        await helm.template(KEY, tmp_path / "c.tgz", {}, Ground("1.36.3"))


async def test_an_api_server_that_is_not_there_is_named(program: Path, demo: Path, tmp_path: Path) -> None:
    helm = PyHelm(Access("mesh", "https://127.0.0.1:1", kubeconfig(tmp_path, "https://127.0.0.1:1"), "mesh"), str(program))

    with pytest.raises(HelmError, match=r"helm upgrade of istio-system/istiod failed: [Kk]ubernetes cluster unreachable") as caught:
        await helm.upgrade(KEY, demo, {}, description="x")

    assert "127.0.0.1:1: connect: connection refused" in caught.value.message
    assert caught.value.hint.startswith("the API server does not answer helm")


async def test_a_context_that_is_not_there_is_named(program: Path, tmp_path: Path) -> None:
    helm = PyHelm(Access("mesh", "https://127.0.0.1:1", kubeconfig(tmp_path, "https://127.0.0.1:1"), "other"), str(program))

    with pytest.raises(HelmError, match='context "other" does not exist') as caught:
        await helm.uninstall(KEY)

    assert "--context" in caught.value.hint


def kubeconfig(folder: Path, address: str) -> Path:
    """A kubeconfig with one context, mesh."""
    file = folder / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "mesh", "cluster": {"server": address}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "mesh", "context": {"cluster": "mesh", "user": "me"}}],
    }
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize("chart", ["base", "cni", "gateway", "istiod", "ztunnel"])
@pytest.mark.parametrize("values", [{}, {"profile": "ambient"}, {"profile": "demo", "revision": "1-31"}, {"global": {"platform": "gke"}}])
async def test_charts_of_istio_have_nothing_that_looks_like_a_secret(
    helm: Helm, charts_dir: Path, chart: str, values: dict[str, object]
) -> None:
    made = read_objects(await helm.template(KEY, charts_dir / f"{chart}-1.31.0.tgz", values, Ground("1.36.3")))
    assert made
    assert [key_of(one) for one in made if hides(one)] == []
