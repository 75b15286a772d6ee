"""Clients that call as service accounts of a mesh: each is a pod in the account's own namespace, with a certificate of its own.

They belong to the namespace of live probes (engine/probe/prober.py), and go with it: Kubernetes deletes them after it, whoever deletes
that, and the kubelet ends them after a quarter of an hour. Beside what probes need, whoever runs them needs create and delete on
envoyfilters (networking.istio.io), create, get and delete on pods, and create and get on pods/portforward, in these namespaces.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from meshinstall.engine.mesh.reader import short
from meshinstall.engine.probe import probe_objects
from meshinstall.engine.probe.admission import create_admitted
from meshinstall.engine.probe.prober import Prober, Say, probes
from meshinstall.engine.probe.starting import Starting, start_pod
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import closing, task_group
from meshinstall.errors import ClusterError
from meshinstall.model.paths import object_path
from meshinstall.model.place import Place
from meshinstall.model.wire import Call, End, Reply

# Callers at most, which start at the same time; calls at the same time.
MOST = 20
_AT_ONCE = 8
# Seconds: for a caller to be ready, for one call, and to clean up.
_START = 45.0
_EACH = 15.0
_CLEAN_UP = 15.0
# What a caller is, with the version of each.
_KINDS = (("pods", "v1"), ("envoyfilters", "networking.istio.io/v1alpha3"))


@dataclass
class Callers:
    """Callers that are ready, by service account, and why others are not; ``gaps`` are what could not be removed again.

    None stands for a caller without a certificate.
    """

    session: Session
    pods: dict[Place | None, Place] = field(default_factory=dict)
    problems: dict[Place | None, str] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)

    async def call(self, account: Place | None, call: Call) -> Reply:
        """Call as a service account; what cannot be done is a reply that says so."""
        if (pod := self.pods.get(account)) is None:
            return Reply(End.FAILED, self.problems.get(account, "there is no caller"))
        try:
            with anyio.fail_after(_EACH):
                return await self.session.pods.talk(*pod, probe_objects.LISTENER, self.session.wire.call(call))
        except ClusterError as error:
            return Reply(End.FAILED, short(error))
        except TimeoutError:
            return Reply(End.FAILED, f"the caller did not answer within {_EACH:.0f} s")

    async def call_all(self, calls: Mapping[tuple[int, Place], tuple[Place | None, Call]]) -> dict[tuple[int, Place], Reply]:
        """All of them, a few at a time."""
        replies: dict[tuple[int, Place], Reply] = {}
        limiter = anyio.CapacityLimiter(_AT_ONCE)

        async def one(key: tuple[int, Place], account: Place | None, call: Call) -> None:
            async with limiter:
                replies[key] = await self.call(account, call)

        async with task_group() as group:
            for key, (account, call) in calls.items():
                group.start_soon(one, key, account, call)
        return replies


@asynccontextmanager
async def callers(session: Session, accounts: Iterable[Place], say: Say) -> AsyncIterator[Callers]:
    """Start the callers, wait until they are ready, and remove them after the ``with`` block, whatever happens in it."""
    wanted = tuple(sorted(set(accounts)))
    async with probes(session, say) as prober:
        found = Callers(session, gaps=prober.gaps)
        if prober.problem or prober.owner is None:
            found.problems = dict.fromkeys((None, *wanted), prober.problem)
            yield found
            return
        found.pods[None] = Place(prober.namespace, probe_objects.CLIENT)
        names = {account: f"{prober.namespace}-{index}" for index, account in enumerate(wanted)}
        try:
            async with task_group() as group:
                for account, name in names.items():
                    group.start_soon(_start, found, account, name, prober.owner, say)
            yield found
        finally:
            await _clean_up(session, names, prober)


async def _start(found: Callers, account: Place, name: str, owner: probe_objects.Owner, say: Say) -> None:
    """A caller that cannot be started is a problem of its own."""
    settings, pod = probe_objects.caller(name, account, owner)
    try:
        path = object_path(settings.api_version, settings.plural, account.namespace)
        await create_admitted(found.session.kube, path, settings.body, say)
        await start_pod(found.session, account.namespace, Starting(pod, _START, listens=True), say)
        found.pods[account] = Place(account.namespace, name)
    except ClusterError as error:
        found.problems[account] = f"no pod could be started as {account}: {short(error)}"


async def _clean_up(session: Session, names: Mapping[Place, str], prober: Prober) -> None:
    """All at the same time, so that one that hangs keeps no other; what is not answered in time may be there still."""
    left = [(plural, version, account, name) for account, name in names.items() for plural, version in _KINDS]
    waiting = dict.fromkeys(left, "not in time")

    async def remove(one: tuple[str, str, Place, str]) -> None:
        plural, version, account, name = one
        try:
            await session.kube.delete(object_path(version, plural, account.namespace, name))
            del waiting[one]
        except ClusterError as error:
            waiting[one] = short(error)

    with closing(_CLEAN_UP):
        async with task_group() as group:
            for one in left:
                group.start_soon(remove, one)
    prober.gaps += [
        f"{plural} {account.namespace}/{name} could not be removed: {why}" for (plural, _, account, name), why in waiting.items()
    ]
