"""Tries a table of requests on a cluster: each is sent by a pod with the caller's own identity to pods of the workload that it names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from meshinstall.checks.authz.answers import judge_reply
from meshinstall.checks.authz.sending import account_of, text_of, why_not
from meshinstall.checks.policies.reading import GATEWAY_NAME
from meshinstall.engine.mesh.answering import ROUTES, listeners_path, read_answering
from meshinstall.engine.mesh.pods import PodSeen
from meshinstall.engine.mesh.pods import pod as read_pod
from meshinstall.engine.mesh.reader import short
from meshinstall.engine.probe.callers import MOST, callers
from meshinstall.engine.probe.prober import Say
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError, UsageError
from meshinstall.model.answering import Answering
from meshinstall.model.authz import Expectation, Outcome, Request, Tried, Verdict, Workload
from meshinstall.model.mesh import Dataplane
from meshinstall.model.paths import object_path
from meshinstall.model.place import Place
from meshinstall.model.wire import Call, Reply, Way, WireTarget

# Pods of a workload that a row is tried on, and rows, at most.
_PODS = 3
_ROWS = 500
# A proxy and what was asked of it: its pod, and the port.
_Port = tuple[Place, int]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Signed tokens by the environment variable that holds each; never shown."""

    by_variable: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Called:
    """Every row with what its workload did; ``gaps`` are what could not be removed again."""

    tried: tuple[Tried, ...]
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Aim:
    """A row and the pods that it is tried on; without any, ``problem`` says why not."""

    row: Expectation
    pods: tuple[PodSeen, ...] = ()
    others: int = 0
    problem: str = ""

    def call(self, one: PodSeen, tokens: Tokens) -> Call:
        """What is sent to a pod."""
        request = self.row.request
        way = (Way.MESH_HTTP if request.http else Way.MESH_TCP) if request.principal else Way.PLAIN
        data = text_of(request, f"{one.pod.ip}:{request.port}", tokens.by_variable)
        return Call(WireTarget(one.pod.place, one.pod.ip, request.port), way, data, speaks_http=request.http is not None)


def count_able(rows: Sequence[Expectation], tokens: Tokens) -> int:
    """How many rows can be tried: as many requests are sent to a workload, to each of its pods."""
    return sum(not _why_not(row, tokens) for row in rows)


def sources_of(rows: Sequence[Expectation], tokens: Tokens) -> tuple[Place, ...]:
    """The service accounts as which pods are started: those of rows that can be tried. Raises UsageError for a table that is too large."""
    able = [row for row in rows if not _why_not(row, tokens)]
    found = tuple(sorted({account for row in able if (account := account_of(row.request.principal))}))
    if len(rows) > _ROWS or len(found) > MOST:
        has = f"the table has {len(rows)} rows and {len(found)} service accounts"
        raise UsageError(f"{has}: --live tries {_ROWS} and {MOST} at most", "divide it into several tables")
    return found


async def call_rows(session: Session, rows: Sequence[Expectation], tokens: Tokens, say: Say) -> Called:
    """Call, and judge what comes back; leaves nothing behind. Raises UnreachableError when the API server is not there."""
    say("looking for the pods that the table names")
    spaces = await gather({row.workload.namespace for row in rows if not _why_not(row, tokens)}, partial(_pods_of, session))
    aims = [_aim(row, spaces, tokens) for row in rows]
    able = [aim for aim in aims if aim.pods]
    if not able:
        return Called(tuple(Tried(aim.row, _unknown(aim.problem)) for aim in aims))
    ports = {(one.pod.place, aim.row.request.port): one for aim in able for one in aim.pods}
    dumps = await gather(ports, lambda port: _ask(session, port, ports[port]))
    say("starting the callers")
    async with callers(session, sources_of([aim.row for aim in able], tokens), say) as by:
        say(f"calling for {len(able)} of {len(rows)} rows")
        calls = {
            (index, one.pod.place): (account_of(aim.row.request.principal), aim.call(one, tokens))
            for index, aim in enumerate(aims)
            for one in aim.pods
        }
        replies = await by.call_all(calls)
        say("removing the callers")
    tried = []
    # What a proxy says may be long: it is read once for each way in which it is called.
    proxies: dict[tuple[WireTarget, Way, bool], Answering | str] = {}
    for index, aim in enumerate(aims):
        found = []
        for place in (one.pod.place for one in aim.pods):
            call = calls[index, place][1]
            way = (call.target, call.way, call.speaks_http)
            if way not in proxies:
                proxies[way] = _answering(call, dumps[place, call.target.port])
            found.append((place, _judged(aim.row, replies[index, place], proxies[way])))
        tried.append(Tried(aim.row, _worst(aim, found)))
    return Called(tuple(tried), tuple(by.gaps))


