"""Says what drift means for those who use a mesh: from what Git says to what is there, by the rules of plans and previews; pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from meshinstall.checks.policies.reading import applies_with
from meshinstall.engine.drifting.terms import Differing, Other, Wanted, last_first
from meshinstall.engine.objects.field_paths import ABSENT, REPLICAS, dotted, with_field
from meshinstall.engine.objects.json_fields import at, table
from meshinstall.engine.objects.mesh_policies import with_lines
from meshinstall.engine.rehearsal.access_changes import changed
from meshinstall.engine.rehearsal.meaning import by_concern, consequences
from meshinstall.engine.rehearsal.sides import Sides
from meshinstall.model.desired import Desired
from meshinstall.model.diff import Concern, Concerned, Consequence, FieldChange, ObjectChange, Verb
from meshinstall.model.facts import Facts, ObjectKey, key_of, policy_key
from meshinstall.model.foreign_text import plain
from meshinstall.model.labels import REVISION
from meshinstall.model.policy_kinds import ACCESS_KINDS, SECURITY, PolicyKey, group_of
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.release import Manifest

# Policies that are put beside each other, and objects for which that is done: the rest is told without.
_MOST_POLICIES, _MOST_OBJECTS = 200, 25
# Of metadata, what decides whether istiod goes by a policy.
_DECIDING = frozenset({REVISION, "istio.io/dry-run"})
# What a run would do, which is not what is there.
_OF_RUNS = frozenset({Concern.RESTART, Concern.DELETION, Concern.CRD})


class Meaning:
    """What drift means; ``others`` are access policies that Git does not have."""

    def __init__(self, desired: Desired, differing: Sequence[Differing], missing: Sequence[Wanted], others: Sequence[Other]) -> None:
        self._desired = desired
        files = {policy_key(key_of(one.manifest)): with_lines(one) for one in (*desired.policies, *(desired.layered or ()))}
        self._live = {name: one for name, one in files.items() if _decides(one.manifest)}
        for one in missing:
            self._live.pop(policy_key(one.key), None)
        self._live |= {policy_key(one.wanted.key): PolicyObject("", one.live, {}) for one in differing if _decides(one.live)}
        self._live |= {policy_key(one.key): PolicyObject("", one.live, {}) for one in others if _decides(one.live)}
        self._by_namespace: dict[str, dict[PolicyKey, PolicyObject]] = {}
        for name, policy in self._live.items():
            self._by_namespace.setdefault(name.namespace, {})[name] = policy
        self._left = _MOST_OBJECTS
        self._root = next((key_of(policy.manifest).namespace for policy in desired.policies), desired.mesh_namespace)

    def of_differing(self, one: Differing) -> tuple[Consequence, ...]:
        """What it means that an object is not as Git says."""
        fields = tuple(FieldChange(dotted(field.path), _told(field.wanted), _told(field.live)) for field in one.fields)
        change = ObjectChange(one.wanted.key, one.wanted.item.release, Verb.CHANGE, _opened(fields))
        sides = Sides(_as_wanted(one), one.live)
        found = consequences([change], Facts(""), Concerned(), {one.wanted.key: sides})
        scaled = any(field.path == REPLICAS for field in one.fields)
        kept = [told for told in found if told.concern not in _OF_RUNS or (scaled and "number of pods" in told.text)]
        if not any(field.path[0] == "spec" or field.path[-1] in _DECIDING for field in one.fields):
            return by_concern(told for told in kept if told.concern is not Concern.ACCESS)
        return self._with_access(one.wanted.key, one.wanted.manifest, [*kept, *_narrowed(one)])

    def of_missing(self, one: Wanted) -> tuple[Consequence, ...]:
        """What it means that an object is not there."""
        mode = (((one.manifest.get("spec") or {}).get("mtls")) or {}).get("mode") if one.key.kind == "PeerAuthentication" else None
        fields = (FieldChange("spec.mtls.mode", mode, None),) if mode else ()
        change = ObjectChange(one.key, one.item.release, Verb.DELETE, fields)
        found = consequences([change], Facts(""), Concerned(), {one.key: Sides(one.manifest, {})})
        return self._with_access(one.key, one.manifest, [told for told in found if told.concern not in _OF_RUNS])

    def _with_access(self, key: ObjectKey, wanted: Manifest, told: Iterable[Consequence]) -> tuple[Consequence, ...]:
        """With whose access is wider or narrower, in the place of the sentence that it may be."""
        found = list(told)
        if not _decides(wanted):
            return by_concern(found)
        name, before = policy_key(key), PolicyObject("", wanted, {})
        scope = self._scope(name, before) if self._left else {}
        if not self._left or len(scope) > _MOST_POLICIES:
            return by_concern(
                [*found, Consequence(Concern.ACCESS, "whose access it changes is not worked out: there are too many policies")]
            )
        self._left -= 1
        exact = changed({**scope, name: before}, scope, (), self._desired)
        return by_concern([*(one for one in found if not (exact and one.text.startswith("who may call what"))), *exact])

    def _scope(self, name: PolicyKey, before: PolicyObject) -> Mapping[PolicyKey, PolicyObject]:
        """Policies that may count for one pod together with a policy, as it should be or as it is."""
        sides = [one for one in (before, self._live.get(name)) if one is not None]
        near = self._live if name.namespace == self._root else self._near(name.namespace)
        return {other: one for other, one in near.items() if any(applies_with(side, one, self._root) for side in sides)}

    def _near(self, namespace: str) -> Mapping[PolicyKey, PolicyObject]:
        return {**self._by_namespace.get(self._root, {}), **self._by_namespace.get(namespace, {})}


def _narrowed(one: Differing) -> Iterator[Consequence]:
    """That a policy for the whole mesh, or a whole namespace, which requires mutual TLS is for some pods alone."""
    wanted, live = (table(manifest.get("spec")) for manifest in (one.wanted.manifest, one.live))
    is_strict = one.wanted.key.kind == "PeerAuthentication" and at(wanted, "mtls", "mode") == "STRICT"
    labels = table(at(live, "selector", "matchLabels"))
    if is_strict and not at(wanted, "selector") and labels:
        whom = plain(", ".join(f"{name}={value}" for name, value in sorted(labels.items())))
        told = f"{one.wanted.key} requires mutual TLS of pods with {whom} alone, no longer of all others"
        yield Consequence(Concern.WEAKER, told)


def _decides(manifest: Manifest) -> bool:
    return group_of(str(manifest.get("apiVersion"))) == SECURITY and manifest.get("kind") in ACCESS_KINDS


def _opened(fields: Iterable[FieldChange]) -> tuple[FieldChange, ...]:
    """With the modes of mTLS in fields that are there as a whole, such as spec.mtls."""
    found = []
    for one in fields:
        found.append(one)
        if one.path.startswith("spec.") and not one.path.endswith(".mode"):
            modes = [_modes(value) for value in (one.before, one.after)]
            found += [FieldChange(f"{one.path}.{path}", modes[0].get(path), modes[1].get(path)) for path in sorted({*modes[0], *modes[1]})]
    return tuple(found)


def _modes(value: object) -> dict[str, object]:
    if not isinstance(value, Mapping):
        return {}
    inner = {f"{name}.{path}": mode for name, below in value.items() for path, mode in _modes(below).items()}
    return {**({"mode": value["mode"]} if "mode" in value else {}), **inner}


def _as_wanted(one: Differing) -> Manifest:
    """The live object with what Git says."""
    found: Manifest = one.live
    for field in last_first(one.fields):
        try:
            found = with_field(found, field.path, field.wanted)
        except KeyError:
            continue
    return found


def _told(value: object) -> object:
    return None if value is ABSENT else value
