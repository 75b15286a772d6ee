"""Chart archives, hostile ones too, the cache that keeps them, and the order of versions."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from meshinstall.adapters.charts.cache import ArchiveCache
from meshinstall.adapters.charts.store import read_chart
from meshinstall.adapters.charts.versions import newest
from meshinstall.errors import ChartError
from meshinstall.model.release import ChartRef

Pack = Callable[..., Path]


def member(name: str, content: bytes = b"", **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


CHART = ChartRef("demo", "1.0.0", "here")
CHART_YAML = member("demo/Chart.yaml", b"name: demo\nversion: 1.0.0\n")


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Packs members into an archive."""

    def write(*members: tuple[tarfile.TarInfo, bytes]) -> Path:
        archive = tmp_path / "demo.tgz"
        with tarfile.open(archive, "w:gz") as tar:
            for info, content in members:
                tar.addfile(info, io.BytesIO(content))
        return archive

    return write


@pytest.mark.tools
def test_istiod_s_chart_says_its_values_its_schema_if_any_and_its_profiles(charts_dir: Path) -> None:
    istiod, gateway = (read_chart(charts_dir / f"{name}-1.31.0.tgz") for name in ("istiod", "gateway"))

    assert istiod.metadata["version"] == "1.31.0"
    assert "_internal_defaults_do_not_set" in istiod.values
    assert {"ambient", "demo", "platform-gke", "compatibility-version-1.30"} <= istiod.profiles.keys()
    assert istiod.schema is None
    assert gateway.schema is not None
    assert '"$schema"' in gateway.schema


def test_files_of_subcharts_are_not_the_chart_s(pack: Pack) -> None:
    archive = pack(CHART_YAML, member("demo/values.yaml", b"a: 1\n"), member("demo/charts/sub/values.yaml", b"a: 2\n"))

    assert read_chart(archive).values == "a: 1\n"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "has no Chart.yaml"),
        ([member("demo/values.yaml")], "has no Chart.yaml"),
        ([member("demo/Chart.yaml", b"[1, 2]")], "has a Chart.yaml that is not a map"),
        ([member("demo/Chart.yaml", b"a: b: c")], "has a Chart.yaml that is not YAML"),
        ([member("demo/Chart.yaml", b"\xff\xfe")], "is corrupt"),
        ([CHART_YAML, member("demo/../../etc/cron.d/x")], "leads out of the chart: 'demo/../../etc/cron.d/x'"),
        ([CHART_YAML, member("/etc/passwd")], "leads out of the chart"),
        (
            [CHART_YAML, member("demo/values.yaml", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
            "has 'demo/values.yaml', which is neither a file nor a folder",
        ),
        ([CHART_YAML, member("demo/values.yaml", b"a: 1"), member("demo/values.yaml", b"a: 2")], "values.yaml twice"),
        ([CHART_YAML, member("demo/values.yaml", b" " * (5 * 1024**2 + 1))], "values.yaml of more than 5 MiB"),
        ([CHART_YAML, *(member(f"demo/{n}") for n in range(10_000))], "more than 10000 files"),
    ],
)
def test_a_hostile_archive_is_an_error(pack: Pack, members: list[tuple[tarfile.TarInfo, bytes]], message: str) -> None:
    with pytest.raises(ChartError, match=message):
        read_chart(pack(*members))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.tgz"
    with gzip.open(archive, "wb", compresslevel=1) as file:
        for number in range(25):
            header = tarfile.TarInfo(f"demo/{number}")
            header.size = 5 * 1024**2
            file.write(header.tobuf() + bytes(header.size))

    with pytest.raises(ChartError, match="unpacks to more than 100 MiB"):
        read_chart(archive)


@given(some.binary(max_size=200))
def test_any_bytes_are_a_chart_or_a_chart_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    archive = tmp_path_factory.getbasetemp() / "any.tgz"
    archive.write_bytes(content)

    with pytest.raises(ChartError):
        read_chart(archive)


