"""Waits until the objects of a release are ready, and reports why they are not."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import anyio

from meshinstall.checks.control_plane.webhook_fixes import webhook_fix
from meshinstall.engine.mesh import webhook_answers
from meshinstall.engine.objects import readiness, release_manifest
from meshinstall.engine.objects.readiness import Trouble
from meshinstall.engine.observe.api_kinds import served
from meshinstall.engine.run.kubelet_nudge import nudge
from meshinstall.engine.session import Session
from meshinstall.errors import ForbiddenError, StepError
from meshinstall.model.facts import ObjectKey
from meshinstall.model.paths import object_path, path_of
from meshinstall.model.plan import ReleaseStep
from meshinstall.model.release import Component, Manifest, ReleaseRecord, readable
from meshinstall.model.stack import merge
from meshinstall.ports import Kube

# Seconds between two looks: at first often, as most things are ready soon.
_LOOK, _SOON, _LATER = 0.1, 10.0, 0.5
# Seconds between two questions why something is not ready yet.
_EXPLAIN = 1.0
# Seconds after which a text that was told before is told again.
_STAYS = 5.0
# Seconds in which the webhooks of a ready istiod must answer.
_WEBHOOK_PATIENCE = 90.0
# Seconds of one look at them: the first, and the longest, which outlasts the API server's own deadline.
_FIRST_PATIENCE, _LAST_PATIENCE = 0.3, 12.0

# The label by which a Deployment tells the pods of one template from those of another.
_TEMPLATE = "pod-template-hash"
# As ``kubectl rollout restart`` writes it.
_RESTARTED = "kubectl.kubernetes.io/restartedAt"

Tell = Callable[[str], None]


async def until_ready(session: Session, step: ReleaseStep, record: ReleaseRecord, tell: Tell) -> str:
    """Wait until everything in the step's release is Current; return what is worth knowing (an address).

    Raises StepError as soon as waiting cannot help. The deadline is the caller's.
    """
    await _until(_Crds(session.kube, release_manifest.crd_names(record.manifest)).look, tell)
    manifests = release_manifest.objects(record)
    keys, empty = readiness.watched(manifests, record.key), readiness.empty(manifests, record.key)
    if step.revision:
        await _restart_what_hangs(session, [key for key in keys if key not in empty], tell)
    is_istiod = step.component is Component.ISTIOD
    try:
        await _until(_Objects(session, keys, empty, nudges=is_istiod, holds=step.holds).look, tell)
    except StepError as error:
        raise _with_origins(error, step) from None
    if is_istiod and not empty:
        await _until_webhooks_answer(session, step, tell)
    return await _addresses(session, keys)


async def until_current(session: Session, key: ObjectKey, tell: Tell) -> None:
    """Wait until an object that no release has is Current; raises StepError as ``until_ready`` does. The deadline is the caller's."""
    await _until(_Objects(session, (key,), frozenset(), nudges=True).look, tell)


def _with_origins(error: StepError, step: ReleaseStep) -> StepError:
    """The same, with the lines that decide an image which cannot be pulled."""
    if error.hint != readiness.NO_IMAGE:
        return error
    where = f"it is set by {', '.join(step.images)}" if step.images else "it is the chart's own: no value sets hub, tag or image"
    return StepError(error.message, f"{error.hint}; {where}")


async def _restart_what_hangs(session: Session, keys: Iterable[ObjectKey], tell: Tell) -> None:
    """Restart what was stuck before this step: its cause may be gone, and Kubernetes may try again only after minutes."""
    for key in keys:
        live = await session.kube.get(path_of(key))
        if live is None or key.kind == "Service" or not readiness.unready(live, key.kind):
            continue
        if hung := [trouble.text async for trouble in reasons(session, key, live) if trouble.hopeless]:
            tell(f"restarting {key}: it was already stuck: {hung[0]}")
            annotations = {_RESTARTED: session.now().isoformat(timespec="seconds")}
            await session.kube.patch(path_of(key), {"spec": {"template": {"metadata": {"annotations": annotations}}}})


async def _until_webhooks_answer(session: Session, step: ReleaseStep, tell: Tell) -> None:
    last = ""

    def hear(text: str) -> None:
        nonlocal last
        last = text
        tell(text)

    try:
        with anyio.fail_after(_WEBHOOK_PATIENCE):
            await _until(_Webhooks(session, step).look, hear)
    except TimeoutError:
        raise StepError(
            f"istiod is ready, but its webhooks do not answer: {last}", webhook_fix(last, step.release.namespace, None)
        ) from None


