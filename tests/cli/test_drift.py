"""The command ``drift`` before it comes to a cluster: what its options name has to be there."""

import subprocess
from pathlib import Path

from tests.cli.running import Run

_DRIFT = ("drift", "--cloud", "local", "--env", "dev", "--ref")


def _git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_commit_that_is_not_there_is_a_mistake_of_the_caller(run: Run, tmp_path: Path) -> None:
    (tmp_path / "meshinstall.yaml").write_text("apiVersion: meshinstall.dev/v1\n")
    _git(tmp_path, "init", "-q")
    done = run(*_DRIFT, "nowhere")
    assert (done.status, "'nowhere' is not a commit here" in done.err) == (2, True), done


def test_a_commit_without_the_file_and_one_with_mistakes_are_told_by_their_names(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "meshinstall.yaml"
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "commit", "--allow-empty", "-qm", "empty")
    file.write_text("apiVersion: meshinstall.dev/v1\n")
    done = run(*_DRIFT, "HEAD")
    assert (done.status, "has no meshinstall.yaml" in done.err) == (2, True), done
    file.write_text("apiVersion: meshinstall.dev/v1\nenvironmentz: {}\n")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-qm", "a mistake")
    file.write_text("apiVersion: meshinstall.dev/v1\n")
    done = run(*_DRIFT, "HEAD")
    assert done.status == 2
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert f"{head[:12]}:meshinstall.yaml:2" in done.err, done