def test_a_truncated_chart_is_corrupt(pack: Pack) -> None:
    archive = pack(CHART_YAML, member("demo/values.yaml", os.urandom(5000).hex().encode()))
    archive.write_bytes(archive.read_bytes()[:-3000])

    with pytest.raises(ChartError, match="is corrupt"):
        read_chart(archive)


def test_the_cache_drops_what_was_used_longest_ago(pack: Pack, tmp_path: Path) -> None:
    contents = [pack(CHART_YAML, member("demo/values.yaml", os.urandom(2000).hex().encode())).read_bytes() for _ in range(3)]
    cache = ArchiveCache(tmp_path / "cache", max_total=2 * max(map(len, contents)))
    chart = ChartRef("demo", "1.0.0", "here")

    def add(content: bytes, used: int) -> str:
        digest, archive = cache.add(chart, lambda file: file.write(content))
        os.utime(archive, (used, used))
        return digest

    first, second = add(contents[0], used=100), add(contents[1], used=200)
    cache.find(first)
    third = add(contents[2], used=300)

    assert cache.find(second) is None
    assert cache.find(first)
    assert cache.find(third)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_cache_that_others_can_write_is_refused_with_a_way_out(pack: Pack, tmp_path: Path, mode: int) -> None:
    cache = tmp_path / "cache"
    store = ArchiveCache(cache)
    content = pack(CHART_YAML).read_bytes()
    digest, _ = store.add(CHART, lambda out: out.write(content))
    cache.chmod(mode)

    for use in (lambda: store.find(digest), lambda: store.add(CHART, lambda out: out.write(content))):
        with pytest.raises(ChartError, match=rf"cache can be written by other users \(mode {mode:04o}\): they could replace") as caught:
            use()
        assert caught.value.hint == f"run `chmod go-w {cache}`, or set XDG_CACHE_HOME to a folder of your own"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a folder away")
def test_a_cache_of_another_user_is_refused(pack: Pack, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    os.chown(cache, 12345, 12345)

    with pytest.raises(ChartError, match="cache belongs to the user with ID 12345"):
        ArchiveCache(cache).add(CHART, lambda out: out.write(pack(CHART_YAML).read_bytes()))


def test_many_runs_may_fill_one_cache_at_the_same_time(pack: Pack, tmp_path: Path) -> None:
    """Downloads come, are renamed and are trimmed while others look at the folder."""
    archives = [pack(member("demo/Chart.yaml", b"name: demo\nversion: 1.0.%d\n" % number)).read_bytes() for number in range(40)]
    room = 5 * max(map(len, archives))

    def run(number: int) -> str:
        chart = ChartRef("demo", f"1.0.{number}", "here")
        cache = ArchiveCache(tmp_path / "cache", max_total=room)
        digest, _ = cache.add(chart, lambda file: file.write(archives[number]))
        found = cache.find(digest)
        assert found is None or found.name in digest + ".tgz"
        return digest

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(run, [*range(40)] * 3))) == 40


def test_the_cache_clears_downloads_that_nobody_finished(pack: Pack, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    abandoned, running = folder / "new-abandoned", folder / "new-running"
    abandoned.touch()
    running.touch()
    os.utime(abandoned, (100, 100))
    content = pack(CHART_YAML).read_bytes()

    ArchiveCache(folder).add(ChartRef("demo", "1.0.0", "here"), lambda file: file.write(content))

    assert not abandoned.exists()
    assert running.exists()


numbers = some.tuples(some.integers(0, 1), some.integers(0, 2), some.integers(0, 30))


@given(some.sets(numbers, min_size=1))
def test_the_newest_of_a_minor_is_the_highest_number(versions: set[tuple[int, int, int]]) -> None:
    major, minor, _ = next(iter(versions))
    written = [".".join(map(str, version)) for version in versions]
    noise = [f"{major}.{minor}.99-rc.1", f"{major}.{minor}", "latest", f"{major}.{minor}.99-alpha+x"]

    found = newest(ChartRef("demo", f"{major}.{minor}", "here"), [*written, *noise])

    assert found == ".".join(map(str, max(version for version in versions if version[:2] == (major, minor))))
