"""Which namespaces may become STRICT or deny by default without cutting anybody off, by what was counted and what objects say; pure.

A namespace is READY only where every workload of it counted, a Prometheus counted it too for some days, and nobody was seen who would
be refused. A proxy counts since it started, which may be a minute ago; a Prometheus can be anybody's pod. So neither is enough alone, and
principals for a file are those of the proxies.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from meshinstall.checks.mtls.callers import callers_text
from meshinstall.checks.mtls.cut_off import known_refused, unknown_callers
from meshinstall.checks.mtls.judge import judge_view
from meshinstall.checks.mtls.plaintext_history import history_text
from meshinstall.checks.mtls.view import View
from meshinstall.checks.words import some
from meshinstall.model.facts import key_of, policy_key
from meshinstall.model.foreign_text import line
from meshinstall.model.istio import DEFAULT_ROOT_NAMESPACE
from meshinstall.model.mesh import Dataplane, History, MeshFacts, Mode, Place, Pod
from meshinstall.model.migration import Goal, Migration, NamespaceStep, Readiness
from meshinstall.model.policy_kinds import SECURITY, PolicyKey
from meshinstall.model.release import Manifest
from meshinstall.model.verdict import Outcome, PortVerdict, Source
from meshinstall.model.wire import Probing

_MESHED = frozenset({Dataplane.SIDECAR, Dataplane.AMBIENT})
# Kinds by which a mode is decided.
_DECIDING = frozenset({"MeshConfig", "PeerAuthentication", "Pod"})
_OPEN = frozenset({Mode.PERMISSIVE, Mode.DISABLE})
_PRINCIPAL = re.compile(r"spiffe://([A-Za-z0-9.-]+/ns/[a-z0-9-]+/sa/[a-z0-9.-]+)")
# Labels by which the pods of a workload are selected, the better one first.
_SELECTING = ("app.kubernetes.io/name", "app")
_DRY_RUN = "istio.io/dry-run"
# Whoever makes a pod names its owner as he likes, and a file is called by it.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,200}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Seen:
    """The mesh and its AuthorizationPolicies; ``unseen`` says why these are not known."""

    facts: MeshFacts
    policies: Sequence[Manifest] = ()
    unseen: str = ""


@dataclass(slots=True)
class _Space:
    """One namespace: its pods, the ``workloads`` that a policy can be for, the verdicts on its ports, and who calls."""

    name: str
    pods: list[Pod] = field(default_factory=list)
    workloads: dict[str, list[Pod]] = field(default_factory=dict)
    ports: list[PortVerdict] = field(default_factory=list)
    callers: dict[str, set[str]] = field(default_factory=dict)


def migrate(seen: Seen, environment: str, own: frozenset[PolicyKey] = frozenset()) -> Migration:
    """Both goals of each namespace with a proxy, and the files of an environment for those that are ready.

    What the environment's files have already, ``own``, is for ``up`` to apply: it is not written anew.
    """
    view = View.of(seen.facts)
    steps: list[NamespaceStep] = []
    files: dict[str, Manifest] = {}
    baseline = []
    for space in _spaces(view):
        folder = f"policies/envs/{environment}/{space.name}"
        known, unknown = list(_known(view, space)), list(_unknown(view, space))
        strict = _step(space, Goal.STRICT, [*known, *_open_policies(view, space)], unknown, is_set=_is_strict(view, space))
        deny = _deny(seen, space, known, unknown)
        steps += [strict, deny]
        if strict.readiness is Readiness.READY:
            files[f"{folder}/strict.yaml"] = _object("PeerAuthentication", space.name, "default", {"mtls": {"mode": "STRICT"}})
        if deny.readiness is Readiness.READY:
            baseline.append(space.name)
            files |= {f"{folder}/{one['metadata']['name']}.yaml": one for one in _allows(space)}
    counted = (callers_text(seen.facts.callers), history_text(seen.facts.history))
    files = {path: one for path, one in files.items() if policy_key(key_of(one)) not in own}
    return Migration(tuple(steps), files, tuple(baseline), tuple(line(text) for text in counted if text))


def _spaces(view: View) -> Iterator[_Space]:
    facts = view.facts
    roots = {plane.root_namespace for plane in facts.control_planes} | {DEFAULT_ROOT_NAMESPACE}
    found: dict[str, _Space] = {}
    for pod in facts.pods:
        space = found.setdefault(pod.place.namespace, _Space(pod.place.namespace))
        space.pods.append(pod)
        if pod.dataplane in _MESHED and pod.active:
            space.workloads.setdefault(pod.workload, []).append(pod)
    for port in judge_view(view, Probing(skipped="only planned"), "").ports:
        if port.namespace in found:
            found[port.namespace].ports.append(port)
    for caller in facts.callers.identities if facts.callers else ():
        namespace, _, workload = caller.workload.partition("/")
        if namespace in found:
            found[namespace].callers.setdefault(workload, set()).add(caller.source)
    yield from (space for name, space in sorted(found.items()) if space.workloads and name not in roots)


def _step(space: _Space, goal: Goal, known: Iterable[str], unknown: Iterable[str], *, is_set: bool) -> NamespaceStep:
    if is_set:
        return NamespaceStep(space.name, goal, Readiness.SET)
    reasons, doubts = (tuple(dict.fromkeys(map(line, texts))) for texts in (known, unknown))
    readiness = Readiness.NOT_READY if reasons else Readiness.NOT_PROVEN if doubts else Readiness.READY
    return NamespaceStep(space.name, goal, readiness, (*reasons, *doubts))


def _is_strict(view: View, space: _Space) -> bool:
    """Whether policies make every port of its proxies STRICT already; what could not be read may be anything."""
    modes = [port.mode for port in space.ports if port.dataplane in _MESHED]
    return bool(modes) and all(mode == Mode.STRICT for mode in modes) and not _DECIDING.intersection(view.facts.unread)


def _known(view: View, space: _Space) -> Iterator[str]:
    """Who or what would be refused, or stays open."""
    facts = view.facts
    yield from known_refused(view, [port for port in space.ports if port.server is not Outcome.PASS])
    for caller in facts.callers.found if facts.callers else ():
        if caller.workload.startswith(f"{space.name}/"):
            source = "somebody without a proxy" if caller.source == "unknown" else caller.source
            yield f"{caller.workload} receives plaintext from {source} (about {caller.times})"
    if history := facts.history:
        in_space = [(place, count) for place, count in history.plaintext if place.namespace == space.name]
        yield from (f"{place} received plaintext in the last {history.days} days (about {count})" for place, count in in_space)
    bare = sorted({pod.workload for pod in space.pods if pod.dataplane is Dataplane.NONE and pod.active})
    if bare:
        yield f"no policy holds for pods without a proxy: {some(bare)}"


def _open_policies(view: View, space: _Space) -> Iterator[str]:
    """PeerAuthentications that a new one would not change: those of workloads and ports decide, and of two for the namespace the older."""
    for policy in view.facts.policies:
        is_general = not policy.selector and policy.mode is not Mode.STRICT
        if policy.place.namespace == space.name and (is_general or policy.mode in _OPEN or _OPEN & {*policy.ports.values()}):
            yield f"PeerAuthentication {policy.place} would still decide: write STRICT into it, or delete it"


def _unknown(view: View, space: _Space) -> Iterator[str]:
    """What was not seen."""
    facts, workloads = view.facts, space.workloads
    if facts.gaps or facts.unread:
        yield f"could not be read: {some(facts.gaps or facts.unread)}"
    yield from unknown_callers(view)
    if ambient := sorted(name for name, pods in workloads.items() if any(pod.dataplane is Dataplane.AMBIENT for pod in pods)):
        yield f"what ztunnel counts was not asked: {some(ambient)}"
    if blind := sorted(_uncounted(facts, space)):
        yield f"nobody was counted calling {some(blind)}: its proxies have no telemetry, did not answer, or nobody calls"
    if any(port.clients is Outcome.NOT_PROVEN for port in space.ports) or facts.clients is None:
        objects = dict.fromkeys(one.text for port in space.ports for one in port.evidence if _is_doubt(one.source, one.outcome))
        yield f"it is not known what some clients would send{f': {some(objects)}' if objects else ''}"
    yield from _unremembered(view, space)


def _uncounted(facts: MeshFacts, space: _Space) -> list[str]:
    """The workloads of which some proxy told nothing."""
    return [name for name in space.workloads if facts.callers is None or f"{space.name}/{name}" in facts.callers.uncounted]


def _is_doubt(source: Source, outcome: Outcome) -> bool:
    return source is Source.CLIENT and outcome is Outcome.NOT_PROVEN


def _unremembered(view: View, space: _Space) -> Iterator[str]:
    """Of which days no Prometheus tells."""
    history = view.facts.history
    if history is None or not history.source or history.problem:
        why = f": {history.problem}" if history and history.problem else ""
        yield f"proxies count since they started, and no Prometheus tells of the days before{why}"
        return
    there = {place for place, _ in (*history.identities, *history.plaintext)}
    if missing := sorted(name for name in space.workloads if _short(space.name, name) not in there):
        yield f"no Prometheus counted anybody calling {some(missing)} in the last {history.days} days"


def _deny(seen: Seen, space: _Space, known: Iterable[str], unknown: Iterable[str]) -> NamespaceStep:
    """What has no identity cannot be allowed by one, so whatever keeps it from STRICT keeps it from this."""
    more, doubts = list(_unallowable(seen, space)), [*unknown]
    if seen.unseen:
        doubts.append(f"AuthorizationPolicies could not be listed: {seen.unseen}")
    return _step(space, Goal.DENY, [*known, *more], doubts, is_set=any(_denies(one, space.name) for one in seen.policies))


def _unallowable(seen: Seen, space: _Space) -> Iterator[str]:
    """Callers and workloads for which no file can be written from what was seen."""
    if any(pod.dataplane is Dataplane.GATEWAY for pod in space.pods):
        yield "a gateway is in it: clients from outside have no identity"
    for name, principals in sorted(space.callers.items()):
        if unreadable := sorted(one for one in principals if not _PRINCIPAL.fullmatch(one)):
            yield f"{name} is called by whom its proxies cannot name: {some(unreadable)}"
    for name in space.workloads:
        if not _NAME.fullmatch(_policy_name(name)):
            yield f"no policy can be named after {name}: write the one for its callers yourself"
        if not _selector(space, name):
            yield f"no label {' or '.join(_SELECTING)} tells {name} from others: write the policy for its callers yourself"
    if seen.facts.history:
        yield from _forgotten(seen.facts, seen.facts.history, space)


def _forgotten(facts: MeshFacts, history: History, space: _Space) -> Iterator[str]:
    """Callers whom a Prometheus remembers and the proxies, which started later, do not."""
    blind = {_short(space.name, name) for name in _uncounted(facts, space)}
    counted = {(_short(space.name, name), one) for name, principals in space.callers.items() for one in principals}
    for place, principal in sorted(history.identities - counted):
        if place.namespace == space.name and place not in blind:
            yield f"{principal or 'somebody'} called {place} in the last {history.days} days, and no proxy counted it since"


def _denies(policy: Manifest, namespace: str) -> bool:
    """Whether it lets nobody in to any workload of a namespace but whom another one allows (istio: security/v1 AuthorizationPolicy)."""
    metadata, spec = policy["metadata"], policy.get("spec") or {}
    is_tried = (metadata.get("annotations") or {}).get(_DRY_RUN) == "true"
    is_allow = spec.get("action", "ALLOW") == "ALLOW"
    return metadata.get("namespace") == namespace and is_allow and not is_tried and not spec.keys() - {"action"}


def _allows(space: _Space) -> Iterator[Manifest]:
    """For each workload, that those may call it who did."""
    for name, principals in sorted(space.callers.items()):
        if name in space.workloads:
            found = sorted(match[1] for one in principals if (match := _PRINCIPAL.fullmatch(one)))
            spec = {"selector": {"matchLabels": _selector(space, name)}, "rules": [{"from": [{"source": {"principals": found}}]}]}
            yield _object("AuthorizationPolicy", space.name, _policy_name(name), spec)


def _policy_name(workload: str) -> str:
    return f"{workload.lower().replace(' ', '-')}-callers"


def _selector(space: _Space, workload: str) -> dict[str, str]:
    """The label that all pods of a workload have, and none of another one; empty where there is no such label."""
    for label in _SELECTING:
        values = {pod.labels.get(label, "") for pod in space.workloads[workload]}
        others = {pod.labels.get(label, "") for pod in space.pods if pod.workload != workload}
        if len(values) == 1 and not values & {"", *others}:
            return {label: values.pop()}
    return {}


def _short(namespace: str, workload: str) -> Place:
    """As metrics name it: without its kind."""
    return Place(namespace, workload.rpartition(" ")[2])


def _object(kind: str, namespace: str, name: str, spec: Mapping[str, object]) -> Manifest:
    return {"apiVersion": f"{SECURITY}/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}
