"""The form of a snapshot: a folder of files, a manifest that names each with its digest, and the envelope that signs the manifest; pure.

The envelope is DSSE (https://github.com/secure-systems-lab/dsse/blob/master/envelope.md). docs/decisions/0046 says why, and
docs/schemas/snapshot-manifest.json has the manifest.
"""

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshinstall.errors import SnapshotError
from meshinstall.model import json_text
from meshinstall.model.foreign_text import plain

VERSION = 1
_FAMILY = "meshinstall.dev/snapshot/v"
SCHEMA = f"{_FAMILY}{VERSION}"
PAYLOAD_TYPE = "application/vnd.meshinstall.snapshot+json"
# The one file that the manifest does not name, because it holds it; it is written last.
ENVELOPE = "manifest.dsse.json"
# The one file whose bytes differ between two snapshots of the same mesh, but for a sealed authority.
TIMES = "times.json"
MESH = "mesh.json"
AUTHORITY = "authority.age"
# What the gateways serve; older snapshots do not have it.
SERVING = "gateway-config.json"

# Files of a snapshot, and bytes of the envelope, of one file, and of all.
MAX_FILES = 20_000
MAX_ENVELOPE = 8 * 1024**2
MAX_FILE = 512 * 1024**2
MAX_TOTAL = 2 * 1024**3
# Bytes of the documents that say which snapshot it is.
MAX_DOCUMENT = 1024**2
_MAX_PATH = 500
_MAX_DEPTH = 12
_MAX_SIGNATURES = 16
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NOT_TRUSTED = "do not use this snapshot; take another copy of it from where it is kept"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file by its path from the snapshot's folder, with its bytes and their SHA-256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Signature:
    """What a key made of the envelope's payload; ``keyid`` is a hint and proves nothing."""

    keyid: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """The bytes of a manifest and their signatures; without any the snapshot is unsigned."""

    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def signed(self) -> bytes:
        """What a signature is made of: DSSE's pre-authentication encoding."""
        return pae(PAYLOAD_TYPE, self.payload)


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: ``DSSEv1``, and type and payload, each with its length in bytes before it."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def manifest_bytes(files: Iterable[FileEntry]) -> bytes:
    """The manifest of these files; raises SnapshotError where it would be one that nobody reads."""
    rows = [{"path": one.path, "size": one.size, "sha256": one.sha256} for one in sorted(files, key=lambda one: one.path)]
    payload = document({"schema": SCHEMA, "files": rows})
    read_manifest(payload)
    return payload


def envelope_bytes(envelope: Envelope) -> bytes:
    """The envelope as its file has it; raises SnapshotError where it would be one that nobody reads."""
    rows = [{"keyid": one.keyid, "sig": base64.b64encode(one.value).decode()} for one in envelope.signatures]
    made = document({"payloadType": PAYLOAD_TYPE, "payload": base64.b64encode(envelope.payload).decode(), "signatures": rows})
    if len(made) > MAX_ENVELOPE:
        raise SnapshotError(f"the list of files has more than {MAX_ENVELOPE // 1024**2} MiB", "is this the right project?")
    return made


