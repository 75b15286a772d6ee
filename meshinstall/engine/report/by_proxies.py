"""Tries a table of requests against what each proxy of a cluster enforces.

Requests: one list of pods for each namespace that the table names, those of the cluster's policies, and one stream to each proxy of a
workload that a row names.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from meshinstall.checks.authz.decide import Guard, World, decide, guard
from meshinstall.checks.policies.reading import meets
from meshinstall.checks.words import some
from meshinstall.engine.mesh.callees import is_gateway
from meshinstall.engine.mesh.pods import PodSeen, pod
from meshinstall.engine.mesh.proxy_rules import Asked, Enforced, ask_enforced
from meshinstall.engine.mesh.reader import Asker, Wanted
from meshinstall.engine.report.pushed import NOT_PUSHED
from meshinstall.engine.report.who import Difference, read_live, world_of
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.model.access import Openness, openness
from meshinstall.model.authz import ByProxy, Expectation, Outcome, Request, Tried, Verdict, Workload
from meshinstall.model.desired import Desired
from meshinstall.model.foreign_text import plain
from meshinstall.model.istio import DEFAULT_ROOT_NAMESPACE
from meshinstall.model.mesh import Dataplane
from meshinstall.model.paths import object_path
from meshinstall.model.place import Place
from meshinstall.model.release import Manifest

_PROXIED = frozenset({Dataplane.SIDECAR, Dataplane.GATEWAY})
Labels = tuple[str, bool, frozenset[tuple[str, str]]]
# Of the rows that name a pod, by their number: what its proxy does, and the same beside policies.
_Said = Mapping[int, tuple[Verdict, tuple[Request, Verdict]]]
_Answers = Mapping[Place, tuple[Asked, _Said | None]]


async def try_by_proxies(rows: Sequence[Expectation], files: World | None, session: Session, desired: Desired | None) -> tuple[Tried, ...]:
    """Each row with what the live proxies of its workload decide; ``files`` is None where there are none. Raises ClusterError."""
    live = world_of(await read_live(session.kube), desired)
    asker = Asker(session.kube)
    planes = frozenset({desired.mesh_namespace if desired else DEFAULT_ROOT_NAMESPACE})

    async def list_pods(namespace: str) -> list[PodSeen]:
        mine = [row for row in rows if row.workload.namespace == namespace]

        def read(item: Manifest) -> PodSeen | None:
            seen = pod(item, planes)
            return seen if seen and seen.pod.running and any(_is_of(seen, row) for row in mine) else None

        return await asker.facts(Wanted("Pods", object_path("v1", "pods", namespace)), read)

    found = await gather({row.workload.namespace for row in rows}, list_pods)
    pods = tuple(sorted((one for listed in found.values() for one in listed), key=lambda one: one.pod.place))
    known: dict[Verdict, Verdict] = {}

    def once(verdict: Verdict) -> Verdict:
        # Most proxies decide alike: a verdict is kept once.
        return known.setdefault(verdict, verdict)

    def use(seen: PodSeen, by: Enforced) -> _Said:
        said: dict[int, tuple[Verdict, tuple[Request, Verdict]]] = {}
        for index, row in enumerate(rows):
            if _is_of(seen, row):
                shown, beside = by.beside_policies(row.request)
                said[index] = once(by.decide(row.request)), (row.request if shown == row.request else shown, once(beside))
        return said

    answers = await ask_enforced([one for one in pods if one.pod.dataplane in _PROXIED], session.pods, use)
    court = _Court(pods, answers, live, files, tuple(asker.gaps))
    return tuple(court.tried(index, row) for index, row in enumerate(rows))


def _is_of(seen: PodSeen, row: Expectation) -> bool:
    return seen.pod.place.namespace == row.workload.namespace and meets(row.workload.labels, seen.pod.labels)


@dataclass(frozen=True, slots=True)
class _Court:
    """What was found in a cluster; guards are made once for pods with the same labels."""

    pods: Sequence[PodSeen]
    answers: _Answers
    live: World
    files: World | None
    gaps: tuple[str, ...]
    guards: dict[tuple[int, Labels], Guard] = field(default_factory=dict)

    def tried(self, index: int, row: Expectation) -> Tried:
        """A row with what each proxy does to it: what is not as expected decides, then what is undecided."""
        mine = [one for one in self.pods if _is_of(one, row)]
        proxies = tuple(ByProxy(plain(str(one.pod.place)), self._verdict(one, index)) for one in mine)
        if not proxies:
            why = f"pods could not be listed: {'; '.join(self.gaps)}" if self.gaps else "no pod of this workload runs"
            return Tried(row, Verdict(Outcome.UNDECIDED, why))
        ordered = sorted(proxies, key=lambda one: (one.verdict.outcome is row.expected, one.verdict.outcome is Outcome.UNDECIDED))
        missing = Verdict(Outcome.UNDECIDED, f"some pods could not be listed: {'; '.join(self.gaps)}")
        is_whole = not self.gaps or ordered[0].verdict.outcome is not row.expected
        return Tried(row, ordered[0].verdict if is_whole else missing, proxies, tuple(self._notes(index, row, mine, proxies)))

    def _verdict(self, seen: PodSeen, index: int) -> Verdict:
        if seen.pod.dataplane not in _PROXIED:
            return Verdict(Outcome.UNDECIDED, f"{seen.pod.place} has no proxy of its own: whoever reaches it may call")
        asked, verdicts = self.answers[seen.pod.place]
        if verdicts is None:
            return Verdict(Outcome.UNDECIDED, plain(f"{seen.pod.place}: {asked.problem}"))
        return verdicts[index][0]

    def _beside(self, seen: PodSeen, index: int) -> tuple[Request, Verdict] | None:
        _, said = self.answers.get(seen.pod.place, (None, None))
        return said[index][1] if said else None

    def _notes(self, index: int, row: Expectation, mine: Sequence[PodSeen], proxies: Sequence[ByProxy]) -> Iterator[str]:
        if len({one.verdict.outcome for one in proxies}) > 1:
            yield f"the proxies differ: {'; '.join(_said(proxies))}"
        behind: dict[str, list[str]] = {}
        differences: dict[tuple[Labels, object], tuple[str, ...]] = {}
        for seen, by in zip(mine, proxies, strict=True):
            # Pods with the same labels have the same policies.
            beside = self._beside(seen, index)
            key = (self._labels(seen), beside and beside[1])
            if key not in differences:
                differences[key] = tuple(self._differences(seen, row.request, beside))
            for words in differences[key]:
                behind.setdefault(words, []).append(by.proxy)
        yield from (f"{words}: {some(names)}" for words, names in behind.items())
        for seen in mine:
            if (found := self.answers.get(seen.pod.place)) and found[0].refused:
                yield f"{seen.pod.place} did not take what istiod sent last: {found[0].refused}"

    def _differences(self, seen: PodSeen, request: Request, beside: tuple[Request, Verdict] | None) -> Iterator[str]:
        if beside:
            shown, verdict = beside
            live = self._decide(self.live, seen, shown)
            by = f" ({live.policy})" if live.policy else ""
            if _differ(verdict, live):
                yield f"{NOT_PUSHED}, or changed on its way: the cluster's policies say {live.outcome}{by}, not {verdict.outcome}"
        if self.files is None:
            return
        files, live = (self._decide(by, seen, request) for by in (self.files, self.live))
        if _differ(files, live):
            what = Difference.NOT_IN_GIT if openness(live) > openness(files) else Difference.NOT_APPLIED
            yield f"{what}: the files say {files.outcome}, the cluster's policies {live.outcome}"

    def _decide(self, by: World, seen: PodSeen, request: Request) -> Verdict:
        key = (id(by), self._labels(seen))
        if key not in self.guards:
            self.guards[key] = guard(by, Workload(seen.pod.place.namespace, seen.pod.labels, is_gateway(seen.pod)))
        return decide(self.guards[key], request)

    def _labels(self, seen: PodSeen) -> Labels:
        """All by which policies are chosen for a pod."""
        return seen.pod.place.namespace, is_gateway(seen.pod), frozenset(seen.pod.labels.items())


def _differ(one: Verdict, other: Verdict) -> bool:
    """Whether one lets a request through and the other does not; what is undecided differs from nothing."""
    return {openness(one), openness(other)} == {Openness.OPEN, Openness.CLOSED}


def _said(proxies: Sequence[ByProxy]) -> Iterator[str]:
    for outcome in dict.fromkeys(one.verdict.outcome for one in proxies):
        yield f"{outcome} by {some(one.proxy for one in proxies if one.verdict.outcome is outcome)}"
