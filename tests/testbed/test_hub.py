"""The server of Git repositories and charts for engines, by git's own program."""

import os
import subprocess
from pathlib import Path

import pytest

from testbed import spec
from testbed.engines.hub import GIT, Hub
from tests.contracts.servers import serving


class QuietHub(Hub):
    """Logs nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def git(*argv: str, cwd: Path, status: int = 0) -> str:
    nobody = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_TERMINAL_PROMPT": "0", "no_proxy": "127.0.0.1"}
    who = {f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(["git", *argv], cwd=cwd, env={**os.environ, **nobody, **who}, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == bool(status), done.stderr
    return done.stdout + done.stderr


def test_a_repository_is_cloned_and_nobody_pushes_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "INSIDE", tmp_path)
    bare = tmp_path / GIT / "mesh.git"
    git("init", "--quiet", "--bare", "--initial-branch=main", str(bare), cwd=tmp_path)
    for folder in ("work", "clone"):
        (tmp_path / folder).mkdir()
    work, clone = tmp_path / "work", tmp_path / "clone"
    git("init", "--quiet", "--initial-branch=main", cwd=work)
    # Large enough that git asks for it in pieces.
    for number in range(50):
        (work / f"{number}.yaml").write_text(os.urandom(2000).hex())
        git("add", ".", cwd=work)
        git("commit", "--quiet", "-m", f"{number}", cwd=work)
    git("push", "--quiet", str(bare), "main", cwd=work)
    with serving(QuietHub) as address:
        git("clone", "--quiet", f"http://{address}/{GIT}/mesh.git", ".", cwd=clone)
        assert (clone / "49.yaml").read_text() == (work / "49.yaml").read_text()
        (clone / "new.yaml").write_text("")
        git("add", ".", cwd=clone)
        git("commit", "--quiet", "-m", "new", cwd=clone)
        assert "403" in git("push", cwd=clone, status=1)
        assert "not found" in git("ls-remote", f"http://{address}/{GIT}/other.git", cwd=clone, status=1)