async def until_none(kube: Kube, path: str, labels: str, tell: Tell) -> None:
    """Wait until a collection has no object with these labels; ``tell`` hears how many there are."""
    teller = _Teller(tell)
    started = anyio.current_time()
    while found := [item["metadata"]["name"] async for item in kube.list(path, labels=labels, metadata_only=True)]:
        teller.say(f"waiting until {', '.join(found)} {'have' if len(found) > 1 else 'has'} stopped")
        await _pause(started)


async def until_gone(kube: Kube, path: str, tell: Tell, uid: str = "") -> None:
    """Wait until the object at ``path`` is gone, or is another one than that with ``uid``; ``tell`` hears what holds it."""
    teller = _Teller(tell)
    started = anyio.current_time()
    while (live := await kube.get(path)) and (not uid or live["metadata"].get("uid") == uid):
        conditions = (live.get("status") or {}).get("conditions") or ()
        holders = [
            condition["message"]
            for condition in conditions
            # What Kubernetes says of a namespace that is not empty; a CRD's conditions say nothing of why it stays.
            if condition["type"].startswith("Namespace") and condition.get("status") == "True" and condition.get("message")
        ]
        finalizers = live["metadata"].get("finalizers") or ()
        held = "; ".join(holders) or (f"held by {', '.join(finalizers)}" if finalizers else "")
        teller.say(f": {held}" if held else "")
        await _pause(started)


class _Teller:
    """Tells what is waited for when it changes; texts that take turns are told once each, and again when one of them stays."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told: list[str] = []
        self._current: str | None = None
        self._since = 0.0

    def say(self, text: str) -> None:
        """Hear what is waited for now."""
        now = anyio.current_time()
        if text != self._current:
            self._current, self._since = text, now
        is_shown = self._told[-1:] == [text]
        if not is_shown and (text not in self._told or now - self._since >= _STAYS):
            self._told.append(text)
            self._tell(text)


async def _until(look: Callable[[], Awaitable[Iterable[Trouble]]], tell: Tell) -> None:
    teller = _Teller(tell)
    started = anyio.current_time()
    since: dict[str, float] = {}
    while troubles := list(await look()):
        now = anyio.current_time()
        # What is not seen in one look is forgotten.
        since = {trouble.key: since.get(trouble.key, now) for trouble in troubles}
        for trouble in troubles:
            if trouble.hopeless and now - since[trouble.key] >= trouble.grace:
                raise StepError(trouble.text, trouble.hint)
        teller.say("; ".join(dict.fromkeys(trouble.text for trouble in troubles)))
        await _pause(started)


async def _pause(started: float) -> None:
    await anyio.sleep(_LOOK if anyio.current_time() - started < _SOON else _LATER)


async def find_record(session: Session, step: ReleaseStep) -> ReleaseRecord:
    """The newest record of a step's release; raises StepError when there is none."""
    records = readable(await session.releases.newest([step.release.namespace]), [step.release])
    if step.release not in records:
        raise StepError(
            "its Helm release no longer exists: it was uninstalled during the run", "run the same command again; it makes a new plan"
        )
    return records[step.release]


class _Crds:
    """Looks which CRDs the API server does not serve yet; what it once served is not asked for again."""

    def __init__(self, kube: Kube, names: Iterable[str]) -> None:
        self._kube = kube
        self._missing = set(names)

    async def look(self) -> list[Trouble]:
        """The first that is missing, and how many more."""
        self._missing -= (await served(self._kube, self._missing)).keys()
        if not self._missing:
            return []
        more = f" and {len(self._missing) - 1} more CRDs" if len(self._missing) > 1 else ""
        return [Trouble(f"waiting for CRDs: {min(self._missing)}{more}")]


class _Objects:
    """Looks whether objects are Current; what holds them up is asked less often: those lists take time from what starts on the cluster."""

    def __init__(
        self, session: Session, keys: tuple[ObjectKey, ...], empty: frozenset[ObjectKey], *, nudges: bool, holds: bool = False
    ) -> None:
        self._session = session
        self._keys = keys
        self._empty = empty
        self._nudges = nudges
        self._holds = holds
        self._reasons: dict[ObjectKey, list[Trouble]] = {}
        self._asked = -_EXPLAIN

    async def look(self) -> list[Trouble]:
        """What is not Current, and the newest known reasons."""
        asks = anyio.current_time() - self._asked >= _EXPLAIN
        self._asked = anyio.current_time() if asks else self._asked
        troubles: list[Trouble] = []
        for key in self._keys:
            live = await self._session.kube.get(path_of(key))
            if live is None:
                troubles.append(Trouble(f"{key} does not exist yet"))
            elif wait := await self._wait(key, live):
                if asks:
                    self._reasons[key] = [trouble async for trouble in reasons(self._session, key, live)]
                    if self._nudges and key.kind == "Deployment":
                        await nudge(self._session, key, live)
                troubles += self._reasons.get(key) or [Trouble(f"{key}: {wait}")]
        return troubles

    async def _wait(self, key: ObjectKey, live: Manifest) -> str:
        """What an object waits for; of a Deployment that is held, until one pod of its new template is Ready."""
        wait = readiness.unready(live, key.kind, may_be_empty=key in self._empty)
        if not (wait and self._holds and key.kind == "Deployment" and readiness.is_observed(live)):
            return wait
        replicas = await _newest(self._session, key, live, readiness.pods_of(live))
        return wait if replicas is None else readiness.without_ready_pod(replicas)


