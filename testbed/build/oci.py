"""Writes OCI image archives by hand: layers in, one file with several images out."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_MEDIA = "application/vnd.oci.image"
_PLATFORM = {"architecture": "amd64", "os": "linux"}


@dataclass(frozen=True, slots=True)
class Layer:
    """A finished, uncompressed layer file and its digest."""

    path: Path
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its full name, layers from the bottom up, user and entry point."""

    name: str
    layers: Sequence[Layer]
    entrypoint: Sequence[str]
    user: str = "0"
    labels: Mapping[str, str] = field(default_factory=dict)


def write_layer(
    path: Path, tree: Mapping[str, Path | bytes], *, folders: Sequence[str] = (), links: Mapping[str, str] | None = None
) -> Layer:
    """Write a layer from ``tree`` (path in the image to file, folder or content).

    Owners and times are zero so that the same input gives the same digest.
    ``folders`` are made writable for everyone; ``links`` maps a path to its target.
    """
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name in folders:
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(info)
        for name, content in sorted(tree.items()):
            if isinstance(content, bytes):
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(content), 0o644
                tar.addfile(info, io.BytesIO(content))
            else:
                tar.add(content, arcname=name, filter=_anonymous)
        for name, target in sorted((links or {}).items()):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Layer(path, digest, path.stat().st_size)


def write_archive(path: Path, images: Sequence[Image]) -> None:
    """Write all ``images`` into one OCI archive; layers they share are stored once."""
    blobs: dict[str, bytes] = {}

    def put(value: object) -> dict[str, object]:
        data = json.dumps(value, sort_keys=True).encode()
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"digest": f"sha256:{digest}", "size": len(data)}

    manifests = []
    for image in images:
        config = {
            **_PLATFORM,
            "config": {
                "User": image.user,
                "Entrypoint": list(image.entrypoint),
                "Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Labels": dict(image.labels),
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in image.layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "config": {"mediaType": f"{_MEDIA}.config.v1+json", **put(config)},
            "layers": [
                {"mediaType": f"{_MEDIA}.layer.v1.tar", "digest": f"sha256:{layer.digest}", "size": layer.size} for layer in image.layers
            ],
        }
        names = {"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name.rpartition(":")[2]}
        manifests.append({"mediaType": manifest["mediaType"], **put(manifest), "platform": _PLATFORM, "annotations": names})
    layers = {layer.digest: layer.path for image in images for layer in image.layers}
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        texts = {
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
            "index.json": json.dumps({"schemaVersion": 2, "manifests": manifests}).encode(),
            **{f"blobs/sha256/{digest}": data for digest, data in blobs.items()},
        }
        for name, data in texts.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for digest, file in layers.items():
            tar.add(file, arcname=f"blobs/sha256/{digest}", filter=_anonymous)


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 0
    return info
