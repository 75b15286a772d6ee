"""The image of a nightly job, made of what is installed here: Python, meshinstall with what it needs, helm and a shell, and charts."""

import compileall
import hashlib
import json
import py_compile
import re
import shutil
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from testbed.build.oci import Image, Layer, write_archive, write_layer
from testbed.build.workshop import Workshop
from testbed.errors import TestbedError
from testbed.paths import REPOSITORY

# Where charts are in the image, for charts.source.
CHARTS = "/opt/charts"
_NAME = "testbed.local/meshinstall"
_PACKAGE = "meshinstall"
# What decides the layer with Python beside this file.
PINS = REPOSITORY / "requirements" / "dev.txt"
_LIBRARIES = "opt/meshinstall"
_LAYER = "python.layer"
# Of Python's own library: what no program uses that has no window, or that only tests use.
_UNUSED = {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3"}
_START = f"""\
#!/usr/local/bin/python3
import sys

sys.path.insert(0, "/{_LIBRARIES}")
from meshinstall.__main__ import main

main()
"""


@dataclass(frozen=True, slots=True)
class JobImage:
    """An OCI archive, and the name by which pods ask for what is in it: with its digest."""

    archive: Path
    name: str


def build_python(shop: Workshop, out: Path) -> None:
    """The layer that changes seldom: Python, the libraries that it loads, and the packages that meshinstall depends on."""
    draft = out / "draft"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program = draft / "usr/local/bin" / version
    program.parent.mkdir(parents=True)
    shutil.copy(Path(sys.executable).resolve(), program)
    (program.parent / "python3").symlink_to(version)
    shutil.copytree(sysconfig.get_path("stdlib"), draft / "usr/local/lib" / version, ignore=_leave_out)
    for name in sorted(_dependencies(_PACKAGE) - {_PACKAGE}):
        _copy_package(distribution(name), draft / _LIBRARIES)
    for soname, file in _shared(shop, [program, *draft.rglob("*.so*")]):
        target = draft / ("lib64" if soname.startswith("ld-linux") else "lib/x86_64-linux-gnu") / soname
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    _write(draft, out / _LAYER)


def write_job_image(shop: Workshop, folder: Path, charts: Iterable[Path]) -> JobImage:
    """Write the image with the meshinstall of this checkout, and the charts of these folders in CHARTS; its archive is in ``folder``."""
    draft = folder / "draft"
    _copy_meshinstall(draft / _LIBRARIES)
    start = draft / "usr/local/bin" / _PACKAGE
    start.parent.mkdir(parents=True)
    start.write_text(_START)
    start.chmod(0o755)
    shutil.copy(shop.part("helm4") / "helm", start.parent)
    # The shell by which helm is started.
    (draft / "bin").mkdir()
    shutil.copy(shop.part("debian") / "busybox", draft / "bin/sh")
    (draft / CHARTS.lstrip("/")).mkdir(parents=True)
    for file in (file for one in charts for file in one.glob("*.tgz")):
        shutil.copy(file, draft / CHARTS.lstrip("/"))
    layers = [_read_layer(shop.part("job-python") / _LAYER), _write(draft, folder / "program.layer")]
    archive = folder / "image.tar"
    # The digest is that of a manifest without the name: it is known when the archive is written once.
    write_archive(archive, [Image(_NAME, layers, [f"/usr/local/bin/{_PACKAGE}"])])
    name = f"{_NAME}@{_digest(archive)}"
    write_archive(archive, [Image(name, layers, [f"/usr/local/bin/{_PACKAGE}"])])
    layers[-1].path.unlink()
    return JobImage(archive, name)


def _leave_out(_: str, names: list[str]) -> set[str]:
    return {name for name in names if name in _UNUSED or name.startswith(("config-", "_tkinter"))}


def _dependencies(package: str) -> set[str]:
    """Names of what is installed for a package and its dependencies, in this environment."""
    found: set[str] = set()
    stack = [Requirement(package)]
    while stack:
        wanted = stack.pop()
        found.add(wanted.name)
        for text in distribution(wanted.name).requires or ():
            needed = Requirement(text)
            extras = wanted.extras or {""}
            if needed.name not in found and (not needed.marker or any(needed.marker.evaluate({"extra": extra}) for extra in extras)):
                stack.append(needed)
    return found


def _copy_package(package: Distribution, target: Path) -> None:
    """What is installed of a package, but for commands and compiled code."""
    for file in package.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            copy = target / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(package.locate_file(file)), copy)


def _copy_meshinstall(target: Path) -> None:
    """As its wheel has it, which is what users install: the built-in profiles and values inside of the package."""
    shutil.copytree(REPOSITORY / _PACKAGE, target / _PACKAGE, ignore=_leave_out)
    for name in ("profiles", "values"):
        shutil.copytree(REPOSITORY / name, target / _PACKAGE / "_bundled" / name)
    about = f"Metadata-Version: 2.4\nName: {_PACKAGE}\nVersion: {distribution(_PACKAGE).version}\n"
    folder = target / f"{_PACKAGE}-{distribution(_PACKAGE).version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(about)


def _shared(shop: Workshop, programs: list[Path]) -> Iterator[tuple[str, Path]]:
    """Names and files of what the dynamic linker loads with these."""
    found = {
        Path(path).name: Path(path)
        for path in re.findall(r"(?:=> |^\t)(/\S+) \(0x", shop.run("job-python", ["ldd", *programs]), re.MULTILINE)
    }
    if missing := [file for file in found.values() if not file.exists()]:
        message = f"building job-python failed: {missing} are not there"
        raise TestbedError(message)
    yield from sorted(found.items())


def _write(draft: Path, path: Path) -> Layer:
    """A layer of a folder, which goes; all may read it, and Python's code is compiled, for no pod can write it beside the source."""
    compileall.compile_dir(
        draft, quiet=2, stripdir=str(draft), prependdir="/", invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH, workers=1
    )
    for file in draft.rglob("*"):
        if not file.is_symlink():
            file.chmod(0o755 if file.is_dir() or file.stat().st_mode & 0o100 else 0o644)
    layer = write_layer(path, {one.name: one for one in draft.iterdir()})
    shutil.rmtree(draft)
    return layer


def _read_layer(path: Path) -> Layer:
    with path.open("rb") as file:
        return Layer(path, hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def _digest(archive: Path) -> str:
    """Digest of the one image in an archive."""
    with tarfile.open(archive) as tar:
        file = tar.extractfile("index.json")
        assert file is not None  # noqa: S101 - a regular file
        (manifest,) = json.loads(file.read())["manifests"]
        return str(manifest["digest"])
