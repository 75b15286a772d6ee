"""What of a mesh decides who keeps it: marks and claims of its objects, helm's records, and the engines' own objects."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from meshinstall.engine.objects.field_managers import ENGINE_MANAGERS
from meshinstall.gitops.terms import Item, RenderedSite, Step
from meshinstall.model.facts import ObjectKey, policy_key
from meshinstall.model.foreign_text import plain
from meshinstall.model.hand_over import Party, Work, WorkState
from meshinstall.model.ownership import ARGO, FLUX, Keeper, keeper_of
from meshinstall.model.policy_kinds import PolicyKey, group_of
from meshinstall.model.release import Manifest, ReleaseKey, ReleaseRecord

# Names that a sentence spells out.
_SHOWN = 3
# By what names each of them owns fields (of helm: pkg/kube/client.go).
MANAGERS: Mapping[Party, frozenset[str]] = {
    Party.ARGOCD: ENGINE_MANAGERS[ARGO],
    Party.FLUX: ENGINE_MANAGERS[FLUX],
    Party.MESHINSTALL: frozenset({"helm", "Helm", "meshinstall"}),
}


class Place(NamedTuple):
    """An object as engines list it: without a version; ``namespace`` is empty for a cluster-wide one."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """``Service a/b``."""
        return f"{plain(self.kind)} {plain(f'{self.namespace}/{self.name}' if self.namespace else self.name)}"


@dataclass(frozen=True, slots=True)
class Scene:
    """One look. ``live`` are the wanted objects that are there, as their metadata; ``records`` those of the wanted releases.

    ``owned`` are the engines' own objects by kind: Applications and ApplicationSets, or Kustomizations and HelmReleases; None for a kind
    that this cluster does not serve: its engine runs on another one. ``drift`` is in what the mesh is not as the files say, ``unseen`` what
    could not be compared. ``flags`` are those by which meshinstall and kubectl reach this cluster, ``rendering`` those of ``render``.
    """

    site: RenderedSite
    live: Mapping[PolicyKey, Manifest] = field(default_factory=dict)
    records: Mapping[ReleaseKey, ReleaseRecord] = field(default_factory=dict)
    owned: Mapping[str, tuple[Manifest, ...] | None] = field(default_factory=dict)
    drift: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    kubectl: tuple[str, ...] = ()
    rendering: tuple[str, ...] = ()

    def objects(self, *, crds: bool = False) -> Iterable[tuple[Item, Manifest]]:
        """Each wanted object that is there, with its metadata; Argo CD marks no CRD."""
        for item in self.site.items:
            live = self.live.get(policy_key(item.key))
            if live is not None and (crds or item.step is not Step.CRDS):
                yield item, live

    def places(self) -> set[Place]:
        """Every wanted object."""
        return {Place(group_of(item.key.api_version), item.key.kind, item.key.namespace, item.key.name) for item in self.site.items}

    def keepers(self) -> dict[Keeper, list[ObjectKey]]:
        """Who keeps objects, by their marks."""
        found: dict[Keeper, list[ObjectKey]] = {}
        for item, live in self.objects():
            if keeper := keeper_of(live):
                found.setdefault(keeper, []).append(item.key)
        return found


def judged(title: str, says: Iterable[str], *, words: Iterable[str] = (), commands: Iterable[str] = ()) -> Work:
    """A step that is done when nothing is to be said of it."""
    told = tuple(says)
    return Work(title, WorkState.OPEN, told, tuple(words), tuple(commands)) if told else Work(title, WorkState.DONE)


def named(keys: Iterable[object]) -> str:
    """``Service a/b, Service a/c, Service a/d and 2 more``."""
    names = [str(key) for key in keys]
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
