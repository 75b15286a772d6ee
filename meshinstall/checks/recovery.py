"""Compares a mesh that was made of a snapshot with what it was: each part PASS, FAIL or NOT PROVEN, with the evidence; pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from meshinstall.checks.scout import Terms, check, compare, served
from meshinstall.checks.words import first, some, word
from meshinstall.model.desired import Desired
from meshinstall.model.facts import key_of, policy_key
from meshinstall.model.foreign_text import plain
from meshinstall.model.gate import GateCheck, GateOutcome
from meshinstall.model.gateway_config import GatewayConfig
from meshinstall.model.ownership import ENVIRONMENT, PROFILE, SOURCE
from meshinstall.model.place import Place
from meshinstall.model.release import Manifest
from meshinstall.model.restoring import KeptObject, Rebuilt, SnapshotContent
from meshinstall.model.verdict import Outcome, Verdict

# Lines of evidence of one kind, and characters of a fingerprint that people compare.
_SHOWN, _DIGITS = 20, 12
# What a run writes for its own environment, which may have another name here.
_OWN = frozenset({ENVIRONMENT, PROFILE, SOURCE})


def compared(
    content: SnapshotContent, now: Rebuilt, desired: Desired, left_out: Iterable[str], verdict: Verdict | None
) -> tuple[GateCheck, ...]:
    """Each part of a mesh against its snapshot; ``left_out`` are objects that were left out by name."""
    return (
        _objects(content, now, desired, frozenset(left_out)),
        *(_gateway(name, content, now) for name in sorted({*(content.serving or {}), *now.serving})),
        _trust(content, now),
        _verdict(content, verdict),
        _bare(now),
    )


def _objects(content: SnapshotContent, now: Rebuilt, desired: Desired, left_out: frozenset[str]) -> GateCheck:
    restored = {one.name for one in desired.restored.objects} if desired.restored else set()
    lines: list[str] = []
    others: list[str] = []
    for one in content.objects:
        live = now.objects.get(policy_key(key_of(one.manifest)))
        if live is not None and not (differs := list(_differing(one.manifest, live))):
            continue
        said = f"{one} is not there" if live is None else f"{one} differs in {first(differs, 5)}"
        excuse = _excuse(one, left_out, restored)
        (others if excuse else lines).append(f"{said}{excuse}")
    kept = {policy_key(key_of(one.manifest)) for one in content.objects}
    ours = {policy_key(key_of(one.manifest)) for one in (*desired.policies, *(desired.layered or ()))}
    added = [f"{key} was not in the snapshot" for key in sorted(now.objects.keys() - kept - ours)]
    evidence = (
        *_shown(lines),
        *_shown(others),
        *_shown(added),
        *(f"{plain(one)} is not in the snapshot: it holds a secret" for one in content.left_out),
    )
    count = f"{len(content.objects)} objects of the snapshot"
    if lines:
        return check("objects", GateOutcome.FAIL, f"of {count} {len(lines)} are not as they were", evidence)
    if others or content.left_out:
        left = len(others) + len(content.left_out)
        return check(
            "objects",
            GateOutcome.NOT_PROVEN,
            f"of {count} all are as they were, but {left} that others make, or that were left out",
            evidence,
        )
    more = f"; {len(added)} more are here" if added else ""
    return check("objects", GateOutcome.PASS, f"{count} are as they were{more}", evidence)


def _excuse(one: KeptObject, left_out: frozenset[str], restored: set[str]) -> str:
    if one.name in left_out:
        return ": it was left out by name"
    if one.keeper and one.name not in restored:
        return f": {one.keeper} makes it"
    return ""


def _differing(kept: Manifest, live: Manifest) -> Iterator[str]:
    """Fields in which somebody's wish differs; the version it is written in is none."""
    for name in sorted({*kept, *live} - {"apiVersion", "metadata"}):
        if kept.get(name) != live.get(name):
            yield name
    for part in ("labels", "annotations"):
        before, after = _own(kept, part), _own(live, part)
        yield from (f"metadata.{part}.{key}" for key in sorted({*before, *after}) if before.get(key) != after.get(key))


def _own(manifest: Manifest, part: str) -> Mapping[str, Any]:
    return {key: value for key, value in (manifest["metadata"].get(part) or {}).items() if key not in _OWN}


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
    return _served(title, before, after, now)


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


def _trust(content: SnapshotContent, now: Rebuilt) -> GateCheck:
    lines = tuple(f"{when}: root {one}" for when, roots in (("then", content.roots), ("now", now.roots)) for one in roots)
    if content.trust_domain != now.trust_domain:
        return check(
            "trust", GateOutcome.FAIL, f"the trust domain was {content.trust_domain}, and is {now.trust_domain or 'unknown'}", lines
        )
    if not content.roots or not now.roots:
        return check("trust", GateOutcome.NOT_PROVEN, "the roots are unknown", lines)
    if set(content.roots) <= set(now.roots):
        return check("trust", GateOutcome.PASS, f"it came along: root {', '.join(one[:_DIGITS] for one in content.roots)}", lines)
    return check(
        "trust", GateOutcome.FAIL, "it did not come along: certificates of before are refused, by whoever has the new root alone", lines
    )


def _verdict(content: SnapshotContent, verdict: Verdict | None) -> GateCheck:
    """A port that passed then has to pass now; what was no PASS then is not asked for, and a workload may come later."""
    if verdict is None or not content.verdict:
        return check("mTLS", GateOutcome.NOT_PROVEN, "no verdict was asked for" if verdict is None else "the snapshot has no verdict")
    now = {(one.namespace, one.workload, one.port): one.outcome for one in verdict.ports}
    worse, absent = [], []
    for port in content.ports:
        outcome = now.get((port.namespace, port.workload, port.port))
        if outcome is None:
            absent.append(f"{port} is not there yet: it was {port.verdict}")
        elif port.verdict == Outcome.PASS and outcome is not Outcome.PASS:
            worse.append((outcome, f"{port} was PASS, and is {outcome}"))
    lines = (*_shown(words for _, words in worse), *_shown(absent))
    words = f"it was {content.verdict} then, and is {verdict.outcome} now"
    if any(outcome is Outcome.FAIL for outcome, _ in worse):
        return check("mTLS", GateOutcome.FAIL, words, lines)
    return check("mTLS", GateOutcome.NOT_PROVEN if worse or absent else GateOutcome.PASS, words, lines)


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
