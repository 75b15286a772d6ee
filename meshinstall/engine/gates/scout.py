"""Proves with a scout that a new revision serves what a gateway serves now, before any user's request gets there.

The scout is a pod like the gateway's, injected by the new revision, that Gateways select and no Service does. What its Envoy was given is
compared with what those of the live gateway have.

Requests: helm renders once; of the gateway's namespace a Deployment, pods and Services, of the cluster Gateways and EnvoyFilters; some
port-forwards to each pod of the gateway, and to those of the new istiod; and what the scout itself needs (engine/run/scout_pod.py).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import anyio

from meshinstall.checks.scout import Terms, check, compare, judge
from meshinstall.engine.mesh.control_planes import control_planes, of_kube
from meshinstall.engine.mesh.gateway_config import ask_gateway_config
from meshinstall.engine.mesh.gateway_pods import GatewayPod, read_ready_pod
from meshinstall.engine.mesh.gateway_selectors import ask_around
from meshinstall.engine.mesh.large_answers import Beside
from meshinstall.engine.mesh.proxies import ask_istiods
from meshinstall.engine.mesh.reader import short
from meshinstall.engine.mesh.syncz import Sync
from meshinstall.engine.objects import readiness
from meshinstall.engine.objects.release_manifest import read_objects
from meshinstall.engine.run.scout_pod import scout_pod
from meshinstall.engine.run.waiting import until_current
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.engine.upgrade.scout import Scouting, choose_role, scout_deployment, unbindable, why_not
from meshinstall.errors import ChartError, ClusterError, HelmError, OutOfTimeError, StepError
from meshinstall.model.desired import Release
from meshinstall.model.facts import ObjectKey, key_of
from meshinstall.model.gate import GateCheck, GateOutcome
from meshinstall.model.gateway_config import GatewayConfig
from meshinstall.model.istio import ISTIOD_SELECTOR
from meshinstall.model.labels import REVISION
from meshinstall.model.mesh import Place, SyncState
from meshinstall.model.ownership import SCOUT
from meshinstall.model.paths import object_path, path_of
from meshinstall.model.release import ChartRef, Manifest
from meshinstall.model.trial import Ground

Tell = Callable[[str], None]

# Words of a check whose scout Kubernetes did not start.
CANNOT_START = "the scout cannot start"
# Seconds for the scout to be Ready and to have its configuration; after which what is missing is believed, as istiod pushes in batches;
# after which a refusal of its Envoy is believed; and between two looks.
_START = 60.0
_SETTLE = 10.0
_REFUSES = 3.0
_LOOK = 0.2
_GATEWAYS = frozenset({"Deployment", "DaemonSet"})
# What may keep a pod from starting that has nothing to do with its version.
_NOT_OF_THE_REVISION = frozenset({readiness.NO_ROOM, readiness.REFUSED_PODS})


async def scout(session: Session, gateway: Release, chart: ChartRef, revision: str, tell: Tell) -> GateCheck:
    """Start a scout of ``gateway`` as ``chart`` would have it, injected by ``revision``, compare it, and remove it, whatever happens.

    What could not be seen is NOT PROVEN, with the reason. Raises OutOfTimeError alone.
    """
    scouting = _Scouting(session, gateway, chart, revision, tell)
    try:
        return await scouting.run()
    except _DecidedError as decided:
        return check(scouting.name, decided.outcome, decided.words)
    except OutOfTimeError:
        raise
    except StepError as error:
        outcome = GateOutcome.NOT_PROVEN if error.hint in _NOT_OF_THE_REVISION else GateOutcome.FAIL
        return check(scouting.name, outcome, f"{CANNOT_START}: {error.message}", (error.hint,) if error.hint else ())
    except (ClusterError, HelmError, ChartError) as error:
        return check(scouting.name, GateOutcome.NOT_PROVEN, f"the gateway could not be scouted: {error.in_one_line()}")
    except ValueError as error:
        return check(scouting.name, GateOutcome.NOT_PROVEN, f"an object of the gateway could not be parsed: {error}")


class _DecidedError(Exception):
    """The check ends before anything was compared."""

    def __init__(self, outcome: GateOutcome, words: str) -> None:
        super().__init__(words)
        self.outcome = outcome
        self.words = words


def _unproven(words: str) -> _DecidedError:
    return _DecidedError(GateOutcome.NOT_PROVEN, words)


def _refuses(sync: Sync, terms: Terms) -> _DecidedError:
    outcome = GateOutcome.NOT_PROVEN if terms.unbindable else GateOutcome.FAIL
    return _DecidedError(outcome, f"the scout refuses its configuration: {sync.words}")


@dataclass(frozen=True, slots=True)
class _Live:
    """The gateway that users' requests go to: its Ready pods, and how its scout would differ from them."""

    pods: tuple[GatewayPod, ...]
    role: str
    terms: Terms