async def reasons(session: Session, key: ObjectKey, live: Manifest) -> AsyncIterator[Trouble]:
    """Why an object is not Current, from its pods or its events."""
    if key.kind == "Service":
        for event in (await _events(session, key, ",type=Warning"))[-1:]:
            yield Trouble(f"{key} has no load balancer address yet: {event.get('message', '')}")
        return
    if not readiness.is_observed(live):
        return
    if key.kind == "DaemonSet" and not (live.get("status") or {}).get("desiredNumberScheduled"):
        yield readiness.without_node(key, live)
        return
    selector = readiness.pods_of(live)
    if key.kind == "Deployment":
        # Pods of older templates go by themselves, and their troubles with them.
        replicas = await _newest(session, key, live, selector)
        if replicas is None:
            return
        if failure := readiness.replica_failure(replicas):
            yield failure
        selector = f"{selector},{_TEMPLATE}={replicas['metadata']['labels'][_TEMPLATE]}"
    elif failure := readiness.creation_failure(key, await _events(session, key)):
        # Only a ReplicaSet has a condition for it.
        yield failure
    async for trouble in _pod_troubles(session, key.namespace, selector):
        yield trouble


async def _pod_troubles(session: Session, namespace: str, selector: str) -> AsyncIterator[Trouble]:
    async for pod in session.kube.list(object_path("v1", "pods", namespace), labels=selector):
        if "deletionTimestamp" not in pod["metadata"]:
            about = ObjectKey("v1", "Pod", namespace, pod["metadata"]["name"])
            events = await _events(session, about) if readiness.unschedulable(pod) else ()
            for trouble in readiness.pod_troubles(pod, events):
                yield trouble


async def _newest(session: Session, key: ObjectKey, live: Manifest, selector: str) -> Manifest | None:
    path = object_path("apps/v1", "replicasets", key.namespace)
    return readiness.newest([replicas async for replicas in session.kube.list(path, labels=selector)], live)


async def _events(session: Session, key: ObjectKey, more: str = "") -> list[Manifest]:
    """Events about an object, the newest last; none for who may not list them."""
    selector = f"involvedObject.kind={key.kind},involvedObject.name={key.name}{more}"
    try:
        return [event async for event in session.kube.list(object_path("v1", "events", key.namespace), fields=selector)]
    except ForbiddenError:
        return []


class _Webhooks:
    """Looks whether the webhooks of a release's istiod answer, each time with twice the patience.

    A node that does not know the way to a new istiod yet may drop the API server's first packet. It is sent again
    after a second; that of the next look goes at once.
    """

    def __init__(self, session: Session, step: ReleaseStep) -> None:
        # What stands under `pilot` wins (istiod chart: zzy_descope_legacy.yaml).
        values = merge(step.values, step.values.get("pilot") or {})
        self._kube = session.kube
        self._namespace = step.release.namespace
        self._revision = values.get("revision") or "default"
        self._validates = bool((values.get("global") or {}).get("configValidation", True))
        self._patience = _FIRST_PATIENCE

    async def look(self) -> list[Trouble]:
        """What does not work yet."""
        with anyio.move_on_after(self._patience):
            trouble = await webhook_answers.webhook_trouble(self._kube, self._namespace, self._revision, validates=self._validates)
            return [trouble] if trouble else []
        text = f"istiod's webhooks did not answer within {self._patience:.1f} s"
        self._patience = min(2 * self._patience, _LAST_PATIENCE)
        return [Trouble(text)]


async def _addresses(session: Session, keys: tuple[ObjectKey, ...]) -> str:
    found = []
    for key in keys:
        live = await session.kube.get(path_of(key)) if key.kind == "Service" else None
        ingress = (((live or {}).get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        found += [point.get("ip") or point.get("hostname") or "" for point in ingress]
    return ", ".join(found)
