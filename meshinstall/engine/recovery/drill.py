"""A drill: the mesh is made on a second cluster, compared, timed, and taken down again, with proof that nothing is left.

A drill that was killed is gone on with by the same command: what it made bears the mark of its snapshot.
"""

from collections.abc import Mapping
from dataclasses import replace

from meshinstall.checks.scout import check
from meshinstall.engine import pipeline
from meshinstall.engine.pipeline import Callbacks
from meshinstall.engine.recovery.restore import restore
from meshinstall.engine.recovery.terms import REMOVAL, Phase, Result, Terms
from meshinstall.engine.run.run_lock import run_lock
from meshinstall.engine.run.take_away import take_authority, take_labels, take_namespaces, take_objects
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather, in_time
from meshinstall.errors import MeshinstallError, UsageError
from meshinstall.model.desired import Desired
from meshinstall.model.gate import GateCheck, GateOutcome
from meshinstall.model.ownership import RESTORED
from meshinstall.model.paths import KINDS, object_path
from meshinstall.model.plan import Plan

# Kinds of which every object is counted before and after.
_COUNTED = {
    "Namespace": "v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    "ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "Deployment": "apps/v1",
    "DaemonSet": "apps/v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "ConfigMap": "v1",
}
# Of what was allowed by name, what counts when it is taken down: pods that got a proxy meanwhile are somebody's.
_ALLOWED = frozenset({"in-use"})
_OCCUPIED = "occupied"
_NAME = "taken away again"
# Objects of a list that are named.
_SHOWN = 20


async def drill(desired: Desired, session: Session, terms: Terms, callbacks: Callbacks) -> Result:
    """Restore, compare, and take it away again, also after a restore that failed; raises MeshinstallError with what stopped it."""
    if _OCCUPIED in terms.allow:
        raise UsageError(
            "--allow occupied: a drill takes down all that it finds, and needs a cluster that is empty of Istio", "leave it out"
        )
    before = None if await _is_begun(desired, session) else await _inventory(session)
    try:
        result = await restore(desired, session, terms, callbacks)
    except MeshinstallError:
        # What was refused before its first write made nothing.
        if await _is_begun(desired, session):
            await _take_away(desired, session, terms, callbacks)
        raise
    started = session.clock()
    kept = await _take_away(desired, session, terms, callbacks)
    removed = _judged(before, await _inventory(session), kept)
    return replace(result, removed=(removed,), phases=(*result.phases, Phase(REMOVAL, session.clock() - started)))


async def _is_begun(desired: Desired, session: Session) -> bool:
    """Whether the mesh here is that of a drill of this snapshot: nothing else is ever taken down."""
    live = await session.kube.get(object_path("v1", "namespaces", name=desired.mesh_namespace))
    labels = (live["metadata"].get("labels") or {}) if live else {}
    return desired.restored is not None and labels.get(RESTORED) == desired.restored.mark


async def _take_away(desired: Desired, session: Session, terms: Terms, callbacks: Callbacks) -> Mapping[str, str]:
    """Everything, the outermost first; namespaces that stay, each with the reason."""
    if desired.restored is None:
        return {}

    async def agreed(_: Plan) -> None:
        """Who wanted a drill wants its end."""

    async with in_time(terms.seconds, "what the drill made was not all removed"):
        async with run_lock(session, desired.mesh_namespace) as lock:
            await lock.take(f"drill {desired.environment}")
            await take_labels(session, desired.restored)
            await take_objects(session, desired.restored)
            if terms.authority:
                await take_authority(session, terms.authority)
        await pipeline.down(
            desired, session, pipeline.Terms(allow=_ALLOWED & terms.allow, seconds=terms.seconds), replace(callbacks, ask=agreed), crds=True
        )
        return await take_namespaces(session, desired.restored)


async def _inventory(session: Session) -> frozenset[str]:
    """Every object of the kinds that a mesh consists of, by kind, namespace and name."""

    async def listed(kind: str) -> list[str]:
        path = object_path(_COUNTED[kind], KINDS[kind][0])
        metadata = [item["metadata"] async for item in session.kube.list(path, metadata_only=True)]
        return ["/".join(filter(None, (kind, one.get("namespace", ""), one["name"]))) for one in metadata]

    found = await gather(_COUNTED, listed)
    return frozenset(name for names in found.values() for name in names)


def _judged(before: frozenset[str] | None, after: frozenset[str], kept: Mapping[str, str]) -> GateCheck:
    """Whether the cluster is as it was; somebody else may have made something meanwhile, and that is named, too."""
    lines = tuple(f"namespace {name} stays: {why}" for name, why in sorted(kept.items()))
    if kept:
        return check(_NAME, GateOutcome.FAIL, f"{len(kept)} namespaces of the drill hold something else by now", lines)
    if before is None:
        return check(
            _NAME, GateOutcome.NOT_PROVEN, "the mesh is gone; what was there before it is not known, as another run began the drill"
        )
    left, gone = sorted(after - before), sorted(before - after)
    lines = (*(f"left: {one}" for one in left[:_SHOWN]), *(f"gone: {one}" for one in gone[:_SHOWN]))
    if left or gone:
        return check(_NAME, GateOutcome.FAIL, f"{len(left)} objects are there that were not, {len(gone)} are gone", lines)
    return check(_NAME, GateOutcome.PASS, f"nothing is left: the same {len(before)} objects of {len(_COUNTED)} kinds as before")
