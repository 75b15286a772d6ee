"""Compares a mesh that was made of a snapshot with what it was: each part PASS, FAIL or NOT PROVEN, with the evidence; pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from meshinstall.checks.restoration import unserved
from meshinstall.checks.scout import Terms, check, compare, served
from meshinstall.checks.words import first, some, word
from meshinstall.model.desired import Desired
from meshinstall.model.facts import key_of, policy_key
from meshinstall.model.foreign_text import plain
from meshinstall.model.gate import GateCheck, GateOutcome, as_gate
from meshinstall.model.gateway_config import GatewayConfig
from meshinstall.model.ownership import ENVIRONMENT, MANAGED_BY, MANAGER, POLICY, PROFILE, SOURCE
from meshinstall.model.place import Place
from meshinstall.model.policy_kinds import GATEWAY_API
from meshinstall.model.release import Manifest
from meshinstall.model.restoring import KeptObject, Rebuilt, SnapshotContent
from meshinstall.model.snapshot_objects import mesh_labels
from meshinstall.model.verdict import Outcome, Verdict, worst

# Lines of evidence of one kind, and characters of a fingerprint that people compare.
_SHOWN, _DIGITS = 20, 12
# What a run writes for its own environment, which may have another name here.
_OWN = frozenset({ENVIRONMENT, PROFILE, SOURCE, POLICY})


def compared(
    content: SnapshotContent, now: Rebuilt, desired: Desired, left_out: Iterable[str], verdict: Verdict | None
) -> tuple[GateCheck, ...]:
    """Each part of a mesh against its snapshot; ``left_out`` are objects that were left out by name."""
    return (
        *_objects(content, now, desired, frozenset(left_out)),
        *_labels(now, desired),
        *(_gateway(name, content, now) for name in sorted({*(content.serving or {}), *now.serving})),
        *_trust(content, now),
        _verdict(content, verdict),
        _bare(now),
    )


def _objects(content: SnapshotContent, now: Rebuilt, desired: Desired, left_out: frozenset[str]) -> Iterator[GateCheck]:
    """Those that a restore answers for, those that others keep, and those that are not of the snapshot."""
    wanted = desired.restored
    theirs = {one.name for one in wanted.kept} - left_out if wanted else set()
    differing = {one.name: said for one in content.objects if (said := _difference(one, now, desired))}
    own = {name: said for name, said in differing.items() if name not in theirs}
    yield _own_objects(content, own, left_out)
    if theirs:
        late = [f"{said}: {one.keeper} makes it" for one in content.objects if one.name in theirs and (said := differing.get(one.name, ""))]
        words = f"of {len(theirs)} objects {len(late)} are not as they were, and somebody else makes them"
        yield check("objects that others keep", GateOutcome.NOT_PROVEN if late else GateOutcome.PASS, words, _shown(late))
    described = {policy_key(key_of(one.manifest)) for one in (*desired.policies, *(desired.layered or ()))}
    known = described | {policy_key(key_of(one.manifest)) for one in content.objects}
    added = sorted(now.objects.keys() - known)
    # What the Gateway API has is for other controllers as well.
    is_istios = any(key.group != GATEWAY_API for key in added)
    if added:
        words = f"{len(added)} objects are here that the snapshot has not"
        outcome = GateOutcome.NOT_PROVEN if is_istios else GateOutcome.PASS
        yield check("other objects", outcome, words, _shown(f"{key} was not in the snapshot" for key in added))


def _difference(one: KeptObject, now: Rebuilt, desired: Desired) -> str:
    live = now.objects.get(policy_key(key_of(one.manifest)))
    if live is None:
        return f"{one} is not there"
    differs = list(_differing(one.manifest, live))
    if differs:
        return f"{one} differs in {first(differs, 5)}"
    revision = unserved(live["metadata"].get("labels") or {}, desired)
    return f"{one} is for the revision {plain(revision)}, which is not here: istiod ignores it" if revision else ""


def _own_objects(content: SnapshotContent, differing: Mapping[str, str], left_out: frozenset[str]) -> GateCheck:
    lines = [said for name, said in differing.items() if name not in left_out]
    excused = [f"{said}: it was left out by name" for name, said in differing.items() if name in left_out]
    secret = [f"{plain(one)} is not in the snapshot: it holds a secret" for one in content.left_out]
    evidence = (*_shown(lines), *_shown(excused), *_shown(secret))
    count = f"{len(content.objects)} objects of the snapshot"
    if lines:
        return check("objects", GateOutcome.FAIL, f"of {count} {len(lines)} are not as they were", evidence)
    if left := len(excused) + len(secret):
        return check("objects", GateOutcome.NOT_PROVEN, f"of {count} all are as they were, but {left} were left out", evidence)
    return check("objects", GateOutcome.PASS, f"{count} are as they were", evidence)


def _differing(kept: Manifest, live: Manifest) -> Iterator[str]:
    """Fields in which somebody's wish differs; the version it is written in is none."""
    for name in sorted({*kept, *live} - {"apiVersion", "metadata"}):
        if kept.get(name) != live.get(name):
            yield name
    for part in ("labels", "annotations"):
        before, after = _own(kept, part), _own(live, part)
        yield from (f"metadata.{part}.{key}" for key in sorted({*before, *after}) if before.get(key) != after.get(key))


