"""Commits as git has them: their plain files, byte for byte, and none of what a pull request may put there to be followed or run."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from meshinstall.adapters import git
from meshinstall.errors import UsageError

Git = Callable[..., str]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


@pytest.fixture
def run(repository: Path, tmp_path: Path) -> Git:
    """The real git in a repository of its own, without a user's settings."""
    names = {f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**os.environ, **names, "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}

    def one(*arguments: str, given: str | None = None) -> str:
        done = subprocess.run(["git", *arguments], cwd=repository, env=env, input=given, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    one("init", "-q", "-b", "main")
    return one


def commit(run: Git, folder: Path, files: dict[str, str]) -> str:
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    run("add", "-A")
    run("commit", "-qm", "x", "--allow-empty")
    return run("rev-parse", "HEAD")


def test_files_of_a_commit_are_those_of_the_commit_and_not_of_the_folder(run: Git, repository: Path) -> None:
    first = commit(run, repository, {"a.yaml": "a\n", "values/envs/dev.yaml": "x: \u00e9\n", "other/b.yaml": "b\n"})
    commit(run, repository, {"a.yaml": "later\n"})
    assert git.read_files(repository, first, ["a.yaml", "values", "gone"]) == {
        "a.yaml": b"a\n",
        "values/envs/dev.yaml": "x: \u00e9\n".encode(),
    }


def test_a_project_below_the_top_is_read_from_its_own_folder(run: Git, repository: Path) -> None:
    found = commit(run, repository, {"mesh/a.yaml": "a\n", "a.yaml": "top\n"})
    assert git.read_files(repository / "mesh", found, ["a.yaml"]) == {"a.yaml": b"a\n"}


def test_no_attribute_and_no_filter_of_a_repository_counts(run: Git, repository: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    run("config", "filter.evil.smudge", f"touch {mark}")
    run("config", "core.fsmonitor", f"touch {mark}")
    texts = {".gitattributes": "a.yaml export-ignore export-subst filter=evil\n", "a.yaml": "$Format:%H$\r\n"}
    found = commit(run, repository, texts)
    mark.unlink(missing_ok=True)
    assert git.read_files(repository, found, ["a.yaml"]) == {"a.yaml": b"$Format:%H$\r\n"}
    assert not mark.exists()


@pytest.mark.parametrize(("path", "target"), [("values", "/etc"), ("a.yaml", "/etc/passwd"), ("policies/base/a.yaml", "../../b.yaml")])
def test_a_link_is_not_followed(run: Git, repository: Path, path: str, target: str) -> None:
    (repository / path).parent.mkdir(parents=True, exist_ok=True)
    (repository / path).symlink_to(target)
    found = commit(run, repository, {})
    with pytest.raises(UsageError, match="is a link, which is not followed"):
        git.read_files(repository, found, ["a.yaml", "values", "policies"])


def test_a_submodule_is_not_followed(run: Git, repository: Path) -> None:
    first = commit(run, repository, {"b": "b\n"})
    run("update-index", "--add", "--cacheinfo", f"160000,{first},policies")
    run("commit", "-qm", "x")
    with pytest.raises(UsageError, match="is a submodule"):
        git.read_files(repository, run("rev-parse", "HEAD"), ["policies"])


@pytest.mark.parametrize("name", ["..", ".git", ".GIT", "a\\b", "a\nb", "\x1b[31m"])
def test_a_path_that_leads_out_is_refused(run: Git, repository: Path, name: str) -> None:
    """Git itself would not check such a tree out; made by hand it can be fetched where nothing is checked."""
    blob = run("hash-object", "-w", "--stdin", given="x\n")
    inner = subprocess.run(
        ["git", "mktree", "-z"], cwd=repository, input=f"100644 blob {blob}\t{name}\0", capture_output=True, text=True, check=True
    )
    tree = run("mktree", given=f"040000 tree {inner.stdout.strip()}\tpolicies\n")
    found = run("commit-tree", "-m", "x", tree)
    with pytest.raises(UsageError, match="has a name that is not used") as caught:
        git.read_files(repository, found, ["policies"])
    assert "\x1b" not in str(caught.value)


def test_files_without_end_are_refused(run: Git, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = commit(run, repository, {"a": "x" * 11, "b": "x"})
    monkeypatch.setattr(git, "_LONGEST", 10)
    with pytest.raises(UsageError, match="too large"):
        git.read_files(repository, found, ["a"])
    monkeypatch.setattr(git, "_MOST", 1)
    monkeypatch.setattr(git, "_LONGEST", 100)
    with pytest.raises(UsageError, match="more than 1 files"):
        git.read_files(repository, found, ["a", "b"])


@pytest.mark.parametrize("ref", ["nothing", "--output=/tmp/x", "-h", "", "HEAD:a.yaml", "main..main", "a\nb"])
def test_what_is_not_a_commit_is_refused(run: Git, repository: Path, ref: str) -> None:
    commit(run, repository, {"a.yaml": "a\n"})
    with pytest.raises(UsageError, match="is not a commit here"):
        git.commit_of(repository, ref)


def test_where_a_branch_began(run: Git, repository: Path) -> None:
    first = commit(run, repository, {"a": "1"})
    run("checkout", "-qb", "change")
    change = commit(run, repository, {"b": "1"})
    run("checkout", "-q", "main")
    base = commit(run, repository, {"c": "1"})
    assert git.fork_point(repository, base, change) == first
    alone = run("commit-tree", "-m", "x", run("rev-parse", "HEAD^{tree}"))
    with pytest.raises(UsageError, match="have no commit in common"):
        git.fork_point(repository, base, alone)


def test_a_folder_outside_of_git_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a git repository"):
        git.commit_of(tmp_path, "HEAD")


def test_files_are_written_for_the_user_alone(tmp_path: Path) -> None:
    git.write_files(tmp_path, {"a/b.yaml": b"x"})
    assert (tmp_path / "a/b.yaml").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        git.write_files(tmp_path, {"a/b.yaml": b"y"})