def document(value: Any) -> bytes:
    """JSON that is the same for the same value."""
    return (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def line(value: Any) -> bytes:
    """The same on one line, without its end."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def read_envelope(data: bytes) -> Envelope:
    """Parse an envelope; nothing in it is trusted yet. Raises SnapshotError."""
    found = _object(data, ENVELOPE, {"payloadType", "payload", "signatures"})
    if found["payloadType"] != PAYLOAD_TYPE:
        raise _refused(f"{ENVELOPE} has the payload type {plain(found['payloadType'])}, not {PAYLOAD_TYPE}")
    rows = found["signatures"]
    if not isinstance(rows, list) or len(rows) > _MAX_SIGNATURES:
        raise _refused(f"{ENVELOPE} has no list of at most {_MAX_SIGNATURES} signatures")
    return Envelope(_base64(found["payload"], "payload"), tuple(map(_signature, rows)))


def read_manifest(payload: bytes) -> tuple[FileEntry, ...]:
    """The files that a manifest names, by path; raises SnapshotError for a newer format, hostile paths and sizes."""
    found = _object(payload, "the manifest", {"schema"}, more=True)
    _check_schema(found["schema"])
    if found.keys() != {"schema", "files"} or not isinstance(found["files"], list):
        raise _refused("the manifest has not the fields schema and files alone")
    if len(found["files"]) > MAX_FILES:
        raise _refused(f"the manifest names more than {MAX_FILES} files")
    files = tuple(map(_entry, found["files"]))
    if sum(one.size for one in files) > MAX_TOTAL:
        raise _refused(f"the files of the manifest have more than {MAX_TOTAL // 1024**2} MiB")
    _check_paths([one.path for one in files])
    return files


def which(times: bytes, mesh: bytes) -> str:
    """When a snapshot was taken, by whom and of which mesh: an older one is signed as well. Raises SnapshotError."""
    taken, of = _object(times, TIMES, set(), more=True), _object(mesh, MESH, set(), more=True)

    def told(found: Mapping[str, Any], name: str) -> str:
        return plain(found.get(name) or "(unknown)")

    return (
        f"taken {told(taken, 'takenAt')} by {told(taken, 'by')}; "
        f"environment {told(of, 'environment')} on {told(of, 'cluster')}, Istio {told(of, 'istioVersion')}"
    )


def differences(named: Iterable[FileEntry], there: Mapping[str, int]) -> list[str]:
    """How the files that are there, with their sizes, differ from those that a manifest names."""
    sizes = {one.path: one.size for one in named}
    added = [f"{plain(path)} is not in the manifest" for path in sorted(there.keys() - sizes.keys())]
    missing = [f"{plain(path)} is missing" for path in sorted(sizes.keys() - there.keys())]
    altered = [
        f"{plain(path)} has {there[path]} bytes, not {sizes[path]}"
        for path in sorted(sizes.keys() & there.keys())
        if there[path] != sizes[path]
    ]
    return [*added, *missing, *altered]


def refusal(what: Sequence[str]) -> SnapshotError:
    """The error for a snapshot that is not what was signed, with the first of the reasons."""
    shown = 10
    rest = [f"and {len(what) - shown} more"] if len(what) > shown else []
    return _refused("\n  ".join([*what[:shown], *rest]))


def _check_schema(schema: Any) -> None:
    if schema == SCHEMA:
        return
    number = str(schema).removeprefix(_FAMILY)
    if str(schema).startswith(_FAMILY) and re.fullmatch(r"[1-9][0-9]{0,5}", number) and int(number) > VERSION:
        raise SnapshotError(
            f"this snapshot has the format {plain(schema)}, and this meshinstall reads {SCHEMA} at most", "use a newer meshinstall"
        )
    raise _refused(f"the manifest has the schema {plain(schema)}, not {SCHEMA}")


def _entry(row: Any) -> FileEntry:
    if not isinstance(row, dict) or row.keys() != {"path", "size", "sha256"}:
        raise _refused("a file of the manifest has not the fields path, size and sha256 alone")
    path, size, sha256 = row["path"], row["size"], row["sha256"]
    if not isinstance(path, str) or not is_safe_path(path):
        raise _refused(f"the manifest has a path that is not safe: {plain(path)}")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_FILE:
        raise _refused(f"the manifest gives {path} a size that is not from 0 to {MAX_FILE // 1024**2} MiB")
    if not isinstance(sha256, str) or not _DIGEST.fullmatch(sha256):
        raise _refused(f"the manifest gives {path} no SHA-256 in hex")
    return FileEntry(path, size, sha256)


def is_safe_path(path: str) -> bool:
    """Whether a path leads to a file inside the folder, on every system, and prints as it is."""
    parts = path.split("/")
    is_plain = path.isprintable() and not any(char in path for char in '\\:*?"<>|') and len(path) <= _MAX_PATH and path != ENVELOPE
    return is_plain and len(parts) <= _MAX_DEPTH and all(part and part.strip(". ") and not part.endswith((".", " ")) for part in parts)


def _check_paths(paths: Sequence[str]) -> None:
    """No path twice, also where a file system tells neither case nor ways to write a letter apart, and none below a file."""
    folded = [unicodedata.normalize("NFC", path).casefold() for path in (ENVELOPE, *paths)]
    if len(set(folded)) != len(folded):
        raise _refused("the manifest names a file twice")
    files = set(folded)
    above = {folder for path in folded for folder in _folders(path)}
    if files & above:
        raise _refused("the manifest names a file below a file")


def _folders(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:end]) for end in range(1, len(parts)))


def folders_of(paths: Iterable[str]) -> frozenset[str]:
    """Every folder that these files are in, but the snapshot's own."""
    return frozenset(folder for path in paths for folder in _folders(path))


def _signature(row: Any) -> Signature:
    if not isinstance(row, dict) or not isinstance(row.get("keyid", ""), str):
        raise _refused(f"a signature of {ENVELOPE} is not an object with keyid and sig")
    return Signature(row.get("keyid", ""), _base64(row.get("sig"), "sig"))


def _base64(value: Any, name: str) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "!", validate=True)
    except (binascii.Error, ValueError):
        raise _refused(f"{ENVELOPE} has a {name} that is not base64") from None


def _object(data: bytes, called: str, fields: set[str], *, more: bool = False) -> dict[str, Any]:
    """A JSON object with these fields, each once; ``more`` may be there too."""
    try:
        found = json_text.load(data, json_text.once)
    except (ValueError, UnicodeDecodeError) as error:
        raise _refused(f"{called} is not JSON: {plain(error)}") from None
    if not isinstance(found, dict) or not fields <= found.keys() or (found.keys() != fields and not more):
        raise _refused(f"{called} has not the fields {', '.join(sorted(fields))}{'' if more else ' alone'}")
    return found


def _refused(why: str) -> SnapshotError:
    return SnapshotError(f"the snapshot is refused: {why}", _NOT_TRUSTED)
