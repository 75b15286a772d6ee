"""Compares what two environments want: settings, releases and values, each with where it is written. Pure; no cluster is asked."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.model.desired import Desired, Release
from meshinstall.model.release import Component
from meshinstall.model.secrets import pair
from meshinstall.model.values import KeyPath, Spoken


@dataclass(frozen=True, slots=True)
class Side:
    """What one environment says, and where; ``origin`` is empty where no file says it."""

    value: Any
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two environments differ; a side is None where it says nothing.

    ``release`` is empty for what is about the environment, such as the version of Istio; ``what`` is else the dotted path of a value.
    """

    release: str
    what: str
    one: Side | None
    other: Side | None


def differences(one: Desired, other: Desired) -> tuple[Difference, ...]:
    """Everything in which two environments differ: settings first, then release by release, values by their paths."""
    return (*_settings(one, other), *_releases(one, other))


def _settings(one: Desired, other: Desired) -> Iterator[Difference]:
    said, told = _said(one), _said(other)
    yield from (Difference("", what, side, told[what]) for what, side in said.items() if side.value != told[what].value)


def _said(desired: Desired) -> Mapping[str, Side]:
    modes = {policy.manifest["spec"]["mtls"]["mode"]: str(policy.origin) for policy in desired.policies}
    mode = next(iter(modes), "")
    return {
        "Istio": Side(desired.istio_version, desired.version_origin),
        "tags": Side(", ".join(desired.tags), desired.revision_origin if desired.tags else ""),
        "profile": Side(desired.profile),
        "mTLS": Side(mode, modes.get(mode, "")),
        "plaintext accepted until": Side(str(desired.acceptance.until), desired.acceptance.origin) if desired.acceptance else Side(""),
        "charts": Side(", ".join(sorted({release.chart.source for release in desired.releases}))),
    }


def _releases(one: Desired, other: Desired) -> Iterator[Difference]:
    said, told = ({_named(release): release for release in each.releases} for each in (one, other))
    for name in dict.fromkeys((*said, *told)):
        if name in said and name in told:
            yield from _values(name, said[name], told[name])
        else:
            is_there = Side("is installed")
            yield Difference(name, "", is_there if name in said else None, is_there if name in told else None)


def _named(release: Release) -> str:
    """As people call it: istiod is one release, whatever its revision."""
    return f"{release.key.namespace}/{release.component}" if release.component is Component.ISTIOD else str(release.key)


def _values(name: str, one: Release, other: Release) -> Iterator[Difference]:
    said, told = one.values.winners(), other.values.winners()
    for path in _paths((*said, *told)):
        if path not in said or path not in told or said[path].value != told[path].value:
            yield Difference(name, ".".join(path), *_sides(path, said.get(path), told.get(path)))


def _paths(paths: Iterable[KeyPath]) -> list[KeyPath]:
    return sorted(set(paths))


def _sides(path: KeyPath, one: Spoken | None, other: Spoken | None) -> tuple[Side | None, Side | None]:
    """Never a secret."""
    values = pair(one and one.value, other and other.value, *path)
    return tuple(Side(value, str(said.origin)) if said else None for value, said in zip(values, (one, other), strict=True))  # type: ignore[return-value] # two
