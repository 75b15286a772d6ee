"""A project's files as a ConfigMap, and where a pod finds them."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from meshinstall.errors import UsageError
from meshinstall.jobs.terms import NAME
from meshinstall.model.release import Manifest
from meshinstall.model.secrets import hides

# Bytes of keys and texts; the API server takes 1 MiB in a ConfigMap at most (kubernetes: pkg/apis/core/validation, MaxSecretSize).
_MOST = 1_000_000
_LONGEST = 253
_KEY = re.compile(rf"[-._a-zA-Z0-9]{{1,{_LONGEST}}}")
_HASH = 12


def files_map(files: Mapping[str, str], namespace: str) -> Manifest:
    """The ConfigMap of these texts by their paths; another content has another name, so that no run sees half of a change.

    Raises UsageError for a file that holds a secret, for a name that a ConfigMap cannot have, and for too much of it.
    """
    by_key: dict[str, str] = {}
    for path, text in files.items():
        if not _KEY.fullmatch(_key(path)):
            hint = f"use letters, digits, '.', '_' and '-', at most {_LONGEST} with the folders"
            raise UsageError(f"{path}: a ConfigMap cannot hold a file of this name", hint)
        if (other := by_key.setdefault(_key(path), path)) != path:
            raise UsageError(f"{path} and {other} would have one name in a ConfigMap", "rename one of them: do not use __ in it")
        if hides(text):
            raise UsageError(
                f"{path} holds what looks like a secret: everybody who may read ConfigMaps would see it", "refer to a Secret by name"
            )
    _check_size(files)
    data = {_key(path): files[path] for path in sorted(files)}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{NAME}-files-{_hash(data)}", "namespace": namespace, "labels": {"app.kubernetes.io/name": NAME}},
        "immutable": True,
        "data": data,
    }


def _check_size(files: Mapping[str, str]) -> None:
    """Names count too."""
    sizes = {path: len(_key(path)) + len(text.encode()) for path, text in files.items()}
    if (size := sum(sizes.values())) > _MOST:
        policies = sum(bytes_ for path, bytes_ in sizes.items() if path.startswith("policies/"))
        raise UsageError(
            f"the files of the project have {size} bytes, {policies} of them in policies/, and a ConfigMap holds {_MOST}",
            "use --kind github, whose runner has the repository; or keep what this environment does not need in a project of its own",
        )


def files_volume(files: Mapping[str, str], name: str) -> dict[str, Any]:
    """The volume of that ConfigMap, with every file at its path."""
    items = [{"key": _key(path), "path": path} for path in sorted(files)]
    return {"name": "files", "configMap": {"name": name, "items": items, "defaultMode": 0o444}}


def _key(path: str) -> str:
    return path.replace("/", "__")


def _hash(data: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name, text in data.items():
        digest.update(f"{name}\0{len(text)}\0{text}".encode())
    return digest.hexdigest()[:_HASH]
