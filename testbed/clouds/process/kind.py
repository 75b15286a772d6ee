"""What a fake cloud has to tell the testbed, and what it tells of itself once it answers."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from testbed import spec
from testbed.spec import Account, Spec

# What sends requests to a proxy, or past it; programs read both spellings.
PROXIES = tuple(name for upper in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY") for name in (upper, upper.lower()))


@dataclass(frozen=True, slots=True)
class Address:
    """Something that listens, and what it is."""

    url: str
    what: str


@dataclass(frozen=True, slots=True)
class Running:
    """A cloud that answers: where, and which user or group (``kind``: User, Group) is to be administrator of the cluster.

    ``objects`` are what an owner of such a cluster has put into it, each with its collection's path.
    """

    addresses: tuple[Address, ...]
    kind: str
    administrator: str
    objects: tuple[tuple[str, Mapping[str, Any]], ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the clouds; nothing heavy is imported before ``serve`` is called.

    ``flags`` are the API server's, ``parts`` are built parts that no other cluster needs. ``serve`` runs the cloud in the
    network of the cluster and writes its files into a folder, which ``login`` gets by its path on the host, with the
    variables of the caller: it returns those that make a program a user of the cloud. Variables whose names begin with
    one of ``foreign`` could lead to another account, and are taken away. ``staging`` gives the environment of that name in
    meshinstall.yaml, for each kind of account.
    """

    flags: tuple[str, ...]
    staging: Callable[[Account], Mapping[str, object]]
    login: Callable[[Spec, Path, Mapping[str, str]], dict[str, str]]
    foreign: tuple[str, ...]
    serve: Callable[[Spec, Path, Path], AbstractContextManager[Running]]
    parts: tuple[str, ...] = ()


def folder_of(state: Path) -> Path:
    """The cloud's folder in a cluster's state folder."""
    return state / spec.CLOUD_FOLDER


def write_addresses(state: Path, running: Running) -> None:
    """Tell that the cloud answers, all at once."""
    file = state / spec.CLOUD_ADDRESSES
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps(asdict(running), indent=2))
    draft.rename(file)


def read_addresses(state: Path) -> Running | None:
    """What the cloud told; None before it did."""
    file = state / spec.CLOUD_ADDRESSES
    if not file.exists():
        return None
    told = json.loads(file.read_text())
    addresses = tuple(Address(**one) for one in told["addresses"])
    return Running(addresses, told["kind"], told["administrator"], tuple((path, content) for path, content in told["objects"]))


def foreign(kind: Kind, env: Mapping[str, str]) -> list[str]:
    """Names of the variables in ``env`` that could lead a program elsewhere than to the fake."""
    return sorted(name for name in env if name.startswith(kind.foreign))
