"""What a plan changes: objects field by field, and what that means for those who use the mesh."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from meshinstall.model.facts import ObjectKey
from meshinstall.model.release import ReleaseKey


class Verb(StrEnum):
    """What happens to an object."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that changes; ``path`` is dotted, None is no such field.

    ``origin`` is where it comes from: a value's file:line, a chart's version, or an edit in the cluster; empty when that is not known.
    """

    path: str
    before: Any
    after: Any
    origin: str = ""


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """An object that changes; ``release`` is None for what meshinstall itself makes, ``fields`` are empty where the whole is new."""

    key: ObjectKey
    release: ReleaseKey | None
    verb: Verb
    fields: tuple[FieldChange, ...] = ()


class Concern(StrEnum):
    """What a change is about."""

    WEAKER = "weaker"
    WIDER = "wider"
    STRONGER = "stronger"
    NARROWER = "narrower"
    ACCESS = "access"
    RESTART = "restart"
    ADDRESS = "address"
    INJECTION = "injection"
    CRD = "crd"
    DELETION = "deletion"


@dataclass(frozen=True, slots=True)
class Concerned:
    """Who is concerned by what changes.

    ``hosts`` are those that Istio's Gateways serve behind a Service whose address may change, ``naming`` the objects that name a trust
    domain which is given up, ``proxies`` those of others by namespace, ``unknown`` what could not be listed.
    """

    hosts: Mapping[ObjectKey, tuple[str, ...]] = field(default_factory=dict)
    naming: tuple[str, ...] = ()
    proxies: Mapping[str, int] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Consequence:
    """What a plan means, in words."""

    concern: Concern
    text: str
