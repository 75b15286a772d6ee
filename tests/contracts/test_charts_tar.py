"""Our reader of tar archives: what every program packs is read as Python's tarfile and helm read it, and nothing ends it but the end."""

import gzip
import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from meshinstall.adapters.charts.store import read_chart
from meshinstall.adapters.charts.tar import Kind, Member, members
from meshinstall.errors import ChartError

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
CHART = b"apiVersion: v2\nname: demo\nversion: 1.0.0\n"
HUGE = 2**62

paths = some.lists(some.text(some.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60), min_size=1)


def file(name: str, content: bytes = b"", **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def packed(*found: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as tar:
        for info, content in found:
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


def header(name: str, kind: bytes = b"0", size: int = 0, content: bytes = b"") -> bytes:
    """A header with whatever size, and what follows it."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def record(text: str) -> bytes:
    """A line of an extended header."""
    length = next(number for number in range(len(text) + 2, 99_999) if len(f"{number} {text}\n".encode()) == number)
    return f"{length} {text}\n".encode()


@given(
    found=some.dictionaries(paths.map("/".join).filter(lambda path: len(path.encode()) < 3000), some.binary(max_size=1500), max_size=5),
    form=some.sampled_from(["gnu", "pax"]),
)
def test_what_tarfile_packs_is_read_back(found: dict[str, bytes], form: str) -> None:
    archive = packed(*(file(name, content) for name, content in found.items()), form=FORMATS[form])
    # A name's last slash means a folder, which Python takes away.
    assert list(members(io.BytesIO(archive).read, 2000)) == [Member(name, Kind.FILE, data) for name, data in found.items()]


@pytest.mark.tools
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_helm_reads_the_same(form: str, helm: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    program: Path = request.getfixturevalue(helm)
    deep = f"demo/templates/{'d' * 60}/{'é' if form == 'pax' else 'e'}{'f' * 70}.txt"
    archive = tmp_path / "demo.tgz"
    archive.write_bytes(
        gzip.compress(
            packed(file("demo/Chart.yaml", CHART), file(deep, b"x" * 700), file("demo/values.yaml", b"a: 1\n"), form=FORMATS[form])
        )
    )
    theirs = subprocess.run([program, "show", "values", archive], check=True, capture_output=True, text=True, env={"HOME": str(tmp_path)})

    assert theirs.stdout.strip() == read_chart(archive).values.strip() == "a: 1"


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (header("demo/big", size=HUGE), "number that is not octal"),
        (header("demo/big", size=8**11 - 1), "demo/big of more than 5 MiB"),
        (header("demo/x", b"x", 8**11 - 1), "extended header has more than 64 KiB"),
        (header("demo/x", b"L", 8**11 - 1), "extended header has more than 64 KiB"),
        (header("demo/x", b"x", 60, record(f"size={HUGE}")[:60]) + header("demo/big"), "extended header is not valid"),
        (packed(file("demo/big", pax_headers={"size": str(HUGE)})), "demo/big of more than 5 MiB"),
        (packed(file("demo/big", pax_headers={"size": "9" * 5000})), "size that is not a number"),
        (packed(file("demo/s", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})), "neither a file nor a folder"),
        (header("demo/s", b"S"), "neither a file nor a folder"),
        (packed(file("demo/l", type=tarfile.LNKTYPE, linkname="demo/Chart.yaml")), "neither a file nor a folder"),
        (packed(file("demo/l", type=tarfile.SYMTYPE, linkname="/etc/passwd")), "neither a file nor a folder"),
        (packed(file("demo/p", type=tarfile.FIFOTYPE)), "neither a file nor a folder"),
        (packed(file("demo/d", type=tarfile.CHRTYPE)), "neither a file nor a folder"),
        (packed(file("demo/t/a"), file("demo/./t//a")), "has t/a twice"),
        (packed(file("demo/t/a"), file("other/t/a")), "has t/a twice"),
        (packed(file("demo/a", pax_headers={"path": "demo/../../x"})), "leads out of the chart"),
        (header("demo/a")[:300], "middle of a header"),
        (header("demo/a", size=100) + b"x" * 50, "middle of demo/a"),
        (header("demo/a").replace(b"demo/a", b"demo/b"), "checksum of a header is wrong"),
        (bytes(512) + header("demo/a"), "does not end with two blocks of zeros"),
        (header("demo/x", b"x", 20, b"99999999999999999999"), "extended header is not valid"),
        (header("demo/x", b"x", 5, b"5 =\n\n"), "extended header is not valid"),
        (header("demo/x", b"x", 6, b"0 a=b\n"), "extended header is not valid"),
        (header("demo/x", b"x") * 150_000, "has no Chart.yaml"),
    ],
)
def test_no_archive_takes_more_than_it_has(archive: bytes, message: str, tmp_path: Path) -> None:
    hostile = tmp_path / "demo.tgz"
    hostile.write_bytes(gzip.compress(archive, compresslevel=1))
    with pytest.raises(ChartError, match=message):
        read_chart(hostile)


@given(where=some.integers(0, 2500), put=some.binary(min_size=1, max_size=12), cut=some.none() | some.integers(0, 3000))
def test_a_changed_archive_is_a_chart_or_a_chart_error(
    tmp_path_factory: pytest.TempPathFactory, where: int, put: bytes, cut: int | None
) -> None:
    whole = packed(file("demo/Chart.yaml", CHART), file(f"demo/{'x' * 120}", b"y"), form=tarfile.GNU_FORMAT)
    changed = (whole[:where] + put + whole[where + len(put) :])[:cut]
    archive = tmp_path_factory.getbasetemp() / "changed.tgz"
    archive.write_bytes(gzip.compress(changed, compresslevel=1))
    _read_or_refuse(archive)


def _read_or_refuse(archive: Path, read: Callable[[Path], object] = read_chart) -> None:
    try:
        read(archive)
    except ChartError as error:
        assert error.message  # noqa: PT017 - either is right
