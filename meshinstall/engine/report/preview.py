"""Says what a change of files means: both sides are rendered, and compared object by object; no cluster is known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from meshinstall import catalog
from meshinstall.engine.objects.field_paths import ABSENT
from meshinstall.engine.objects.mesh_policies import with_lines
from meshinstall.engine.plan.compare import exact_in_order
from meshinstall.engine.plan.policy_steps import differing
from meshinstall.engine.rehearsal import service_meaning
from meshinstall.engine.rehearsal.access_changes import changed
from meshinstall.engine.rehearsal.crds import crd_changes
from meshinstall.engine.rehearsal.fields import Field, Place, field_changes, leaves, shown
from meshinstall.engine.rehearsal.meaning import by_concern, consequences
from meshinstall.engine.rehearsal.sides import Sides
from meshinstall.engine.report.authz import read_rows, try_all
from meshinstall.errors import ConfigError
from meshinstall.gitops.terms import Item, RenderedSite, Step
from meshinstall.model.authz import Tried
from meshinstall.model.desired import Desired, MtlsMode, Policy
from meshinstall.model.diff import Concern, Concerned, Consequence, FieldChange, ObjectChange, Verb
from meshinstall.model.facts import Facts, ObjectKey, key_of, policy_key
from meshinstall.model.policy_kinds import ACCESS_KINDS, SECURITY, PolicyKey, group_of
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.preview import SitePreview, TriedTwice
from meshinstall.model.release import Manifest, ReleaseKey

_Items = Mapping[ObjectKey, Item]
# Of an object, what is compared for itself, or names it.
_SAID = frozenset({"spec", "apiVersion", "kind"})
# Of the base chart, which has all of them.
_CRDS = ReleaseKey(catalog.MESH_NAMESPACE, "istio-base")


def compare_sites(before: Sequence[RenderedSite], after: Sequence[RenderedSite], today: date) -> tuple[SitePreview, ...]:
    """Every site of either side, by its path."""
    old, new = ({site.path: site for site in sites} for sites in (before, after))
    return tuple(_compare(path, old.get(path), new.get(path), today) for path in sorted({*old, *new}))


def _compare(path: str, before: RenderedSite | None, after: RenderedSite | None, today: date) -> SitePreview:
    was, now = (site.desired.istio_version if site else "" for site in (before, after))
    if after is None:
        # Nobody removes a mesh because a file went.
        told = Consequence(Concern.ACCESS, "no file describes this site any more: what is installed there stays as it is")
        return SitePreview(path, was, now, summary=(told,))
    old, new = _by_key(before), _by_key(after)
    changes = tuple(_changes(old, new, after.desired))
    exposed = _exposed({key: item for key, item in new.items() if key not in old})
    ended = _support(after.desired, today) if was != now else ()
    if before is None:
        return SitePreview(path, was, now, changes, by_concern((*exposed, *_plaintext(after.desired), *ended)))
    sides = {key: Sides(_manifest(old, key), _manifest(new, key)) for key in {*old, *new}}
    meaning = consequences(changes, Facts(""), Concerned(), sides)
    return SitePreview(path, was, now, changes, by_concern((*meaning, *exposed, *_access(before.desired, after.desired), *ended)))


def _by_key(site: RenderedSite | None) -> dict[ObjectKey, Item]:
    return {item.key: item for item in site.items} if site else {}


def _manifest(items: _Items, key: ObjectKey) -> Manifest:
    return items[key].manifest if key in items else {}


def _changes(old: _Items, new: _Items, desired: Desired) -> Iterator[ObjectChange]:
    """What is new, differs or goes, in the order of the steps; of objects that are new the fields are told only for policies."""
    files = {key_of(policy.manifest): policy for policy in (*desired.policies, *(desired.layered or ()))}
    last, made = ({key.name: item.text for key, item in items.items() if item.step is Step.CRDS} for items in (old, new))
    yield from crd_changes(_CRDS, last, made, last)
    for key, item in new.items():
        if item.step is Step.CRDS:
            continue
        if key not in old:
            fields = tuple(_shown(one, key, files) for one in leaves(item.manifest)) if item.step is Step.POLICIES else ()
            yield ObjectChange(key, None, Verb.CREATE, fields)
        elif found := tuple(_shown(one, key, files) for one in _fields(old[key], item)):
            yield ObjectChange(key, None, Verb.CHANGE, found)
    gone = (key for key, item in old.items() if key not in new and item.step is not Step.CRDS)
    # A namespace is never deleted by a file that went.
    yield from (ObjectChange(key, None, Verb.DELETE) for key in gone if key.kind != "Namespace")


def _fields(old: Item, new: Item) -> Iterator[Field]:
    """Of policies every difference counts, of what charts render only what Kubernetes takes for one."""
    if new.step is not Step.POLICIES:
        yield from field_changes(old.manifest, new.manifest, old.manifest)
        return
    wanted, last = ({name: one.manifest[name] for name in one.manifest if name not in _SAID} for one in (new, old))
    for one in (*differing(new.manifest, old.manifest), *exact_in_order(wanted, last)):
        yield Field(Place(one.path), one.live, one.wanted)


def _shown(one: Field, key: ObjectKey, files: Mapping[ObjectKey, Policy]) -> FieldChange:
    policy = files.get(key)
    origin = "" if policy is None or one.after is ABSENT else str(policy.origin_of(one.place.outer))
    return shown(key.kind, one, origin)


def _exposed(new: _Items) -> Iterator[Consequence]:
    """What of new objects can be reached from outside."""
    for key, item in new.items():
        if key.kind == "Service" and service_meaning.kind_of(item.manifest) in service_meaning.EXPOSED:
            kind = service_meaning.kind_of(item.manifest)
            told = list(service_meaning.service(key, Sides({"spec": {"type": "ClusterIP"}}, item.manifest), Concerned()))
            yield from (one for one in told if one.concern is Concern.WEAKER)
            yield Consequence(Concern.ADDRESS, f"{key} is new and gets an address: type {kind}")


def _plaintext(desired: Desired) -> Iterator[Consequence]:
    """That a mesh which is new is not STRICT."""
    for policy in desired.policies:
        mode = policy.manifest["spec"]["mtls"]["mode"]
        if mode != MtlsMode.STRICT:
            told = f"{key_of(policy.manifest)} is new and lets plaintext in: {mode} ({policy.origin})"
            yield Consequence(Concern.WEAKER, told)


def _access(before: Desired, after: Desired) -> Iterator[Consequence]:
    """Whose access becomes wider or narrower, by the policies of both sides; those that are in no file are not known."""
    old, new = _policies(before), _policies(after)
    if _deciding(before, old) != _deciding(after, new):
        yield from changed(old, new, (), after, before)


def _deciding(desired: Desired, policies: Mapping[PolicyKey, PolicyObject]) -> tuple[object, ...]:
    """All by which access is decided."""
    mesh = desired.istiod.values.merged().get("meshConfig") if desired.istiod else None
    return mesh, desired.revision, {key: one.manifest for key, one in policies.items()}


def _policies(desired: Desired) -> dict[PolicyKey, PolicyObject]:
    found = {policy_key(key_of(one.manifest)): with_lines(one) for one in (*desired.policies, *(desired.layered or ()))}
    return {key: one for key, one in found.items() if group_of(str(one.manifest["apiVersion"])) == SECURITY and one.kind in ACCESS_KINDS}


def _support(desired: Desired, today: date) -> Iterator[Consequence]:
    support = catalog.support(desired.istio_version)
    if support is not None and support.ended(today):
        told = f"Istio {desired.istio_version} gets no fixes: {support.minor} is out of support since {support.end_of_life}"
        yield Consequence(Concern.WEAKER, told)


def with_tests(
    sites: Sequence[SitePreview], before: Sequence[RenderedSite], after: Sequence[RenderedSite], tables: Mapping[str, Path]
) -> tuple[SitePreview, ...]:
    """With each row of these tables by the policies of both sides; ``tables`` are files by the names that people know.

    Raises ConfigError for mistakes in a table, and for policies that no cluster has as they are written.
    """
    old, new = ({site.path: site for site in some} for some in (before, after))
    return tuple(replace(site, tests=tuple(_tried(old.get(site.site), new.get(site.site), tables))) for site in sites)


def _tried(before: RenderedSite | None, after: RenderedSite | None, tables: Mapping[str, Path]) -> Iterator[TriedTwice]:
    if after is None:
        return
    for name, path in tables.items():
        now = _rows(name, path, after.desired)
        then = _rows(name, path, before.desired) if before else ()
        yield from (TriedTwice(then[number] if then else None, row) for number, row in enumerate(now))


def _rows(name: str, path: Path, desired: Desired) -> tuple[Tried, ...]:
    try:
        rows, policies = read_rows(path, [with_lines(one) for one in desired.layered or ()], desired)
    except ConfigError as error:
        raise ConfigError(tuple(replace(one, source=name if one.source == str(path) else one.source) for one in error.problems)) from None
    tried = try_all(rows, policies)
    return tuple(replace(one, expectation=replace(one.expectation, place=one.expectation.place.replace(str(path), name))) for one in tried)
