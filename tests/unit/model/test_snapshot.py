"""The form of a snapshot: what may be a manifest, an envelope and a path, whoever wrote it."""

import base64
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.errors import SnapshotError
from meshinstall.model.snapshot import (
    MAX_FILE,
    PAYLOAD_TYPE,
    SCHEMA,
    Envelope,
    FileEntry,
    Signature,
    differences,
    envelope_bytes,
    is_safe_path,
    manifest_bytes,
    pae,
    read_envelope,
    read_manifest,
)

DIGEST = "0" * 64
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
PARTS = st.text(st.sampled_from("abz09-_ é."), min_size=1, max_size=8)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join).filter(is_safe_path)


def row(path: Any = "mesh.json", size: Any = 1, sha256: Any = DIGEST, **more: Any) -> dict[str, Any]:
    return {"path": path, "size": size, "sha256": sha256, **more}


def manifest(*rows: Any, schema: Any = SCHEMA, **more: Any) -> bytes:
    return json.dumps({"schema": schema, "files": list(rows), **more}).encode()


def is_printable(read: Callable[[], object]) -> bool:
    """Whether something is read, or refused in words that no terminal obeys."""
    try:
        read()
    except SnapshotError as error:
        return error.in_one_line().replace("\n", "").isprintable()
    return True


def test_what_is_signed_is_the_encoding_of_the_specification() -> None:
    # The vector of https://github.com/secure-systems-lab/dsse/blob/master/protocol.md.
    assert pae("http://example.com/HelloWorld", b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@given(st.sets(PATHS, max_size=6))
def test_a_manifest_is_read_as_it_was_written_in_one_order(paths: set[str]) -> None:
    lowest = {path.casefold(): path for path in paths}
    folders = {"/".join(path.split("/")[:end]) for path in lowest for end in range(1, path.count("/") + 1)}
    files = [FileEntry(path, len(path), DIGEST) for folded, path in lowest.items() if folded not in folders]
    written = manifest_bytes(files)
    assert read_manifest(written) == tuple(sorted(files, key=lambda one: one.path))
    assert manifest_bytes(reversed(files)) == written


@given(st.binary(max_size=80), st.lists(st.binary(max_size=70), max_size=3))
def test_an_envelope_is_read_as_it_was_written(payload: bytes, values: list[bytes]) -> None:
    envelope = Envelope(payload, tuple(Signature(str(at), value) for at, value in enumerate(values)))
    assert read_envelope(envelope_bytes(envelope)) == envelope


@given(JSON, JSON)
def test_any_json_is_a_manifest_or_is_refused(value: Any, rows: Any) -> None:
    for one in (value, {"schema": SCHEMA, "files": rows}, {"schema": SCHEMA, "files": [rows]}, {"schema": rows, "files": []}):
        assert is_printable(partial(read_manifest, json.dumps(one).encode()))


@given(JSON | st.binary(max_size=60))
def test_anything_is_an_envelope_or_is_refused(value: Any) -> None:
    envelopes = [value if isinstance(value, bytes) else json.dumps(value).encode()]
    if not isinstance(value, bytes):
        envelopes += [
            json.dumps({"payloadType": PAYLOAD_TYPE, "payload": "", "signatures": value}).encode(),
            json.dumps({"payloadType": PAYLOAD_TYPE, "payload": value, "signatures": []}).encode(),
        ]
    for one in envelopes:
        assert is_printable(partial(read_envelope, one))


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "..", "../a", "a/../b", "/a", "a//b", "a/", "./a", "a/.", "a\\b", "a\0b", "a\nb", "C:a", "manifest.dsse.json"),
        *("a" * 501, "/".join("abcdefghijklm"), "a/\u202eb", "a.", "a /b", "..."),
    ],
)
def test_a_path_that_leads_out_or_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(SnapshotError, match="not safe"):
        read_manifest(manifest(row(path)))


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([row(), row()], "twice"),
        ([row("A.json"), row("a.json")], "twice"),
        ([row("caf\u00e9"), row("cafe\u0301")], "twice"),
        ([row("Manifest.DSSE.json")], "twice"),
        ([row("manifest.dsse.json/a")], "below a file"),
        ([row("a"), row("a/b")], "below a file"),
        ([row(size=-1)], "size"),
        ([row(size=True)], "size"),
        ([row(size=MAX_FILE + 1)], "size"),
        ([row(f"{one}.json", MAX_FILE) for one in range(5)], "have more than"),
        ([row(sha256="0")], "SHA-256"),
        ([row(more=1)], "alone"),
        ([row(f"{one}.json", 0) for one in range(20_001)], "names more than"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_manifest_that_is_not_one_is_refused(rows: list[Any], why: str) -> None:
    with pytest.raises(SnapshotError, match=why):
        read_manifest(manifest(*rows))


def test_a_newer_format_asks_for_a_newer_program_whatever_else_it_says() -> None:
    with pytest.raises(SnapshotError) as caught:
        read_manifest(manifest(schema="meshinstall.dev/snapshot/v2", files2=[]))
    assert caught.value.hint == "use a newer meshinstall"
    with pytest.raises(SnapshotError, match=r"not meshinstall\.dev/snapshot/v1"):
        read_manifest(manifest(schema="meshinstall.dev/plan/v1"))


def test_a_key_twice_is_refused() -> None:
    with pytest.raises(SnapshotError, match="key twice"):
        read_manifest(b'{"schema": "meshinstall.dev/snapshot/v1", "files": [], "files": []}')


def test_another_type_of_payload_is_refused() -> None:
    envelope = {"payloadType": "application/vnd.in-toto+json", "payload": base64.b64encode(b"{}").decode(), "signatures": []}
    with pytest.raises(SnapshotError, match="payload type"):
        read_envelope(json.dumps(envelope).encode())


def test_files_that_differ_are_each_told() -> None:
    named = [FileEntry("a", 1, DIGEST), FileEntry("b", 2, DIGEST)]
    assert differences(named, {"b": 3, "c": 1}) == ["c is not in the manifest", "a is missing", "b has 3 bytes, not 2"]
