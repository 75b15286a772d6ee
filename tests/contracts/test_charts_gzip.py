"""The gzip around a chart costs no more time than its bytes do, whatever its headers and streams are."""

import gzip
import io
import resource
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import pytest

from meshinstall.adapters.charts.archive import read_chart
from meshinstall.adapters.charts.source import MAX_ARCHIVE
from meshinstall.errors import ChartError

REPOSITORY = Path(__file__).parents[2]
# Seconds of a processor: several times what it takes, and less than Python's gzip takes.
MOST = 2
READ = "import sys; from pathlib import Path; from meshinstall.adapters.charts.archive import read_chart; read_chart(Path(sys.argv[1]))"


def tar() -> bytes:
    """A chart of one file."""
    packed, text = io.BytesIO(), b"name: demo\nversion: 1.0.0\n"
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("demo/Chart.yaml")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return packed.getvalue()


def stream(flags: int, header: bytes) -> bytes:
    """The chart in a stream with more in its header (RFC 1952)."""
    packer = zlib.compressobj(9, wbits=-15)
    body = packer.compress(tar()) + packer.flush()
    return b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\xff" + header + body + gzip.compress(tar())[-8:]


HOSTILE = {
    "a name of megabytes": stream(8, b"a" * (MAX_ARCHIVE - 10_000) + b"\0"),
    "a comment of megabytes": stream(16, b"a" * (MAX_ARCHIVE - 10_000) + b"\0"),
    "a million empty streams": gzip.compress(b"") * (MAX_ARCHIVE // 20 - 1000) + gzip.compress(tar()),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_takes_no_time(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "demo.tgz"
    archive.write_bytes(HOSTILE[name])
    done = subprocess.run(
        [sys.executable, "-c", READ, archive],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (MOST, MOST)),
    )
    assert done.returncode in {0, 1}, done


def test_a_million_streams_are_refused(tmp_path: Path) -> None:
    archive = tmp_path / "demo.tgz"
    archive.write_bytes(HOSTILE["a million empty streams"])
    with pytest.raises(ChartError, match="more than 1000 streams of gzip"):
        read_chart(archive)


@pytest.mark.parametrize("pieces", [1, 2, 7, 999])
def test_several_streams_are_one_archive(tmp_path: Path, pieces: int) -> None:
    """As pigz and bgzip write it."""
    whole, archive = tar(), tmp_path / "demo.tgz"
    size = -(-len(whole) // pieces)
    archive.write_bytes(b"".join(gzip.compress(whole[at : at + size]) for at in range(0, len(whole), size)) + b"\0" * 100)
    assert read_chart(archive).metadata == {"name": "demo", "version": "1.0.0"}


@pytest.mark.parametrize("left", [0, 1, 9, 10, 11, 40, 80])
def test_an_archive_that_ends_too_early_is_refused(tmp_path: Path, left: int) -> None:
    archive = tmp_path / "demo.tgz"
    archive.write_bytes(gzip.compress(tar()[:-1024])[:left])
    with pytest.raises(ChartError, match="corrupt"):
        read_chart(archive)
