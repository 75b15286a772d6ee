"""The files of a kubeconfig as one (client-go: tools/clientcmd/loader.go)."""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshinstall.adapters.kube.kubeconfig_fields import Entry
from meshinstall.errors import UsageError
from meshinstall.model.yaml_text import load as load_yaml

_DEFAULT = "~/.kube/config"


@dataclass(slots=True)
class Merged:
    """Several files as one: the first to name something wins. ``files`` are those that were there, ``piped`` the text of one that is not
    an ordinary file.
    """  # noqa: D205 - one sentence each

    source: str
    files: list[Path] = field(default_factory=list)
    clusters: dict[str, Entry] = field(default_factory=dict)
    users: dict[str, Entry] = field(default_factory=dict)
    contexts: dict[str, Entry] = field(default_factory=dict)
    current: list[str] = field(default_factory=list)
    piped: bytes | None = field(default=None, repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether no file holds anything."""
        return not (self.clusters or self.users or self.contexts or self.current)


def read(path: Path | None, environ: Mapping[str, str]) -> Merged:
    """Read ``path``, which is one file, else those of KUBECONFIG, else the default; raises UsageError for a file that is no kubeconfig."""
    merged = Merged(str(path) if path else environ.get("KUBECONFIG") or _DEFAULT)
    for file in _candidates(path, environ):
        data = _bytes(file)
        if data is None:
            if path:
                raise UsageError(f"no kubeconfig at {path}", "name one with --kubeconfig or KUBECONFIG, or pick a cloud with --cloud")
            continue
        merged.files.append(file)
        if _is_read_once(file):
            merged.piped = data
        _merge(file, data, merged)
    if merged.piped is not None and len(merged.files) > 1:
        raise UsageError(
            f"the kubeconfig {merged.source} is several files, and one of them is a pipe", "store it in a file, or let it be the only one"
        )
    return merged


def _candidates(path: Path | None, environ: Mapping[str, str]) -> Iterator[Path]:
    if path:
        yield path.expanduser()
    elif listed := environ.get("KUBECONFIG"):
        yield from dict.fromkeys(Path(one) for one in listed.split(os.pathsep) if one)
    else:
        yield Path(_DEFAULT).expanduser()


def _bytes(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"the kubeconfig {file} cannot be read: {error.strerror}") from error


def _is_read_once(file: Path) -> bool:
    """Whether helm could not read it again: a pipe, or a descriptor of this process, as ``<(...)`` and /dev/stdin are."""
    return str(file.absolute()).startswith(("/dev/", "/proc/")) or not stat.S_ISREG(file.stat().st_mode)


def _merge(file: Path, data: bytes, merged: Merged) -> None:
    try:
        content = load_yaml(data) or {}
        _check_kind(content)
        if current := content.get("current-context"):
            merged.current.append(_text(current))
        for items, inner, into in (
            (content.get("clusters"), "cluster", merged.clusters),
            (content.get("users"), "user", merged.users),
            (content.get("contexts"), "context", merged.contexts),
        ):
            _add(items or (), inner, into, file.absolute().parent)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"the kubeconfig {file} cannot be read: {_problem(error)}") from error


def _check_kind(content: Mapping[str, Any]) -> None:
    if content.get("kind", "Config") != "Config" or content.get("apiVersion", "v1") != "v1":
        raise ValueError("it is not of apiVersion v1 and kind Config")


def _add(items: Any, inner: str, into: dict[str, Entry], folder: Path) -> None:
    seen = set()
    for item in items:
        name = _text(item["name"])
        if name in seen:
            raise ValueError(f"it names {inner} {name!r} more than once")
        seen.add(name)
        content = item.get(inner) or {}
        if not isinstance(content, Mapping):
            raise TypeError(f"{inner} {name!r} is not a map")
        into.setdefault(name, Entry(content, folder))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a name is not text: put it in quotes")
    return value


def _problem(error: Exception) -> str:
    """What is wrong, in one line; of Python's own errors the text says nothing to a user."""
    return str(error).splitlines()[0] if isinstance(error, ValueError) or "quotes" in str(error) else "it has missing or wrong fields"
