"""What is written: the objects of each site, in the steps in which they are applied."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from meshinstall.errors import UsageError
from meshinstall.model.desired import Desired
from meshinstall.model.facts import ObjectKey
from meshinstall.model.policy_kinds import group_of
from meshinstall.model.release import ChartRef, Manifest, ReleaseKey
from meshinstall.model.yaml_dump import dump

# A folder: text by path, with / between its parts.
Files = Mapping[str, str]
# What to do where a chart of a site is not pinned, or not as the format needs it.
LOCK_HINT = (
    "run `meshinstall lock --update --env NAME` for each environment, where it is on several clouds with --cloud for each,"
    " and commit meshinstall.lock"
)
_WORD = re.compile(r"[a-z0-9][a-z0-9-]*")


class Format(StrEnum):
    """What reads the files."""

    MANIFESTS = "manifests"
    KUSTOMIZE = "kustomize"
    ARGOCD = "argocd"
    FLUX = "flux"


class Step(StrEnum):
    """Objects that are applied together; each step after the one before it, in the order of ``up``."""

    NAMESPACES = "00-namespaces"
    CRDS = "10-crds"
    CONTROL_PLANE = "20-control-plane"
    TAGS = "30-tags"
    GATEWAYS = "40-gateways"
    POLICIES = "50-policies"


@dataclass(frozen=True, slots=True)
class Item:
    """An object as ``up`` would install it; of a CRD only its ``text``, as its chart has it. ``release`` is None without a chart."""

    step: Step
    key: ObjectKey
    manifest: Manifest = field(default_factory=dict)
    text: str = ""
    release: ReleaseKey | None = None

    @property
    def file(self) -> str:
        """The name of its file: what names the object, and nothing else, so that a file is never another object."""
        group = group_of(self.key.api_version)
        kind = f"{self.key.kind}{f'.{group}' if group else ''}".lower()
        return f"{'_'.join(quote(one, safe='') for one in (kind, self.key.namespace, self.key.name) if one)}.yaml"

    @property
    def content(self) -> str:
        """The text of its file."""
        return self.text or dump(self.manifest)


@dataclass(frozen=True, slots=True)
class RenderedRelease:
    """A release with its pinned chart and what helm gets; ``manifest`` is the chart's digest in its registry, where it has one."""

    key: ReleaseKey
    step: Step
    chart: ChartRef
    values: Mapping[str, Any]
    needs: tuple[ReleaseKey, ...] = ()
    manifest: str = ""


@dataclass(frozen=True, slots=True)
class RenderedSite:
    """Everything that ``up`` would install on a cluster of a site where nothing is yet."""

    desired: Desired
    releases: tuple[RenderedRelease, ...]
    items: tuple[Item, ...]

    @property
    def path(self) -> str:
        """``environment/cloud``."""
        return f"{self.desired.environment}/{self.desired.cloud}"

    @property
    def name(self) -> str:
        """``environment-cloud``, for names of objects; the cloud is one of four words, so that no two sites have one name."""
        return f"{self.desired.environment}-{self.desired.cloud}"

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Every namespace that something goes into."""
        spaces = {item.key.namespace or (item.key.name if item.step is Step.NAMESPACES else "") for item in self.items}
        return tuple(sorted(spaces - {""}))

    def depth(self, release: RenderedRelease) -> int:
        """How many releases have to be there before it, one after the other."""
        by_key = {one.key: one for one in self.releases}
        return max((1 + self.depth(by_key[need]) for need in release.needs), default=0)

    def steps(self) -> Iterator[tuple[Step, tuple[Item, ...]]]:
        """The steps in which there is something, with their objects in the order of their files."""
        for step in Step:
            if found := tuple(sorted((item for item in self.items if item.step is step), key=lambda item: item.file)):
                yield step, found


def joined(parts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The files by path, sorted; raises UsageError where two are one, which no file may be."""
    found: dict[str, str] = {}
    for path, text in parts:
        if path in found:
            raise UsageError(f"{path} would be two files", "give one of the two objects or releases another name")
        found[path] = text
    return dict(sorted(found.items()))


def check_name(what: str, name: str) -> None:
    """Raise UsageError for a name that cannot be one of a folder and a part of an object's name."""
    if not _WORD.fullmatch(name):
        raise UsageError(f"{what} {name!r} cannot name a folder", "use lower-case letters, digits and '-'")
