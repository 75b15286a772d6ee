"""What Git wants of a site, object by object, and what was seen of it in a cluster; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from meshinstall.engine.objects.field_managers import Editor, Owned
from meshinstall.engine.objects.field_paths import Path
from meshinstall.gitops.terms import Item, RenderedSite
from meshinstall.model.desired import Policy
from meshinstall.model.facts import ObjectKey, key_of, policy_key
from meshinstall.model.ownership import Keeper
from meshinstall.model.policy_kinds import PolicyKey
from meshinstall.model.release import Manifest, ReleaseKey


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object that Git has; ``policy`` is the file's where one describes it, ``siblings`` are all objects of its release."""

    item: Item
    policy: Policy | None = None
    siblings: tuple[Manifest, ...] = ()

    @property
    def key(self) -> ObjectKey:
        """What names it."""
        return self.item.key

    @property
    def manifest(self) -> Manifest:
        """The object as Git has it."""
        return self.item.manifest


# By what names an object in whatever version it is written.
WantedObjects = Mapping[PolicyKey, Wanted]


class Field(NamedTuple):
    """A field that differs; ABSENT where there is none. ``engine`` counts where ``recorded`` is true."""

    path: Path
    wanted: Any
    live: Any
    engine: Any = None
    recorded: bool = False


def last_first(fields: Iterable[Field]) -> list[Field]:
    """In an order in which one can be changed after the other: of items of a list the last first, so that the places of the others stay."""
    return sorted(fields, key=lambda field: [part if isinstance(part, int) else -1 for part in field.path], reverse=True)


@dataclass(frozen=True, slots=True)
class Differing:
    """An object that is there and is not as Git says; ``is_admitted``: the API server itself gives back what is there, whatever is sent."""

    wanted: Wanted
    live: Manifest
    fields: tuple[Field, ...]
    recorded: Manifest | None = None
    is_admitted: bool = False


@dataclass(frozen=True, slots=True)
class Other:
    """An object that Git does not have, without what Kubernetes keeps about its fields; ``owned`` says who wrote it."""

    key: ObjectKey
    live: Manifest
    writers: tuple[Editor, ...] = ()


@dataclass(slots=True)
class Seen:
    """What was seen of a cluster, and what was not.

    ``marks`` are the engines that keep objects of Git, each with those; ``looked_at`` counts objects.
    """

    differing: list[Differing] = field(default_factory=list)
    missing: list[Wanted] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)
    marks: dict[Keeper, list[ObjectKey]] = field(default_factory=dict)
    keepers: dict[PolicyKey, Keeper] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    compared: int = 0
    looked_at: int = 0


# Objects that helm installed, each with its release.
Installed = dict[PolicyKey, tuple[ReleaseKey, Manifest]]


@dataclass(frozen=True, slots=True)
class Records:
    """Helm's records: each object by what names it, with its release; ``unread`` are releases whose record cannot be read."""

    objects: Installed = field(default_factory=dict)
    crds: Mapping[str, str] = field(default_factory=dict)
    unread: frozenset[ReleaseKey] = frozenset()


def wanted_objects(site: RenderedSite) -> dict[PolicyKey, Wanted]:
    """Everything that Git wants of a site, CRDs included."""
    files = {policy_key(key_of(one.manifest)): one for one in (*site.desired.policies, *(site.desired.layered or ()))}
    siblings: dict[ReleaseKey | None, list[Manifest]] = {}
    for item in site.items:
        siblings.setdefault(item.release, []).append(item.manifest)
    return {
        (name := policy_key(item.key)): Wanted(item, files.get(name), tuple(siblings[item.release]) if item.release else ())
        for item in site.items
    }


def written_by(owned: tuple[Owned, ...]) -> tuple[Editor, ...]:
    """Who wrote an object, the last first."""
    return tuple(sorted((one.editor for one in owned), key=lambda one: one.time, reverse=True))
