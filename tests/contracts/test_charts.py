"""What every source of charts does alike: a folder, a Helm repository made by helm, a real OCI registry filled by helm."""

import hashlib
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
import urllib3

from meshinstall.adapters.charts.store import read_chart
from meshinstall.errors import ChartError
from meshinstall.model.release import ChartRef
from meshinstall.ports import Charts

pytestmark = [pytest.mark.tools, pytest.mark.anyio]


@dataclass(frozen=True)
class Place:
    """A source and the archives that were put into it."""

    source: str
    archives: Path

    def chart(self, name: str, version: str) -> ChartRef:
        """A chart of this source."""
        return ChartRef(name, version, self.source)

    def digest(self, name: str, version: str) -> str:
        """Digest of the archive that was put in."""
        return f"sha256:{hashlib.sha256(self.archive(name, version).read_bytes()).hexdigest()}"

    def archive(self, name: str, version: str) -> Path:
        """The archive that was put in."""
        return self.archives / f"{name}-{version}.tgz"


@pytest.fixture(scope="session")
def archives(charts_dir: Path, demo_charts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    together = tmp_path_factory.mktemp("archives")
    for archive in (*charts_dir.glob("*.tgz"), *demo_charts.glob("*.tgz")):
        shutil.copy(archive, together)
    return together


@pytest.fixture(scope="session")
def repository(archives: Path, helm4: Path, serve_folder: Callable[[Path], str]) -> str:
    subprocess.run([helm4, "repo", "index", archives], check=True, capture_output=True)
    return serve_folder(archives)


@pytest.fixture(scope="session")
def oci(archives: Path, helm4: Path, registry: str) -> str:
    source = f"oci://{registry}/release/charts"
    for archive in archives.glob("*.tgz"):
        subprocess.run([helm4, "push", archive, source, "--plain-http"], check=True, capture_output=True)
    return source


@pytest.fixture(params=["folder", "repository", "oci"])
def place(request: pytest.FixtureRequest, archives: Path) -> Place:
    return Place(str(archives) if request.param == "folder" else request.getfixturevalue(request.param), archives)


async def test_resolving_gives_the_digest_of_the_archive(store: Charts, place: Place) -> None:
    found = await store.resolve(place.chart("istiod", "1.31.0"))

    assert found == replace(place.chart("istiod", "1.31.0"), digest=place.digest("istiod", "1.31.0"))


async def test_a_registry_knows_a_chart_by_its_manifest_and_no_other_source_does(store: Charts, place: Place) -> None:
    chart = await store.resolve(place.chart("istiod", "1.31.0"))
    found = await store.manifest(chart)
    if not place.source.startswith("oci://"):
        assert found == ""
        return
    host, _, path = place.source.removeprefix("oci://").partition("/")
    ask = partial(urllib3.request, "GET", f"http://{host}/v2/{path}/istiod/manifests/{found}", headers={"Accept": "*/*"})
    answer = await anyio.to_thread.run_sync(ask)
    assert answer.status == 200
    assert answer.json()["layers"][0]["digest"] == chart.digest
    with pytest.raises(ChartError, match=r"chart istiod 1\.31\.0: expected sha256:0+, but"):
        await store.manifest(replace(chart, digest=f"sha256:{'0' * 64}"))


async def test_fetching_gives_the_bytes_that_were_resolved_in_a_private_file(store: Charts, place: Place) -> None:
    archive = await store.fetch(await store.resolve(place.chart("gateway", "1.31.0")))

    assert archive.read_bytes() == place.archive("gateway", "1.31.0").read_bytes()
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert stat.S_IMODE(archive.parent.stat().st_mode) == 0o700
    assert read_chart(archive).metadata["name"] == "gateway"


async def test_a_chart_without_a_digest_is_fetched_as_the_source_has_it(store: Charts, place: Place) -> None:
    archive = await store.fetch(place.chart("base", "1.31.0"))

    assert archive.read_bytes() == place.archive("base", "1.31.0").read_bytes()


@pytest.mark.parametrize(("asked", "given"), [("1.2", "1.2.10"), ("1", "1.2.10"), ("2", "2.0.0"), ("1.3.0-rc.1", "1.3.0-rc.1")])
async def test_the_beginning_of_a_version_stands_for_its_newest_release(store: Charts, place: Place, asked: str, given: str) -> None:
    assert (await store.resolve(place.chart("demo", asked))).version == given


async def test_a_version_with_build_metadata_is_found(store: Charts, place: Place) -> None:
    found = await store.resolve(place.chart("demo", "1.2.4+build.7"))

    assert found.digest == place.digest("demo", "1.2.4+build.7")


async def test_a_missing_version_is_an_error_that_lists_what_there_is(store: Charts, place: Place) -> None:
    with pytest.raises(ChartError, match=r"chart demo has no version 9.9.9 at") as caught:
        await store.resolve(place.chart("demo", "9.9.9"))

    assert place.source in caught.value.message
    assert caught.value.hint == "it has 2.0.0, 1.3.0-rc.1, 1.2.10, 1.2.4+build.7, 1.2.3"


@pytest.mark.parametrize("asked", ["1.7", "1.3"])
async def test_a_beginning_that_no_release_has_is_an_error(store: Charts, place: Place, asked: str) -> None:
    with pytest.raises(ChartError, match=f"has no version {asked} at"):
        await store.resolve(place.chart("demo", asked))


async def test_an_unknown_chart_is_an_error(store: Charts, place: Place) -> None:
    with pytest.raises(ChartError, match="there is no chart nothing at"):
        await store.resolve(place.chart("nothing", "1.0.0"))


async def test_a_range_is_an_error(store: Charts, place: Place) -> None:
    with pytest.raises(ChartError, match=r"version '\^1.30' of chart demo is neither a full version such as 1.31.0 nor a prefix"):
        await store.resolve(place.chart("demo", "^1.30"))


async def test_a_chart_that_is_not_the_pinned_one_says_what_was_expected_what_came_and_from_where(store: Charts, place: Place) -> None:
    pinned = replace(place.chart("istiod", "1.31.0"), digest=f"sha256:{'0' * 64}")

    with pytest.raises(ChartError) as caught:
        await store.fetch(pinned)

    assert caught.value.message == (
        f"chart istiod 1.31.0: expected {pinned.digest}, but {place.source} has {place.digest('istiod', '1.31.0')}"
    )
    assert "lock --update" in caught.value.hint


async def test_a_fetched_chart_is_found_without_its_source(store: Charts, place: Place) -> None:
    pinned = await store.resolve(place.chart("base", "1.31.0"))
    archive = await store.fetch(pinned)

    assert await store.fetch(replace(pinned, source="oci://localhost:1/gone")) == archive


async def test_a_damaged_file_of_the_cache_is_fetched_again(store: Charts, place: Place) -> None:
    pinned = await store.resolve(place.chart("base", "1.31.0"))
    damaged = await store.fetch(pinned)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")

    assert (await store.fetch(pinned)).read_bytes() == place.archive("base", "1.31.0").read_bytes()


async def test_an_unpacked_chart_is_an_error_that_says_how_to_pack_it(store: Charts, tmp_path: Path) -> None:
    (tmp_path / "istiod").mkdir()
    (tmp_path / "istiod" / "Chart.yaml").write_text("name: istiod\n")

    with pytest.raises(ChartError, match="is an unpacked chart") as caught:
        await store.resolve(ChartRef("istiod", "1.31.0", str(tmp_path)))

    assert caught.value.hint == f"package it: helm package {tmp_path}/istiod -d {tmp_path}"


async def test_an_archive_under_a_wrong_name_is_an_error(store: Charts, tmp_path: Path, charts_dir: Path) -> None:
    shutil.copy(charts_dir / "base-1.31.0.tgz", tmp_path / "istiod-1.31.0.tgz")

    with pytest.raises(ChartError, match=r"returned chart base 1.31.0 for istiod 1.31.0"):
        await store.fetch(ChartRef("istiod", "1.31.0", str(tmp_path)))


async def test_an_index_without_digests_is_enough(
    store: Charts, archives: Path, helm4: Path, serve_folder: Callable[[Path], str], tmp_path: Path
) -> None:
    shutil.copy(archives / "demo-2.0.0.tgz", tmp_path)
    await anyio.run_process([str(helm4), "repo", "index", str(tmp_path)])
    index = tmp_path / "index.yaml"
    index.write_text("".join(line for line in index.read_text().splitlines(keepends=True) if "digest:" not in line))

    found = await store.resolve(ChartRef("demo", "2", serve_folder(tmp_path)))

    assert found.digest == f"sha256:{hashlib.sha256((archives / 'demo-2.0.0.tgz').read_bytes()).hexdigest()}"


async def test_an_image_in_a_registry_is_no_chart(store: Charts, oci: str, registry: str) -> None:
    base = f"http://{registry}/v2/release/charts/image"
    config = b"{}"
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    with urllib3.PoolManager() as http:
        upload = http.request("POST", f"{base}/blobs/uploads/").headers["Location"]
        http.request("PUT", f"http://{registry}{upload}?digest={digest}", body=config)
        kind = "application/vnd.oci.image.manifest.v1+json"
        manifest = {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(config), "digest": digest},
            "layers": [],
        }
        assert http.request("PUT", f"{base}/manifests/1.0.0", json=manifest, headers={"Content-Type": kind}).status == 201

    with pytest.raises(ChartError, match=r"image:1.0.0 is not a Helm chart but 'application/vnd.oci.image.config"):
        await store.resolve(ChartRef("image", "1.0.0", oci))