def _own(manifest: Manifest, part: str) -> Mapping[str, Any]:
    return {
        key: value
        for key, value in (manifest["metadata"].get(part) or {}).items()
        if key not in _OWN and (key, value) != (MANAGED_BY, MANAGER)
    }


def _labels(now: Rebuilt, desired: Desired) -> Iterator[GateCheck]:
    """By these labels Istio decides which pods are of the mesh; other namespaces may have come since."""
    wanted = desired.restored
    if wanted is None or not wanted.namespaces:
        return
    lines = [
        line
        for name in sorted(wanted.namespaces)
        for line in _other_labels(name, mesh_labels(desired.restored_labels(name)), now.labels.get(name))
    ]
    pinned = [(name, unserved(now.labels.get(name, {}), desired)) for name in sorted(wanted.namespaces)]
    lines += [f"namespace {name} names the revision {plain(one)}, which is not here: its pods get no proxy" for name, one in pinned if one]
    words = f"{'1 namespace has' if len(wanted.namespaces) == 1 else f'{len(wanted.namespaces)} namespaces have'} the labels of before"
    if lines:
        words = "labels are not as they were, or lead nowhere: which pods get a proxy differs"
    yield check("labels of namespaces", GateOutcome.FAIL if lines else GateOutcome.PASS, words, _shown(lines))


def _other_labels(name: str, before: Mapping[str, str], after: Mapping[str, str] | None) -> Iterator[str]:
    if after is None:
        yield f"namespace {name} is not there"
        return
    yield from (f"namespace {name} lacks {key}={value}" for key, value in sorted(before.items()) if after.get(key) != value)
    yield from (f"namespace {name} has {plain(key)}={plain(after[key])}, and had not" for key in sorted(after.keys() - before.keys()))


def _gateway(name: str, content: SnapshotContent, now: Rebuilt) -> GateCheck:
    title = f"gateway {plain(name)}"
    if content.serving is None:
        return check(title, GateOutcome.NOT_PROVEN, "the snapshot is of an older version, and does not say what it served")
    before, after = content.serving.get(name), now.serving.get(name)
    if before is None:
        return check(title, GateOutcome.PASS, "it is new")
    if isinstance(before, str):
        return check(title, GateOutcome.NOT_PROVEN, f"what it served then is unknown: {before}")
    if not isinstance(after, GatewayConfig):
        return check(title, GateOutcome.FAIL, f"what it serves could not be read: {after}" if after else "it is not there")
    found = _served(title, before, after, now)
    withheld = content.withheld.get(name, 0)
    if found.outcome is GateOutcome.PASS and withheld:
        words = f"it serves what the snapshot has, which lacks {withheld} of its routes: they look like secrets"
        return check(title, GateOutcome.NOT_PROVEN, words, found.evidence)
    return found


def _served(title: str, before: GatewayConfig, after: GatewayConfig, now: Rebuilt) -> GateCheck:
    """Roots are compared for the whole mesh."""
    found = compare(_rootless(before), _rootless(after), Terms())
    missing = [lack.words for lack in found.missing]
    lines = (*_shown(f"missing: {one}" for one in missing), *_shown(f"added: {one}" for one in found.added))
    if not missing:
        return check(title, GateOutcome.PASS, f"it serves all that it served: {served(before)}", lines)
    if now.lacking:
        names = some(f"{one.namespace}/{one.name}" for one in now.lacking)
        return check(title, GateOutcome.NOT_PROVEN, f"it lacks {some(missing)}, but Secrets are missing: {names}", lines)
    return check(title, GateOutcome.FAIL, f"it lacks {some(missing)}", lines)


def _rootless(config: GatewayConfig) -> GatewayConfig:
    return GatewayConfig(config.listeners, config.doors, config.routes, config.secrets)