@dataclass(slots=True)
class _Read:
    """What the pods of the live gateway serve together; ``notes`` say which they are, and which could not be read."""

    config: GatewayConfig
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Scouting:
    """One check; ``waits`` is what it waited for last."""

    session: Session
    gateway: Release
    chart: ChartRef
    revision: str
    tell: Tell
    waits: str = "it was not created yet"
    beside: Beside = field(default_factory=Beside)

    @property
    def name(self) -> str:
        """``scout of istio-ingress/istio-ingress``."""
        return f"scout of {self.gateway.key}"

    async def run(self) -> GateCheck:
        manifest = await self._rendered()
        planes = await self._planes()
        live = await self._live(manifest, planes)
        read = await self._read(live)
        found = Scouting(self.gateway.key.name, self.revision, self.session.who, live.pods[0].account)
        deployment = scout_deployment(manifest, live.role, found)
        key = key_of(deployment)
        self.tell(f"starting {key} beside the gateway; no Service selects it")
        async with scout_pod(self.session, deployment, self.tell):
            try:
                with anyio.fail_after(_START):
                    pod = await self._started(key)
                    config = await self._synced(pod, planes, live.terms)
            except TimeoutError:
                raise await self._late(key, planes, live.terms) from None
            return await self._judged(live, read, pod, config)

    async def _rendered(self) -> Manifest:
        """The gateway's own workload as helm would make it."""
        version = str((await self.session.kube.get("/version") or {}).get("gitVersion", "")).removeprefix("v")
        archive = await self.session.charts.fetch(self.chart)
        values = {**self.gateway.values.merged(), "revision": self.revision}
        made = read_objects(await self.session.helm.template(self.gateway.key, archive, values, Ground(version)))
        for one in made:
            if one["kind"] in _GATEWAYS:
                metadata = {"namespace": self.gateway.key.namespace, **one["metadata"]}
                if why := why_not(one):
                    raise _unproven(f"the gateway can have no scout: {why}")
                return {**one, "metadata": metadata}
        raise _unproven(
            f"chart {self.chart.name} {self.chart.version} makes neither a Deployment nor a DaemonSet with the gateway's values"
        )

    async def _planes(self) -> frozenset[str]:
        """The namespaces of the revision's istiods."""
        planes = await control_planes(of_kube(self.session.kube))
        found = frozenset(plane.istiod.place.namespace for plane in planes.found if plane.istiod.revision == self.revision)
        if not found:
            raise _unproven(f"the cluster has no istiod of revision {self.revision}")
        return found

    async def _live(self, manifest: Manifest, planes: frozenset[str]) -> _Live:
        key = key_of(manifest)
        live = await self.session.kube.get(path_of(key))
        if live is None:
            raise _unproven(f"{key} does not exist: there is no live gateway to compare with")
        found = [
            (item, pod) for item in await self._listed(key.namespace, readiness.pods_of(live)) if (pod := read_ready_pod(item)) is not None
        ]
        if not found:
            raise _unproven(f"{key} has no pod that is Ready: there is no live gateway to compare with")
        first, pod = found[0]
        around = await ask_around(self.session.kube, key.namespace, pod.labels, planes)
        role, why = choose_role(manifest, pod.labels, around.selectors)
        if not role:
            raise _unproven(f"no scout can have the gateway's configuration without its traffic: {why}")
        made = scout_deployment(manifest, role, Scouting("", self.revision, "", ""))["spec"]["template"]["metadata"]["labels"]
        ports = around.ports(first)
        return _Live(
            tuple(pod for _, pod in found),
            role,
            Terms(ports, unbindable(manifest, ports), around.excuses(pod.labels, {**pod.labels, **made})),
        )

    async def _listed(self, namespace: str, labels: str) -> list[Manifest]:
        return [item async for item in self.session.kube.list(object_path("v1", "pods", namespace), labels=labels)]

    async def _read(self, live: _Live) -> _Read:
        """What the live pods serve, as far as they answer; one must."""

        async def ask(pod: GatewayPod) -> GatewayConfig | str:
            try:
                return await self._ask(pod)
            except ClusterError as error:
                return short(error)

        answers = await gather({pod.place: pod for pod in live.pods}, lambda place: ask(_of(live.pods, place)))
        read = {place: one for place, one in answers.items() if isinstance(one, GatewayConfig)}
        unread = [f"pod {place} was not compared: {one}" for place, one in sorted(answers.items()) if isinstance(one, str)]
        if not read:
            raise _unproven(f"what the live gateway serves could not be read: {'; '.join(unread)}")
        config = GatewayConfig()
        for one in read.values():
            config |= one
        return _Read(config, (f"compared with {', '.join(f'pod {place}' for place in sorted(read))}", *unread))

    async def _ask(self, pod: GatewayPod) -> GatewayConfig:
        return await ask_gateway_config(pod, self.session.pods, self.session.certificates, self.beside)

    async def _started(self, key: ObjectKey) -> GatewayPod:
        """The scout's pod when it is Ready, and was injected by the revision."""

        def hear(words: str) -> None:
            self.waits = words
            self.tell(words)

        while True:
            await until_current(self.session, key, hear)
            items = await self._listed(key.namespace, f"{SCOUT}={self.gateway.key.name}")
            if pod := next((pod for item in items if (pod := read_ready_pod(item))), None):
                break
            await anyio.sleep(_LOOK)
        if pod.revision != self.revision:
            why = "a label of its namespace counts before one of a pod"
            raise _unproven(f"the scout was injected by revision {pod.revision} and not by {self.revision}: {why}")
        return pod

    async def _late(self, key: ObjectKey, planes: Iterable[str], terms: Terms) -> _DecidedError:
        """Why there was no configuration in time: an Envoy that refuses the first one that it is sent is never Ready."""
        for item in await self._listed(key.namespace, f"{SCOUT}={self.gateway.key.name}"):
            sync = await self._sync(Place(key.namespace, item["metadata"]["name"]), planes)
            if sync.state is SyncState.REJECTED:
                return _refuses(sync, terms)
        return _unproven(f"the scout did not have its configuration within {_START:.0f} s: {self.waits}")

    async def _synced(self, pod: GatewayPod, planes: Iterable[str], terms: Terms) -> GatewayConfig:
        """What the scout serves when istiod says that it has all that was sent."""
        refused: float | None = None
        while True:
            sync = await self._sync(pod.place, planes)
            if sync.state is SyncState.REJECTED:
                refused = anyio.current_time() if refused is None else refused
                if anyio.current_time() - refused >= _REFUSES:
                    raise _refuses(sync, terms)
            self.waits = f"istiod of revision {self.revision} does not report it as synced: {sync.words or sync.state}"
            if sync.state is SyncState.SYNCED:
                try:
                    return await self._ask(pod)
                except ClusterError as error:
                    self.waits = short(error)
            await anyio.sleep(_LOOK)

    async def _sync(self, pod: Place, planes: Iterable[str]) -> Sync:
        istiods: list[Place] = []
        for namespace in planes:
            items = await self._listed(namespace, f"{ISTIOD_SELECTOR},{REVISION}={self.revision}")
            istiods += [Place(namespace, item["metadata"]["name"]) for item in items if "deletionTimestamp" not in item["metadata"]]
        known, _ = await ask_istiods(istiods, self.session.istiod, self.session.now())
        word = known.get(pod)
        return word.sync if word else Sync("", SyncState.UNKNOWN)

    async def _judged(self, live: _Live, read: _Read, pod: GatewayPod, config: GatewayConfig) -> GateCheck:
        """The verdict; what is missing is looked at again for a while, as either side may just be given something."""
        until = anyio.current_time() + _SETTLE
        while compare(read.config, config, live.terms).missing and anyio.current_time() < until:
            await anyio.sleep(_LOOK)
            try:
                config = await self._ask(pod)
                read = await self._read(live)
            except (ClusterError, _DecidedError) as error:
                self.waits = str(error)
        notes = (*read.notes, f"the scout was injected by revision {pod.revision} with proxy {pod.version or 'of an unknown version'}")
        return judge(self.name, read.config, config, live.terms, notes)


def _of(pods: Iterable[GatewayPod], place: Place) -> GatewayPod:
    return next(pod for pod in pods if pod.place == place)
