"""Reads files of a commit without checking it out: no filter, no hook, no attribute and no link of a repository counts.

A commit of a pull request may hold anything: paths that lead out, links, submodules, files without end.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from meshinstall.errors import UsageError
from meshinstall.model.foreign_text import line

# Files, bytes of one, and bytes of all of them.
_MOST, _LONGEST, _TOTAL = 5_000, 4 * 1024**2, 64 * 1024**2
_SECONDS = 60
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_KINDS = {"120000": "a link", "160000": "a submodule", "040000": "a folder"}
_FILES = frozenset({"100644", "100755", "100664"})
_QUIET = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--literal-pathspecs")


class _Entry(NamedTuple):
    mode: str
    name: str
    size: int
    path: str


def commit_of(folder: Path, ref: str) -> str:
    """The commit that ``ref`` names in the repository that holds ``folder``; raises UsageError."""
    found = _git(
        folder, ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"], missing=f"{line(ref)!r} is not a commit here"
    )
    return _commit(found)


def fork_point(folder: Path, base: str, head: str) -> str:
    """The newest commit that both have; raises UsageError where they have none."""
    return _commit(_git(folder, ["merge-base", base, head], missing=f"{base[:12]} and {head[:12]} have no commit in common"))


def read_files(folder: Path, commit: str, paths: Sequence[str]) -> Mapping[str, bytes]:
    """The files of a commit at or below these paths, which count from ``folder``; raises UsageError for what is no plain file."""
    listed = _git(folder, ["ls-tree", "-r", "-z", "-l", commit, "--", *paths])
    entries = [_entry(one) for one in listed.split(b"\0") if one]
    _check(entries, commit)
    given = "".join(f"{one.name}\n" for one in entries).encode()
    out = _git(folder, ["cat-file", "--batch"], given=given) if entries else b""
    return dict(_blobs(out, entries))


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write them below a folder that is new and nobody else's; a path was checked when it was read."""
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)


def _entry(found: bytes) -> _Entry:
    about, _, path = found.partition(b"\t")
    mode, _, name, size = about.decode().split()
    return _Entry(mode, name, int(size) if size.isdigit() else 0, os.fsdecode(path))


def _check(entries: Sequence[_Entry], commit: str) -> None:
    total = 0
    for one in entries:
        where = f"{line(one.path)} of commit {commit[:12]}"
        if one.mode not in _FILES:
            raise UsageError(f"{where} is {_KINDS.get(one.mode, 'not a plain file')}, which is not followed", "replace it by a file")
        parts = one.path.split("/")
        if not one.path.isprintable() or "\\" in one.path or any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts):
            raise UsageError(f"{where} has a name that is not used", "give it another name")
        total += one.size
        if one.size > _LONGEST or total > _TOTAL:
            raise UsageError(
                f"{where} is too large to be read", f"a file has at most {_LONGEST // 1024**2} MiB, all of them {_TOTAL // 1024**2}"
            )
    if len(entries) > _MOST:
        raise UsageError(f"commit {commit[:12]} has more than {_MOST:,} files to read", "split the project")


def _blobs(out: bytes, entries: Iterable[_Entry]) -> Iterator[tuple[str, bytes]]:
    start = 0
    for one in entries:
        end = out.index(b"\n", start)
        size = int(out[start:end].rpartition(b" ")[2])
        yield one.path, out[end + 1 : end + 1 + size]
        start = end + size + 2


def _commit(found: bytes) -> str:
    text = found.decode(errors="replace").strip()
    if not _COMMIT.fullmatch(text):
        raise UsageError("git did not answer with one commit", "check that the folder is in a Git repository")
    return text


def _git(folder: Path, arguments: Sequence[str], *, given: bytes = b"", missing: str = "") -> bytes:
    """What git says; it asks nobody, and gets nothing from elsewhere. ``missing`` says what it means that it fails."""
    program = shutil.which("git")
    if program is None:
        raise UsageError("there is no git on PATH", "install git, and see that it works in this shell")
    env = {name: value for name in ("PATH", "HOME", "SSL_CERT_FILE") if (value := os.environ.get(name))}
    env |= {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [program, *_QUIET, *arguments], cwd=folder, env=env, input=given, capture_output=True, timeout=_SECONDS, check=False
        )
    except OSError as error:
        raise UsageError(f"git cannot be started in {folder}: {error.strerror}", "see that git works in this shell") from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"git {arguments[0]} took longer than {_SECONDS} s", "try again") from error
    if done.returncode:
        told = line(done.stderr.decode(errors="replace").strip().partition("\n")[0])
        hint = "fetch it: a shallow clone of a pipeline has the newest commit alone" if missing else "run this in a Git repository"
        raise UsageError(f"{missing or f'git {arguments[0]} failed'}{f': {told}' if told else ''}", hint)
    return done.stdout
