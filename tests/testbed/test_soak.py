"""A soak that was ended goes on where it was."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
# Its second test ends the whole run, the first time.
ROUNDS = """
import os, pathlib

def test_first():
    pass

def test_second():
    if not (ended := pathlib.Path(__file__).with_name("ended")).exists():
        ended.touch()
        os.kill(os.getpid(), 9)

def test_third():
    pass
"""


def soak(folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(REPOSITORY)}
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={folder}", "test_rounds.py"]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_what_passed_before_the_end_is_left_out_until_all_has_passed(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "tests/soak/conftest.py", tmp_path)
    (tmp_path / "test_rounds.py").write_text(ROUNDS)
    assert soak(tmp_path).returncode == -signal.SIGKILL
    again = soak(tmp_path)
    assert "left out, for they passed before: 1 (" in again.stdout
    assert "2 passed, 1 deselected" in again.stdout
    anew = soak(tmp_path)
    assert "3 passed in" in anew.stdout
    assert not list((tmp_path / "cache/meshinstall/soak").iterdir())
