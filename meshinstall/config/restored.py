"""What a restore wants: the files of a snapshot as they resolve for its new home, and what the snapshot alone knows; pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from meshinstall.config.lockfile import Lock
from meshinstall.errors import UsageError
from meshinstall.model.desired import Desired, Release
from meshinstall.model.facts import key_of, policy_key
from meshinstall.model.foreign_text import plain
from meshinstall.model.ownership import MANAGED_BY, MANAGER, RESERVED
from meshinstall.model.plan import Change
from meshinstall.model.policy_kinds import ACCESS_KINDS
from meshinstall.model.release import Manifest
from meshinstall.model.restoring import KeptObject, KeptRelease, Restoration, SnapshotContent
from meshinstall.model.secrets import pair
from meshinstall.model.stack import ValuesStack, leaves
from meshinstall.model.values import Layer, LayerKind, value_at

_OPTIONS = "snapshot desired.json"
_ABSENT = object()
# Controllers make what they own again, and it is nobody's to restore; of these engines the marks say whose an object is.
_ENGINES = ("Argo CD", "Flux", "Helm release")


def with_options(desired: Desired, content: SnapshotContent) -> Desired:
    """With the values that options gave when the snapshot was taken: they stand in no file."""
    own = {release.key: release.own for release in content.releases if release.own}
    return replace(desired, releases=tuple(_with(release, own.get(release.key)) for release in desired.releases))


def _with(release: Release, own: Mapping[str, Any] | None) -> Release:
    if not own:
        return release
    layer = Layer(LayerKind.FLAG, _OPTIONS, own)
    return replace(release, values=ValuesStack((*release.values.layers, layer), release.values.unsent))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What options say of a restore: names that are left out, whether what an engine keeps is restored too, and whether it is a drill.

    ``described``: the snapshot has files, and what is ours comes from them.
    """

    left_out: frozenset[str] = frozenset()
    kept: bool = False
    drill: bool = False
    described: bool = True


def restoration(content: SnapshotContent, desired: Desired, wishes: Wishes, opened: tuple[str, ...]) -> Restoration:
    """What is made beside what files describe; ``opened`` are fingerprints of the CA. Raises UsageError for a name that is not there."""
    described = {policy_key(key_of(one.manifest)) for one in (*desired.policies, *(desired.layered or ()))}
    others = [one for one in content.objects if policy_key(key_of(one.manifest)) not in described]
    theirs = [_unmarked(one) for one in others if not (wishes.described and _is_ours(one.manifest))]
    if unknown := sorted(wishes.left_out - {one.name for one in theirs}):
        raise UsageError(f"--leave-out {plain(unknown[0])}: the snapshot restores no such object", "name it as KIND/NAMESPACE/NAME")
    wanted = [one for one in theirs if one.name not in wishes.left_out]
    restored = [not one.keeper or (wishes.kept and one.keeper.startswith(_ENGINES)) for one in wanted]
    return Restoration(
        mark=content.mark(drill=wishes.drill),
        objects=tuple(one for one, is_made in zip(wanted, restored, strict=True) if is_made),
        kept=tuple(one for one, is_made in zip(wanted, restored, strict=True) if not is_made),
        namespaces=content.namespaces,
        lost=tuple(name for name in content.left_out if name.startswith(tuple(f"{kind}/" for kind in ACCESS_KINDS))),
        # Where those were unknown, the CA's own certificates lead to one.
        roots=content.roots or content.authority,
        opened=opened,
        sealed=content.sealed,
    )


def _unmarked(one: KeptObject) -> KeptObject:
    """Without our labels, by which a run of other files would delete it."""
    if not _is_ours(one.manifest):
        return one
    metadata = dict(one.manifest["metadata"])
    for part in ("labels", "annotations"):
        if left := {key: value for key, value in (metadata.pop(part, None) or {}).items() if key not in RESERVED}:
            metadata[part] = left
    return replace(one, manifest={**one.manifest, "metadata": metadata})


def _is_ours(manifest: Manifest) -> bool:
    """What files describe comes from them, or was taken out of them since."""
    return bool((manifest["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER)


def pins(content: SnapshotContent, lock: Lock, version: str) -> Lock:
    """The digests that a restore insists on: those of the snapshot, and for another version what its lock file has of that."""
    own = tuple(one.chart for one in content.charts)
    if version == content.istio_version:
        return Lock(tuple({(one.name, one.version): one for one in (*lock.charts, *own)}.values()))
    return lock if any(one.version == version for one in lock.charts) else Lock(())


def platform_changes(content: SnapshotContent, desired: Desired) -> dict[str, tuple[Change, ...]]:
    """How the values of each release differ from those of the snapshot, each with the line that decides it."""
    before = {release.key: release for release in content.releases}
    found = {str(release.key): tuple(_changes(before.get(release.key), release)) for release in desired.releases}
    gone = {str(key): (Change("the release", "installed", None),) for key in before.keys() - {release.key for release in desired.releases}}
    return {name: changes for name, changes in {**found, **gone}.items() if changes}


def _changes(before: KeptRelease | None, after: Release) -> Iterator[Change]:
    merged, winners = after.values.merged(), after.values.winners()
    old: Mapping[str, Any] = before.values if before else {}
    for path in sorted({*leaves(old), *winners}):
        was, now = value_at(old, path, _ABSENT), value_at(merged, path, _ABSENT)
        if was != now and not any(isinstance(one, Mapping) and one for one in (was, now)):
            shown = pair(None if was is _ABSENT else was, None if now is _ABSENT else now, *path[-1:])
            yield Change(".".join(path), *shown, str(winners[path].origin) if path in winners else "")