def _why_not(row: Expectation, tokens: Tokens) -> str:
    return why_not(row.request, is_gateway=_is_gateway(row.workload), tokens=tokens.by_variable)


def _is_gateway(workload: Workload) -> bool:
    return workload.is_gateway or GATEWAY_NAME in workload.labels


async def _pods_of(session: Session, namespace: str) -> list[PodSeen] | str:
    """The pods of a namespace that are Ready, or why they are not known."""
    try:
        found = [read_pod(item, frozenset()) async for item in session.kube.list(object_path("v1", "pods", namespace))]
        return sorted((one for one in found if one and one.pod.ready), key=lambda one: one.pod.place)
    except (ClusterError, ValueError) as error:
        return f"pods of {namespace} cannot be read: {short(error) if isinstance(error, ClusterError) else error}"


def _aim(row: Expectation, spaces: Mapping[str, list[PodSeen] | str], tokens: Tokens) -> _Aim:
    if problem := _why_not(row, tokens):
        return _Aim(row, problem=problem)
    found = spaces[row.workload.namespace]
    if isinstance(found, str):
        return _Aim(row, problem=found)
    mine = [one for one in found if row.workload.labels.items() <= one.pod.labels.items()]
    if not mine:
        return _Aim(row, problem=f"no pod of {row.workload.namespace} that is Ready has these labels")
    if problem := next((text for one in mine if (text := _unproxied(one, row.workload, row.request))), ""):
        return _Aim(row, problem=problem)
    return _Aim(row, tuple(mine[:_PODS]), len(mine) - _PODS)


def _unproxied(one: PodSeen, workload: Workload, request: Request) -> str:
    """Why a call to a pod may never meet its proxy, or another one than the row means."""
    pod, port = one.pod, request.port
    if _is_gateway(workload):
        if pod.dataplane is not Dataplane.GATEWAY:
            return f"pod {pod.place} is not a gateway"
        return f"containers beside the proxy of {pod.place} may answer" if pod.shared or port in pod.bypassed else ""
    if pod.dataplane is not Dataplane.SIDECAR:
        return f"pod {pod.place} has no sidecar"
    is_past = not pod.captured or one.capture.leaves_out(port) or bool(pod.interfaces) or pod.one_family
    where = "it has addresses of two IP families" if pod.one_family else "see its annotations"
    return f"what is sent to port {port} of pod {pod.place} may pass its proxy by: {where}" if is_past else ""


async def _ask(session: Session, port: _Port, one: PodSeen) -> tuple[bytes, bytes | None] | str:
    """What a proxy says of a port: its listeners and, of a gateway, its routes; or why it is not known."""
    place, number = port
    is_gateway = one.pod.dataplane is Dataplane.GATEWAY
    paths = [listeners_path(number), *([ROUTES] if is_gateway else ())]
    try:
        found = await session.pods.get_all(place.namespace, place.name, one.pod.admin_port, paths)
        return found[0] or b"{}", (found[1] or b"") if is_gateway else None
    except ClusterError as error:
        return f"the proxy of {place} could not be asked who answers: {short(error)}"


def _answering(call: Call, dump: tuple[bytes, bytes | None] | str) -> Answering | str:
    """Who answers a call, or why it is not known."""
    if isinstance(dump, str):
        return dump
    try:
        return read_answering(dump[0], call, dump[1])
    except ClusterError as error:
        return f"it is unknown who answers: {short(error)}"


def _judged(row: Expectation, reply: Reply, proxy: Answering | str) -> Verdict:
    return _unknown(proxy) if isinstance(proxy, str) else judge_reply(row.request, reply, proxy)


def _worst(aim: _Aim, found: Sequence[tuple[Place, Verdict]]) -> Verdict:
    """What a row comes to: one pod that does otherwise counts more than one that is not known, and that more than all that pass."""
    if not found:
        return _unknown(aim.problem)

    def rank(verdict: Verdict) -> int:
        return 1 if verdict.outcome is Outcome.UNDECIDED else 2 if verdict.outcome is aim.row.expected else 0

    place, verdict = min(found, key=lambda one: rank(one[1]))
    rest = f"; {len(found)} of {len(found) + aim.others} pods were called" if aim.others > 0 else ""
    return replace(verdict, reason=f"pod {place.name}: {verdict.reason}{rest}")


def _unknown(reason: str) -> Verdict:
    return Verdict(Outcome.UNDECIDED, reason)
