"""Which files of a folder are ours, and what is to be done with each: a record in the folder decides, and nothing else is touched."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from meshinstall.errors import UsageError
from meshinstall.gitops.terms import Files
from meshinstall.model import json_text

# JSON by another name: kubectl and Argo CD take every .json and .yaml of a folder for an object.
NAME = "meshinstall.rendered"
_API_VERSION = "meshinstall.dev/render/v1"
_PART = re.compile(r"[A-Za-z0-9_%~-][A-Za-z0-9._%~-]*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HINT = "restore it from version control, or render into an empty folder"


@dataclass(frozen=True, slots=True)
class Record:
    """What was rendered into a folder: for which sites, and the digest of each file by its path."""

    format: str
    sites: tuple[str, ...]
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Changes:
    """Paths by what becomes of them; ``foreign`` ones are not ours, ``edited`` ones were ours and are no longer as we wrote them."""

    created: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    foreign: tuple[str, ...]
    edited: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the folder is what is rendered."""
        return not (self.created or self.changed or self.removed)


def make_record(of: str, sites: tuple[str, ...], files: Files) -> Record:
    """The record of these files."""
    return Record(of, sites, {path: digest(text.encode()) for path, text in files.items()})


def digest(data: bytes) -> str:
    """``sha256:<hex>``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def record_text(record: Record) -> str:
    """The text of the file; one path a line."""
    found = {
        "apiVersion": _API_VERSION,
        "format": record.format,
        "sites": sorted(record.sites),
        "files": dict(sorted(record.files.items())),
    }
    return f"{json.dumps(found, indent=2)}\n"


def read_record(data: bytes) -> Record:
    """The record in a file, which somebody may have written by hand: no path leads out of the folder. Raises UsageError."""
    try:
        found = json_text.load(data)
    except ValueError as error:
        raise UsageError(f"{NAME} cannot be read: {error}", _HINT) from error
    if not isinstance(found, Mapping) or found.get("apiVersion") != _API_VERSION:
        raise UsageError(f"{NAME} is not of this version of meshinstall ({_API_VERSION})", _HINT)
    of, sites, files = found.get("format"), found.get("sites"), found.get("files")
    if not isinstance(of, str) or not isinstance(sites, list) or not all(isinstance(one, str) for one in sites):
        raise UsageError(f"{NAME} does not say what was rendered, or for which sites", _HINT)
    if not isinstance(files, Mapping) or not all(_is_entry(path, one) for path, one in files.items()):
        raise UsageError(f"{NAME} has an entry that is not a path below the folder with a digest", _HINT)
    return Record(of, tuple(sites), dict(files))


def _is_entry(path: object, digest_of_it: object) -> bool:
    is_path = isinstance(path, str) and path != NAME and all(_PART.fullmatch(part) for part in path.split("/"))
    return is_path and isinstance(digest_of_it, str) and bool(_DIGEST.fullmatch(digest_of_it))


def check_same(before: Record, now: Record, *, narrowed: bool) -> None:
    """Raise UsageError where a folder is for something else, or holds sites that this command does not render."""
    if before.format != now.format:
        raise UsageError(f"the folder was rendered with --format {before.format}", f"render {now.format} into another folder")
    if narrowed and (left := sorted(set(before.sites) - set(now.sites))):
        raise UsageError(
            f"the folder was rendered for {', '.join(left)} too, and their files would go",
            "render all sites at once, or these into another folder",
        )


def compare(wanted: Files, before: Record | None, there: Mapping[str, bytes | None]) -> Changes:
    """What is to be done; ``there`` has the content of each path that is wanted or recorded, None where there is no file."""
    ours: Mapping[str, str] = before.files if before else {}
    differing = [path for path, text in wanted.items() if (found := there.get(path)) is not None and found != text.encode()]
    gone = [path for path in ours if path not in wanted and there.get(path) is not None]
    return Changes(
        created=tuple(sorted(path for path in wanted if there.get(path) is None)),
        changed=tuple(sorted(differing)),
        removed=tuple(sorted(gone)),
        foreign=tuple(sorted(path for path in differing if path not in {*ours, *([NAME] if before else [])})),
        edited=tuple(sorted(path for path in gone if digest(there[path] or b"") != ours[path])),
    )


def insist(changes: Changes) -> None:
    """Raise UsageError where writing would destroy what is not ours."""
    if changes.foreign:
        names = ", ".join(changes.foreign[:5])
        raise UsageError(
            f"{len(changes.foreign)} files of somebody else have names that would be written: {names}", "move them, or name another --out"
        )
    if changes.edited:
        names = ", ".join(changes.edited[:5])
        raise UsageError(
            f"{len(changes.edited)} files that would be removed were edited: {names}", "delete them yourself, or undo the edits"
        )
