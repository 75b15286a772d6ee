"""Helm's own release records: Secrets of type helm.sh/release.v1, as Helm 3 and Helm 4 write them."""

import base64
import binascii
import json
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from meshinstall.errors import ClusterError, ConflictError
from meshinstall.model import json_text
from meshinstall.model.release import Manifest, ReleaseKey, ReleaseRecord, ReleaseStatus

SECRET_TYPE = "helm.sh/release.v1"  # noqa: S105 - the type of a Secret, not one
# What a record may unpack to; a Secret holds at most 1 MiB.
MAX_RECORD = 64 * 1024**2

_REVISION = re.compile(r"[1-9][0-9]{0,8}")
_GZIP = b"\x1f\x8b"
_WINDOW = 31  # zlib's word for "gzip, and check its header and sum"
# Fields of a record that are read (helm/pkg/release/v1/release.go).
_FIELDS = frozenset({"name", "namespace", "version", "info", "chart", "config", "manifest", "hooks", "apply_method"})
# helm/pkg/release/v1/hook.go; older ones wrote them with an underscore in the place of the dash.
_AT_UNINSTALL = frozenset({"pre-delete", "post-delete", "pre_delete", "post_delete"})
# helm/pkg/storage/driver/util.go; every other label of the Secret is the user's.
_HELM_LABELS = frozenset({"name", "owner", "status", "version", "createdAt", "modifiedAt"})


def newest(secrets: Iterable[Manifest]) -> dict[ReleaseKey, Manifest]:
    """The Secret of the newest revision of every release, by their labels alone.

    One that names no release is nobody's: Helm finds its own by that label. One without a revision may be the newest of its release.
    """
    found: dict[ReleaseKey, tuple[float, Manifest]] = {}
    for secret in secrets:
        name, version = _labels(secret).get("name"), _labels(secret).get("version")
        if not isinstance(name, str) or not name:
            continue
        key = ReleaseKey(_metadata(secret, "namespace"), name)
        revision = int(version) if isinstance(version, str) and _REVISION.fullmatch(version) else math.inf
        if key not in found or found[key][0] < revision:
            found[key] = revision, secret
    return {key: secret for key, (_, secret) in found.items()}


def read(key: ReleaseKey, secret: Manifest) -> ReleaseRecord:
    """What the Secret of a release records, or that it cannot be read: it may be anybody's, and says nothing of other releases."""
    try:
        return decode(secret)
    except ClusterError as error:
        unknown = ReleaseRecord(key, 0, ReleaseStatus.UNKNOWN, "", "", "", {}, "", "", "")
        return replace(unknown, secret=_metadata(secret, "name"), problem=error.message)


def decode(secret: Manifest) -> ReleaseRecord:
    """What one Secret records. Raises ClusterError, naming the Secret, when it is not Helm's."""
    key, revision = _labelled(secret)
    body = _unpack(secret)
    info, chart = _mapping(body, "info"), _mapping(_mapping(body, "chart"), "metadata")
    if (body.get("name"), body.get("version")) != (key.name, revision):
        raise _bad(
            secret, f"its labels say {key.name} revision {revision}, its content {body.get('name')!r} revision {body.get('version')!r}"
        )
    if (space := body.get("namespace") or key.namespace) != key.namespace:
        raise _bad(secret, f"its content is of namespace {space!r}")
    return ReleaseRecord(
        key=key,
        revision=revision,
        status=_status(info.get("status")),
        chart=str(chart.get("name", "")),
        version=str(chart.get("version", "")),
        app_version=str(chart.get("appVersion", "")),
        values=_mapping(body, "config"),
        manifest=str(body.get("manifest", "")),
        description=str(info.get("description", "")),
        updated=str(info.get("last_deployed", "")),
        secret=_metadata(secret, "name"),
        by_server=body.get("apply_method") == "ssa",
        labels={name: value for name, value in _labels(secret).items() if name not in _HELM_LABELS},
        hooks=tuple(_hooks(body.get("hooks"))),
    )


