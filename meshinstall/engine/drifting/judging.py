"""Makes of what was seen what is told: each object's state, what it means, why it stays so, and what puts it right; pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from meshinstall.engine.drifting import argocd, flux, remedies
from meshinstall.engine.drifting.engines import Engines
from meshinstall.engine.drifting.extras import weakening
from meshinstall.engine.drifting.meaning import Meaning
from meshinstall.engine.drifting.remedies import Way
from meshinstall.engine.drifting.states import fields_of, state_of, writers
from meshinstall.engine.drifting.terms import Differing, Other, Records, Seen, Wanted, WantedObjects
from meshinstall.gitops.terms import RenderedSite, Step
from meshinstall.model.diff import Concern
from meshinstall.model.drift import DriftedObject, Engine, State
from meshinstall.model.facts import ObjectKey, policy_key
from meshinstall.model.foreign_text import plain
from meshinstall.model.ownership import ARGO, HELM_MANAGER, LAYERED, MANAGED_BY, MANAGER, POLICY, Keeper, keeper_of
from meshinstall.model.release import ReleaseKey

# The worst first.
_ORDER = (Concern.WEAKER, Concern.WIDER, Concern.ACCESS)
_ADMISSION = (
    "something changes it at admission, and gives back the same whatever is sent:"
    " kubectl get mutatingwebhookconfigurations,mutatingadmissionpolicies"
)


class Look(NamedTuple):
    """All that was seen of one site: what Git says, Helm's records, the cluster, and the engines."""

    site: RenderedSite
    wanted: WantedObjects
    records: Records
    seen: Seen
    engines: Engines


def judge(look: Look, way: Way) -> tuple[DriftedObject, ...]:
    """Every object that is not as Git says, what weakens the mesh first."""
    one = _Judge(look, way)
    return tuple(sorted((*one.differing(), *one.missing(), *one.others()), key=_rank))


def _rank(one: DriftedObject) -> tuple[int, str]:
    worst = min((_ORDER.index(told.concern) for told in one.meaning if told.concern in _ORDER), default=len(_ORDER))
    return worst, str(one.key)


class _Judge:
    """Judges what was seen of one site."""

    def __init__(self, look: Look, way: Way) -> None:
        self._way = way
        site, self._wanted, self._records, seen, self._engines = look
        self._seen = seen
        self._weak = weakening(seen.others, site.desired)
        self._meaning = Meaning(site.desired, seen.differing, seen.missing, seen.others)
        self._charts = {
            release.key: f"release {release.key}, chart {release.chart.name} {release.chart.version}" for release in site.releases
        }

    def differing(self) -> Iterator[DriftedObject]:
        """Objects that are there and differ."""
        for one in self._seen.differing:
            key, keeper = one.wanted.key, self._seen.keepers.get(policy_key(one.wanted.key))
            says = self._says(keeper, key)
            is_seen = says == "OutOfSync"
            yield DriftedObject(
                key,
                state_of(one, kubectl=keeper is None and not self._way.by_up),
                self._origin(one.wanted),
                str(keeper or ""),
                tuple(fields_of(one)),
                self._meaning.of_differing(one),
                tuple(self._notes(one, keeper, says)),
                remedies.of_differing(one, keeper, self._way, is_seen=is_seen or keeper not in self._engines.items),
            )

    def missing(self) -> Iterator[DriftedObject]:
        """Objects that are not there: deleted, or never installed where the record of their release does not have them."""
        for one in self._seen.missing:
            release = one.item.release
            is_recorded = policy_key(one.key) in self._records.objects or one.key.name in self._records.crds
            has_record = release in {found for found, _ in self._records.objects.values()} and release not in self._records.unread
            never = has_record and not is_recorded and one.item.step is not Step.CRDS
            keeper = self._neighbour(one)
            state = State.NOT_APPLIED if never else State.MISSING
            notes = ("Helm's record of the release does not have it: it was not installed yet",) if never else ()
            fixes = remedies.of_missing(one, keeper, self._way)
            yield DriftedObject(one.key, state, self._origin(one), str(keeper or ""), (), self._meaning.of_missing(one), notes, fixes)

    def others(self) -> Iterator[DriftedObject]:
        """Objects that Git does not have: left over, or extra and weakening the mesh."""
        for one in self._seen.others:
            keeper, told = keeper_of(one.live), self._weak.get(one.key, ())
            release, is_left = self._left(one, keeper)
            if not is_left and not told:
                continue
            state = State.LEFT_OVER if is_left else State.EXTRA
            gone = release if release is not None and release not in self._charts else None
            made = "" if not one.writers else f"made or last written by {_by(one)}"
            notes = tuple(filter(None, (f"Helm's release {release} has it" if release else "", made)))
            fixes = remedies.of_other(one, state, keeper, self._way, gone)
            yield DriftedObject(one.key, state, "", str(keeper or ""), (), told, notes, fixes)

    def _left(self, one: Other, keeper: Keeper | None) -> tuple[ReleaseKey | None, bool]:
        """The release whose record has it still, and whether it was installed before."""
        if found := self._records.objects.get(policy_key(one.key)):
            return found[0], True
        labels = one.live["metadata"].get("labels") or {}
        is_ours = labels.get(MANAGED_BY) == MANAGER and labels.get(POLICY) == LAYERED
        # An Application may keep more than the mesh: what no chart made is somebody's own.
        return None, is_ours or (keeper in self._seen.marks and labels.get(MANAGED_BY) == HELM_MANAGER)

    def _neighbour(self, one: Wanted) -> Keeper | None:
        """What keeps the other objects of its release or of its step."""
        for name, keeper in self._seen.keepers.items():
            item = self._wanted[name].item
            if (item.release, item.step) == (one.item.release, one.item.step):
                return keeper
        return None

    def _origin(self, one: Wanted) -> str:
        if one.policy is not None:
            return plain(str(one.policy.origin))
        return self._charts.get(one.item.release, "") if one.item.release else "meshinstall, for this environment"

    def _says(self, keeper: Keeper | None, key: ObjectKey) -> str:
        item = self._engines.items.get(keeper) if keeper is not None and keeper.engine == ARGO else None
        return argocd.says_of(item, key) if item is not None else ""

    def _notes(self, one: Differing, keeper: Keeper | None, says: str) -> Iterator[str]:
        if one.is_admitted:
            yield _ADMISSION
        if says == "Synced":
            yield f"{keeper} says Synced: it does not see this"
        if keeper is not None and (left := flux.is_left(one.live)):
            yield f"Flux leaves it as it is: {plain(left)}"


def _by(one: Other) -> str:
    found = writers(one.writers[:1])[0]
    return f"{found.manager} ({', '.join(part for part in (found.operation, found.time) if part)})"


def engines_of(records: Mapping[ReleaseKey, Engine], engines: Engines, behind: frozenset[ReleaseKey]) -> tuple[Engine, ...]:
    """Helm's releases and the engines; a release that has not what Git says has not been installed since."""
    told = "it installed something else than Git says now: it has not run since the change"
    helm = (
        replace(one, causes=(*one.causes, told)) if key in behind else one
        for key, one in sorted(records.items(), key=lambda pair: str(pair[0]))
    )
    return (*helm, *(one for _, one in sorted(engines.found.items())))
