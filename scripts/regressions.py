"""Runs the tests that are new since a commit on the code of that commit: each must be red there, or it shows nothing.

Run as scripts/test regressions BASE [pytest options]. Files that the old code cannot import, or with
which it does not end, are told apart.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[1]
NOT_HERE = "not tools and not cluster"
NOT_RUN = ("tests/soak/", "tests/testbed/", "testbed/")
# Seconds for the tests of one file: old code may wait for ever.
PATIENCE = 120


def git(*argv: str, folder: Path = ROOT) -> str:
    """What git prints."""
    return subprocess.run(["git", *argv], cwd=folder, capture_output=True, text=True, check=True).stdout  # noqa: S607 - the git on PATH


def environment(folder: Path) -> dict[str, str]:
    """In which programs that a test starts import the code of ``folder`` too: what is installed is that of now."""
    return {**os.environ, "PYTHONPATH": str(folder)}


def tests(folder: Path, files: Iterable[str]) -> set[str]:
    """The tests of some files, without their parameters; none where a file cannot be imported."""
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-m", NOT_HERE, *files]
    said = subprocess.run(argv, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False).stdout
    return {line.partition("[")[0] for line in said.splitlines() if "::" in line and not line.startswith("ERROR")}


def names(folder: Path) -> set[str]:
    """The names of all test functions there: one that moved to another file is not new."""
    return {name for file in (folder / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())}


def run(folder: Path, file: str, options: Iterable[str]) -> tuple[set[str], set[str]]:
    """The tests of a file that pass there, and those that do not; none where it does not end or cannot be imported."""
    report = folder / "regressions.xml"
    report.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", NOT_HERE]
    argv += [f"--junitxml={report}", "-o", "junit_family=xunit1", *options, file]
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(argv, cwd=folder, env=environment(folder), check=False, stdout=subprocess.DEVNULL, timeout=PATIENCE)
    green, red = set[str](), set[str]()
    cases = ET.parse(report).iter("testcase") if report.exists() else ()  # noqa: S314 - pytest wrote it
    for case in cases:
        name = f"{case.get('file')}::{(case.get('name') or '').partition('[')[0]}"
        (red if case.find("failure") is not None or case.find("error") is not None else green).add(name)
    return green - red, red


def main(base: str, *options: str) -> int:
    """Print the new tests that are green on the old code; the status is 1 when there is one."""
    # The testbed stands beside the tests; its own tests show nothing with it.
    changed = git("diff", "--name-only", "--diff-filter=AM", base, "--", "tests", "testbed").split()
    files = [name for name in changed if Path(name).name.startswith("test_") and not name.startswith(NOT_RUN)]
    with tempfile.TemporaryDirectory(prefix="meshinstall-regressions-") as temporary:
        old = Path(temporary) / "old"
        git("worktree", "add", "--detach", str(old), base)
        try:
            known = names(old)
            for name in changed:
                (old / name).parent.mkdir(parents=True, exist_ok=True)
                (old / name).write_bytes((ROOT / name).read_bytes())
            new = {name for name in tests(ROOT, files) if name.rpartition("::")[2] not in known}
            found = [run(old, file, options) for file in files]
        finally:
            git("worktree", "remove", "--force", str(old))
    green, red = (set[str]().union(*(pair[side] for pair in found)) for side in (0, 1))
    others = f"{len(new - green - red)} are in files that it cannot import, or with which it does not end"
    print(f"{len(new)} tests are new since {base}: {len(new & red)} are red there, {others}")
    for name in sorted(new & green):
        print(f"green on the old code: {name}")
    return 1 if new & green else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