def _hooks(found: object) -> Iterator[str]:
    """Those that run at an uninstall; what is no list of hooks is one that nobody knows."""
    for hook in found if isinstance(found, list) else [found] if found else []:
        told = hook if isinstance(hook, Mapping) else {}
        # Go takes a name in any case for the field's.
        events = [value for name, value in told.items() if name.casefold() == "events"]
        if len(events) != 1 or not isinstance(events[0], list) or not _AT_UNINSTALL.isdisjoint(str(event).lower() for event in events[0]):
            yield f"{told.get('kind', 'unknown')} {told.get('name', '')}".strip()


def mark_failed(secret: Manifest, reason: str) -> Manifest:
    """The merge patch that turns a pending record into a failed one, which helm upgrades again.

    It carries the Secret's resourceVersion, so it does nothing to a record
    that changed meanwhile. ``reason`` becomes the description. Raises
    ConflictError when the record is not pending.
    """
    body = _unpack(secret)
    info = _mapping(body, "info")
    if not (status := _status(info.get("status"))).is_pending:
        raise ConflictError(
            f"release record {_place(secret)} is {status}, not pending", "the release has changed meanwhile: repeat the command"
        )
    failed = {**body, "info": {**info, "status": ReleaseStatus.FAILED.value, "description": reason}}
    return {
        "metadata": {"resourceVersion": _metadata(secret, "resourceVersion"), "labels": {"status": ReleaseStatus.FAILED.value}},
        "data": {"release": _pack(failed)},
    }


def _pack(body: Mapping[str, Any]) -> str:
    packer = zlib.compressobj(9, wbits=_WINDOW)
    packed = packer.compress(json.dumps(body, separators=(",", ":")).encode()) + packer.flush()
    return base64.b64encode(base64.b64encode(packed)).decode()


def _unpack(secret: Manifest) -> dict[str, Any]:
    release = _mapping(secret, "data").get("release")
    if not isinstance(release, str):
        raise _bad(secret, "it has no data.release")
    try:
        packed = base64.b64decode(base64.b64decode(release, validate=True), validate=True)
        text = _gunzip(packed) if packed.startswith(_GZIP) else packed
        if len(text) > MAX_RECORD:
            raise _bad(secret, f"it unpacks to more than {MAX_RECORD // 1024**2} MiB")
        body = json_text.load(text)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise _bad(secret, f"it cannot be unpacked ({error})") from error
    if not isinstance(body, dict):
        raise _bad(secret, "its content is not a JSON object")
    if odd := [name for name in body if name.casefold() in _FIELDS and name not in _FIELDS]:
        # Helm takes it for the field itself, and we would read the other one.
        raise _bad(secret, f"it has a field {odd[0]!r}")
    return body


def _gunzip(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=_WINDOW)
    text = unpacker.decompress(packed, MAX_RECORD + 1)
    if len(text) <= MAX_RECORD and not unpacker.eof:
        raise ValueError("it is truncated")
    return text


def _labelled(secret: Manifest) -> tuple[ReleaseKey, int]:
    """Release and revision by the labels, which every Helm writes and reads."""
    labels = _labels(secret)
    name, revision = labels.get("name"), labels.get("version")
    if not (isinstance(name, str) and isinstance(revision, str) and _REVISION.fullmatch(revision)):
        raise _bad(secret, f"its labels do not name a release and revision: {name!r}, {revision!r}")
    return ReleaseKey(_metadata(secret, "namespace"), name), int(revision)


def _status(word: object) -> ReleaseStatus:
    return next((status for status in ReleaseStatus if status == word), ReleaseStatus.UNKNOWN)


def _labels(secret: Manifest) -> Mapping[str, Any]:
    return _mapping(_mapping(secret, "metadata"), "labels")


def _metadata(secret: Manifest, name: str) -> str:
    return str(_mapping(secret, "metadata").get(name, ""))


def _mapping(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object at ``name``; empty when it is missing, null, or something else."""
    found = holder.get(name)
    return found if isinstance(found, Mapping) else {}


def _place(secret: Manifest) -> str:
    return f"Secret {_metadata(secret, 'namespace')}/{_metadata(secret, 'name')}"


def _bad(secret: Manifest, why: str) -> ClusterError:
    return ClusterError(
        f"{_place(secret)} has the type of a Helm release record but is not valid: {why}",
        "if no release of that name is wanted, delete the Secret",
    )
