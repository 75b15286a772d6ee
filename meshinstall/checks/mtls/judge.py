"""Chooses the ports for live probes, and judges every workload port by facts and probes.

Nothing passes that was not seen: a port passes when policy, clients, its proxies' own configuration, their certificates and the wire
all say so. Ports that nobody declared have no address to be probed and pass without the wire; ambient ones then do not. Those of them
that a policy or a proxy's own configuration names are looked at one by one, and told where they are worse than the rest.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, zip_longest

from meshinstall.checks.mtls.certificates import shown
from meshinstall.checks.mtls.coverage import is_for_probes, outside
from meshinstall.checks.mtls.findings import OPEN, findings
from meshinstall.checks.mtls.metrics import served
from meshinstall.checks.mtls.peer_authentication import is_seen
from meshinstall.checks.mtls.plaintext_history import history_text
from meshinstall.checks.mtls.view import EntryVerdict, View, Workload
from meshinstall.checks.mtls.watching import watches
from meshinstall.checks.mtls.wire import by_port, live, untried, wire_evidence
from meshinstall.model.foreign_text import in_lines
from meshinstall.model.mesh import PROXY_PORTS, ControlPlane, Dataplane, ExternalService, MeshFacts, Mode, Place, Pod
from meshinstall.model.verdict import Evidence, Outcome, PortVerdict, Source, Verdict
from meshinstall.model.wire import Probing, Seen, WireTarget

# Ports that are tried when nobody says how many.
_MOST_TARGETS = 1000
_RANK = {Outcome.FAIL: 0, Outcome.NOT_PROVEN: 1, Outcome.PASS: 2}
_ON_THE_WIRE = frozenset({Dataplane.SIDECAR, Dataplane.AMBIENT})


@dataclass(frozen=True, slots=True)
class _Row:
    """One port of a workload before the wire is looked at; where nobody declared it nothing may listen."""

    workload: Workload
    port: int
    evidence: tuple[Evidence, ...]
    mode: str
    declared: bool = True

    @property
    def is_open(self) -> bool:
        """Whether its server failed already: the wire is then not needed. What clients do says nothing of that."""
        return any(one.outcome is Outcome.FAIL for one in self.evidence if one.source is not Source.CLIENT)

    @property
    def is_for_the_wire(self) -> bool:
        return self.declared and self.port > 0 and bool(self.workload.running) and self.workload.dataplane in _ON_THE_WIRE


def targets(facts: MeshFacts, sample: int | None = None, first: Collection[str] = ()) -> tuple[WireTarget, ...]:
    """One running pod for each workload port that has not failed yet, at most ``sample`` beside our own, spread over the namespaces.

    Those of the namespaces ``first`` come first.
    """
    open_rows = [row for row in _rows(View.of(facts)) if row.is_for_the_wire and not row.is_open]
    found = [target for row in open_rows if (target := _target(row))]
    ours = [target for target in found if is_for_probes(target.pod.namespace, facts)]
    others = (target for target in found if target not in ours)
    by_namespace = [list(group) for _, group in groupby(others, key=lambda target: target.pod.namespace)]
    turns = [target for turn in zip_longest(*by_namespace) for target in turn if target]
    spread = sorted(turns, key=lambda target: target.pod.namespace not in first)
    return (*ours, *spread[: _MOST_TARGETS if sample is None else sample])


def judge(facts: MeshFacts, probing: Probing, cluster: str, asked: Collection[str] | None = None) -> Verdict:
    """Facts and what the wire said: problems first; ``asked`` are the namespaces that it is about, None for all."""
    return judge_view(View.of(facts), probing, cluster, asked)


def judge_view(view: View, probing: Probing, cluster: str, asked: Collection[str] | None = None) -> Verdict:
    """The same of facts that somebody has a view of already."""
    facts, answers = view.facts, by_port(probing)
    rows = [_with_wire(row, view, probing, answers) for row in _rows(view)]
    found = (*(_verdict(row, view) for row in rows), *map(_entry, view.entries()), *_unknown(facts), *_empty(view, asked or ()))
    ports = sorted(found, key=lambda one: (_RANK[one.outcome], one.namespace, one.workload, one.port))
    opened = (_name(port) for port in ports if any(one.code in OPEN for one in port.evidence))
    reachable = tuple(sorted({*opened, *served(pod for workload in view.workloads for pod in workload.pods)}))
    verdict = Verdict(
        at=facts.now,
        cluster=cluster,
        ports=tuple(ports),
        findings=findings(view, ports),
        outside=outside(facts, view.mesh, reachable),
        external=_external(facts),
        certificates=shown(facts, view.trust, (pod for workload in view.workloads for pod in workload.pods)),
        live=live(probing),
        history=history_text(facts.history),
        callers=facts.callers,
        gaps=facts.gaps,
        clients=view.outlooks.counts if view.outlooks else None,
    )
    # Tenants choose names, labels and messages: none of them may look like a line, or a command, of ours.
    return in_lines(verdict)


def _rows(view: View) -> Iterator[_Row]:
    for workload in view.workloads:
        ports = _ports(workload, view)
        yield from (_row(workload, port, view) for port in ports)
        if named := sorted(_named(workload, view) - set(ports)):
            yield from _worse(workload, named, view)


def _worse(workload: Workload, ports: Iterable[int], view: View) -> Iterator[_Row]:
    """Those of some undeclared ports that are worse than the rest of them."""
    rest = _row(workload, 0, view).evidence
    for port in ports:
        row = _row(workload, port, view, declared=False)
        if any(one.outcome is not Outcome.PASS and one not in rest for one in row.evidence):
            yield row


def _row(workload: Workload, port: int, view: View, *, declared: bool = True) -> _Row:
    evidence = tuple(_evidence(workload, port, view))
    modes = dict.fromkeys(mode for pod in workload.pods if pod.place in view.merged and (mode := view.mode(pod, port)))
    return _Row(workload, port, evidence, "/".join(modes), declared)


def _ports(workload: Workload, view: View) -> list[int]:
    """The ports that are declared, sent to or left out, and 0 for the rest where a proxy takes them or none is known."""
    known = {port.number for pod in workload.pods for port in pod.ports if port.protocol == "TCP"}
    known |= {port for pod in workload.pods for port in pod.bypassed}
    rest = any(pod.dataplane is Dataplane.SIDECAR or _is_open(pod, view) for pod in workload.pods)
    return [*sorted(known), *([0] if rest or not known else [])]


def _named(workload: Workload, view: View) -> set[int]:
    """The ports that its own policy or a filter chain of its proxies is about, whoever declared them."""
    policies = (view.merged[pod.place].workload for pod in workload.pods if pod.place in view.merged)
    proxies = (view.facts.proxies.get(pod.place) for pod in workload.pods if pod.dataplane is Dataplane.SIDECAR)
    told = {port for policy in policies if policy for port in policy.ports}
    return (told | {chain.port for proxy in proxies if proxy for chain in proxy.inbound if chain.port}) - PROXY_PORTS


def _is_open(pod: Pod, view: View) -> bool:
    return pod.dataplane is Dataplane.AMBIENT and view.effective(pod, 0).mode is not Mode.STRICT


def _evidence(workload: Workload, port: int, view: View) -> Iterator[Evidence]:
    """What is seen of all pods of a workload; what is the same is said once."""
    pods = workload.running or workload.pods
    yield from _together(evidence for pod in pods for evidence in view.evidence(pod, port))
    if not workload.running:
        count = len(workload.pods)
        text = "its only pod is not running" if count == 1 else f"none of its {count} pods is running"
        yield Evidence(Source.COVERAGE, Outcome.NOT_PROVEN, text, f"Pod {pods[0].place}", "MTL024")


def _together(found: Iterable[Evidence]) -> Iterator[Evidence]:
    """One of each kind; those that differ in the pod alone name the first and count the rest."""
    same: dict[tuple[str, ...], tuple[Evidence, dict[str, None]]] = {}
    for one in found:
        alike = (one.source, one.outcome, one.text, "Pod" if one.object.startswith("Pod ") else one.object, one.code)
        same.setdefault(alike, (one, {}))[1][one.object] = None
    for one, objects in same.values():
        yield one if len(objects) == 1 else replace(one, object=f"{one.object} and {len(objects) - 1} more")


def _target(row: _Row) -> WireTarget | None:
    """The first of its pods that has an address: in a row that has not failed every pod has a proxy that takes its traffic."""
    return next((WireTarget(pod.place, pod.ip, row.port) for pod in row.workload.running if pod.ip), None)


def _with_wire(row: _Row, view: View, probing: Probing, answers: Mapping[tuple[Place, int], tuple[Seen, ...]]) -> _Row:
    """Add what the wire said, or why it said nothing; a port that failed already needs no wire."""
    found = [
        evidence
        for pod in row.workload.pods
        if (pod.place, row.port) in answers
        for evidence in wire_evidence(answers[pod.place, row.port], view.names(pod), f"Pod {pod.place}")
    ]
    needed = row.is_for_the_wire or (row.port == 0 and row.workload.dataplane is Dataplane.AMBIENT)
    if not found and needed and not row.is_open:
        found = [untried(probing) if row.port else _undeclared()]
    return replace(row, evidence=(*row.evidence, *found))


def _undeclared() -> Evidence:
    text = "it declares no port to probe, and ztunnel's own configuration was not read"
    return Evidence(Source.WIRE, Outcome.NOT_PROVEN, text, code="MTL056")


def _verdict(row: _Row, view: View) -> PortVerdict:
    places = tuple(pod.place for pod in row.workload.pods)
    workload = row.workload
    outcome = _worst(row.evidence)
    ours = is_for_probes(workload.namespace, view.facts)
    return PortVerdict(workload.namespace, workload.name, row.port, workload.dataplane, outcome, row.evidence, places, row.mode, ours)


def _entry(told: EntryVerdict) -> PortVerdict:
    """A part of the mesh that is no pod: nothing of its server was seen."""
    entry = told.entry
    kind = entry.object.partition(" ")[0]
    return PortVerdict(entry.place.namespace, f"{kind} {entry.place.name}", told.port, Dataplane.NONE, _worst(told.evidence), told.evidence)


def _unknown(facts: MeshFacts) -> Iterator[PortVerdict]:
    """What may be there and was not seen keeps the whole from passing."""
    for kind in ("Namespace", "Pod"):
        if kind in facts.unread:
            evidence = Evidence(Source.COVERAGE, Outcome.NOT_PROVEN, f"some {kind} objects could not be read", kind, "MTL026")
            yield PortVerdict("", f"{kind}s that could not be read", 0, Dataplane.NONE, Outcome.NOT_PROVEN, (evidence,))


def _empty(view: View, asked: Iterable[str]) -> Iterator[PortVerdict]:
    """A namespace that was asked for and has nothing to judge, as a name that is misspelt has, proves nothing."""
    for namespace in sorted({*asked} - {workload.namespace for workload in view.workloads}):
        known = namespace in view.facts.namespaces or "Namespace" in view.facts.unread
        text = "the namespace has no workload of the mesh" if known else "the namespace does not exist"
        evidence = Evidence(Source.COVERAGE, Outcome.NOT_PROVEN, text, f"Namespace {namespace}", "MTL027")
        yield PortVerdict(namespace, "no workload", 0, Dataplane.NONE, Outcome.NOT_PROVEN, (evidence,))


def _external(facts: MeshFacts) -> tuple[ExternalService, ...]:
    """The ways out of the mesh that some istiod sees."""
    seen = [one for one in facts.external if not facts.control_planes or any(_sees(plane, one, facts) for plane in facts.control_planes)]
    return tuple(sorted(seen, key=lambda one: one.place))


def _sees(plane: ControlPlane, one: ExternalService, facts: MeshFacts) -> bool:
    return is_seen(one.revision, plane.revision) and watches(plane, one.place.namespace, facts) is not False


def _worst(found: Sequence[Evidence]) -> Outcome:
    return min((evidence.outcome for evidence in found), key=_RANK.__getitem__, default=Outcome.NOT_PROVEN)


def _name(port: PortVerdict) -> str:
    return f"{port.namespace}/{port.workload}:{port.port or 'other'}"
