"""The environments of the scripts: each for its interpreter, never one for another."""

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# A uv that only notes what it is asked for, and makes a folder that looks like an environment.
UV = """#!/bin/sh
echo "$@" >>"$CALLS"
if [ "$1" = venv ]; then
  for folder; do :; done
  rm -rf "$folder" && mkdir -p "$folder/bin" && ln -s /bin/true "$folder/bin/python"
fi
"""


class Scripts:
    """A repository with the shared functions of the scripts alone, and the interpreters that a test puts on its PATH."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.bin, self.calls = folder, folder / "bin", folder / "calls"
        for name in ("scripts", "requirements", "meshinstall", "testbed", "bin", "home", "cache/meshinstall/uv-1/bin"):
            (folder / name).mkdir(parents=True)
        (folder / "scripts/lib.sh").write_text((REPOSITORY / "scripts/lib.sh").read_text())
        (folder / "requirements/uv.txt").write_text("uv==1 \\\n")
        (folder / "requirements/dev.txt").write_text("")
        (folder / "requirements/build.txt").write_text("")
        (folder / "pyproject.toml").write_text("")
        self._program(folder / "cache/meshinstall/uv-1/bin/uv", UV)

    def add_python(self, name: str, version: str, folder: Path | None = None) -> Path:
        """An interpreter that answers the one question that the scripts ask."""
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return self._program(path, f'#!/bin/sh\necho "{version} {path}"\n')

    def add_shim(self, name: str) -> Path:
        """A program with the name of an interpreter that is not there."""
        return self._program(self.bin / name, f'#!/bin/sh\necho "pyenv: {name}: command not found" >&2\nexit 127\n')

    def run(self, command: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a function of the scripts."""
        paths = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self._folder / "home"), "XDG_CACHE_HOME": str(self._folder / "cache")}
        return subprocess.run(
            ["bash", "-c", f"source scripts/lib.sh; {command}"],
            cwd=self._folder,
            env={**paths, "CALLS": str(self.calls), **env},
            capture_output=True,
            text=True,
            check=False,
        )

    def made(self) -> list[str]:
        """The environments that were made so far: interpreter and folder."""
        return [line.partition("--python ")[2] for line in self.calls.read_text().splitlines() if line.startswith("venv")]

    @staticmethod
    def _program(path: Path, text: str) -> Path:
        path.write_text(text)
        path.chmod(0o755)
        return path


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    """A repository whose Python is 3.11."""
    scripts = Scripts(tmp_path)
    scripts.add_python("python3", "3.11")
    return scripts


def test_an_environment_is_made_anew_when_another_interpreter_is_asked_for(scripts: Scripts) -> None:
    first, other = scripts.bin / "python3", scripts.add_python("other", "3.13")
    for python in ("", "", "other", "other", ""):
        assert scripts.run("ensure_venv", PYTHON=python).returncode == 0
    assert scripts.made() == [f"{first} .venv", f"{other} .venv", f"{first} .venv"]


def test_an_interpreter_that_is_asked_for_and_does_not_run_is_refused(scripts: Scripts) -> None:
    shim = scripts.add_shim("python3.13")
    done = scripts.run("ensure_venv", PYTHON=str(shim))
    assert done.returncode == 1
    assert f"PYTHON={shim} does not run or is not Python 3.11, 3.12 or 3.13" in done.stderr
    assert not scripts.calls.exists()


def test_the_unit_tests_get_one_interpreter_of_each_version_that_runs(scripts: Scripts) -> None:
    scripts.add_shim("python3.12")
    scripts.add_shim("python3.13")
    scripts.add_python("python3.11", "3.11")
    versions = scripts.bin.parent / "home/.pyenv/versions"
    scripts.add_python("python3.13", "3.13", versions / "3.13.9/bin")
    newest = scripts.add_python("python3.13", "3.13", versions / "3.13.10/bin")
    found = scripts.run("find_pythons").stdout.splitlines()
    assert found[0] == f"3.11 {scripts.bin / 'python3'}"
    assert found[-1] == f"3.13 {newest}"
    assert [line.partition(" ")[0] for line in found].count("3.11") == 1


def test_an_interpreter_that_is_asked_for_is_the_only_one(scripts: Scripts) -> None:
    python = scripts.add_python("python3.12", "3.12")
    assert scripts.run("find_pythons", PYTHON="python3.12").stdout == f"3.12 {python}\n"