def _trust(content: SnapshotContent, now: Rebuilt) -> Iterator[GateCheck]:
    """Another root may be accepted by name; another trust domain is in none of the policies."""
    if content.trust_domain != now.trust_domain:
        words = f"it was {content.trust_domain or 'unknown'}, and is {now.trust_domain or 'unknown'}"
        yield check("trust domain", GateOutcome.FAIL if now.trust_domain and content.trust_domain else GateOutcome.NOT_PROVEN, words)
    lines = tuple(f"{when}: root {one}" for when, roots in (("then", content.roots), ("now", now.roots)) for one in roots)
    then, more = set(content.roots), set(now.roots) - set(content.roots)
    if not content.roots or not now.roots:
        yield check("trust", GateOutcome.NOT_PROVEN, "the roots are unknown", lines)
    elif not then <= set(now.roots):
        words = "it did not come along: certificates of before are refused, by whoever has the new root alone"
        yield check("trust", GateOutcome.FAIL, words, lines)
    elif more:
        yield check("trust", GateOutcome.FAIL, f"it came along, but {len(more)} other roots are trusted as well", lines)
    else:
        yield check("trust", GateOutcome.PASS, f"it came along: root {', '.join(one[:_DIGITS] for one in content.roots)}", lines)


def _verdict(content: SnapshotContent, verdict: Verdict | None) -> GateCheck:
    """The verdict of now, and no better than the worst port that passed then; a workload may come later."""
    if verdict is None or not content.verdict:
        return check("mTLS", GateOutcome.NOT_PROVEN, "no verdict was asked for" if verdict is None else "the snapshot has no verdict")
    now: dict[tuple[str, str, int], Outcome] = {}
    for one in verdict.ports:
        key = (one.namespace, one.workload, one.port)
        now[key] = worst((one.outcome, now.get(key, one.outcome))) or one.outcome
    worse, absent = [], []
    for port in content.ports:
        outcome = now.get((port.namespace, port.workload, port.port))
        if outcome is None:
            absent.append(f"{port} is not there yet: it was {port.verdict}")
        elif port.verdict == Outcome.PASS and outcome is not Outcome.PASS:
            worse.append((outcome, f"{port} was PASS, and is {outcome}"))
    lines = (*_shown(words for _, words in worse), *_shown(absent))
    words = f"it was {content.verdict} then, and is {verdict.outcome} now"
    missing = [Outcome.NOT_PROVEN] if absent else []
    # What failed then and fails now is as it was, and still no PASS: a restore ends as verify does.
    found = worst((verdict.counted, *missing, *(outcome for outcome, _ in worse))) or Outcome.NOT_PROVEN
    return check("mTLS", as_gate(found), words, lines)


def _bare(now: Rebuilt) -> GateCheck:
    title = "workloads with proxies"
    if gap := now.gaps.get("workloads without a proxy"):
        return check(title, GateOutcome.NOT_PROVEN, f"pods could not be listed: {gap}")
    if not now.bare:
        return check(title, GateOutcome.PASS, "no workload of an injected namespace is without one")
    words = f"{len(now.bare)} came up before istiod, and have none: {some(map(str, now.bare))}"
    return check(title, GateOutcome.FAIL, words, tuple(_restart(one) for one in now.bare))


def _restart(place: Place) -> str:
    kind, _, name = place.name.partition(" ")
    space = word(place.namespace)
    if kind in {"Deployment", "DaemonSet", "StatefulSet"}:
        return f"kubectl rollout restart -n {space} {kind.lower()}/{word(name)}"
    return f"make {kind} {plain(name)} in {space} again: whoever made it has to"


def _shown(lines: Iterable[str]) -> tuple[str, ...]:
    found = list(lines)
    return (*found[:_SHOWN], *([f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []))


def left_to_do(content: SnapshotContent, now: Rebuilt, desired: Desired) -> Iterator[str]:
    """What no restore brings along, each with a command where there is one."""
    for gateway in content.gateways:
        after = now.addresses.get(f"{gateway.namespace}/{gateway.name}", ())
        if gateway.addresses and set(gateway.addresses) != set(after):
            where = first([plain(one) for one in after], 3) or "no address yet"
            yield f"DNS: {gateway.namespace}/{gateway.name} was {first([plain(one) for one in gateway.addresses], 3)}, and has {where}"
    for secret in now.lacking:
        space, name = word(secret.namespace), word(secret.name)
        if secret.purpose == "another cluster":
            yield f"another cluster: Secret {space}/{name} ({some(secret.named_by)}): istioctl create-remote-secret, in that cluster"
        else:
            yield f"kubectl create secret tls {name} -n {space} --cert=FILE --key=FILE  # named by {some(secret.named_by)}"
    keepers = {one.keeper for one in desired.restored.kept} if desired.restored else set()
    yield from (f"{keeper} has to make its objects again" for keeper in sorted(keepers))
    yield from (f"{plain(name)}: it holds a secret, and is not in the snapshot" for name in content.left_out)
    yield from (f"{what} could not be read: {plain(why)}" for what, why in sorted(now.gaps.items()))
