"""What passes is kept, by the name of the soak and by the code that was tested: a soak that was ended goes on with the rest.

Also the mesh that soaks of upgrades share.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed import paths
from tests.cluster.two_istios import TwoIstios, two_istios
from tests.soak.upgrade_mesh import Meshes

_CODE = ("meshinstall", "testbed", "tests", "profiles", "values", "requirements", "pyproject.toml")


def _key() -> str:
    """A name for all code that can make a difference."""
    files = sorted(
        file
        for name in _CODE
        for file in ([paths.REPOSITORY / name] if "." in name else (paths.REPOSITORY / name).rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    )
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(paths.REPOSITORY)}\n{file.stat().st_size}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


class Record:
    """The tests of a soak that passed, a line each; forgotten when all have."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._passed = set(file.read_text().splitlines()) if file.exists() else set()

    def pytest_report_header(self) -> str:
        """Say what is left out."""
        return f"soak: left out, for they passed before: {len(self._passed)} ({self._file})"

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what has passed."""
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in self._passed])
        items[:] = [item for item in items if item.nodeid not in self._passed]


class Writer:
    """Adds to the record; in the process that hears of all workers."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a test that passed at once: the next moment may be the last."""
        if report.when == "call" and report.passed:
            with self._file.open("a") as file:
                file.write(f"{report.nodeid}\n")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Forget the record when nothing is left, so that the next run begins anew."""
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self._file.exists():
            session.exitstatus = pytest.ExitCode.OK
        # What -k left out may still have passed before.
        if session.exitstatus == pytest.ExitCode.OK and not session.config.option.keyword:
            self._file.unlink(missing_ok=True)


def pytest_configure(config: pytest.Config) -> None:
    """One record for each soak and each state of the code."""
    name = "-".join(Path(argument).stem for argument in config.args)
    file = paths.cache_dir().parent / "soak" / f"{name}-{_key()}"
    config.pluginmanager.register(Record(file))
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Writer(file))


@pytest.fixture(scope="module")
def meshes(build_part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meshes]:
    """Where tests of upgrades get their mesh from."""
    found = Meshes(lambda: two_istios("soak-upgrade", build_part, tmp_path_factory.mktemp("project"), ()))
    try:
        yield found
    finally:
        found.end()


@pytest.fixture
def old(meshes: Meshes) -> TwoIstios:
    """The mesh as it is before an upgrade, whatever the test before came to."""
    return meshes.old()
