"""A drill: the mesh is made on a second cluster, compared, timed, and taken down again, with proof that nothing is left.

A drill that was killed is gone on with by the same command: what it made bears the mark of its snapshot.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace

from meshinstall.checks.words import first
from meshinstall.engine import pipeline
from meshinstall.engine.observe.restoration import find_foreign
from meshinstall.engine.pipeline import Callbacks
from meshinstall.engine.recovery.inventory import judged, take_inventory
from meshinstall.engine.recovery.restore import restore
from meshinstall.engine.recovery.terms import REMOVAL, Phase, Result, Terms
from meshinstall.engine.run.run_lock import run_lock
from meshinstall.engine.run.take_away import (
    find_marked,
    take_authority,
    take_classes,
    take_labels,
    take_namespaces,
    take_objects,
    take_own_ca,
    take_records,
)
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import in_time
from meshinstall.errors import InterruptedRunError, LockedError, MeshinstallError, StepError, UsageError
from meshinstall.model.desired import Desired
from meshinstall.model.facts import key_of, policy_key
from meshinstall.model.istio import OWN_CA_SECRET
from meshinstall.model.ownership import RESTORED
from meshinstall.model.plan import Plan
from meshinstall.model.release import Manifest
from meshinstall.model.restoring import Restoration

# Of what was allowed by name, what counts when it is taken down: pods that got a proxy meanwhile are somebody's.
_ALLOWED = frozenset({"in-use"})
_OCCUPIED = "occupied"
# Objects that are named.
_SHOWN = 5


async def drill(desired: Desired, session: Session, terms: Terms, callbacks: Callbacks) -> Result:
    """Restore, compare, and take it away again, also after a restore that failed; raises MeshinstallError with what stopped it."""
    if _OCCUPIED in terms.allow:
        raise UsageError(
            "--allow occupied: a drill takes down all that it finds, and needs a cluster that is empty of Istio", "leave it out"
        )
    wanted = desired.restored
    if wanted is None:
        raise UsageError("a drill needs a snapshot", "name its folder")
    terms = replace(terms, authority=terms.authority and _marked(terms.authority, wanted))
    before = None if await find_marked(session, wanted) else await take_inventory(session)
    try:
        result = await restore(desired, session, terms, callbacks)
    except (InterruptedRunError, LockedError, UsageError):
        # Whoever says no wants nothing done, and another run goes on by itself.
        raise
    except MeshinstallError as error:
        async with _telling_both(error):
            await _take_away(desired, wanted, session, terms, callbacks)
        raise
    started = session.clock()
    kept = await _take_away(desired, wanted, session, terms, callbacks)
    if before:
        await _take_rest(desired, session, (await take_inventory(session)).objects - before.objects)
    removed = judged(before, await take_inventory(session), kept)
    return replace(result, removed=(removed,), phases=(*result.phases, Phase(REMOVAL, session.clock() - started)))


async def _take_rest(desired: Desired, session: Session, left: Collection[str]) -> None:
    """What is in no release and no snapshot, and was not there before: what runs and istiods write for themselves."""
    if f"Secret/{desired.mesh_namespace}/{OWN_CA_SECRET}" in left:
        await take_own_ca(session, desired.mesh_namespace)
    await take_records(session, desired.mesh_namespace, _names(left, f"ConfigMap/{desired.mesh_namespace}/"))
    await take_classes(session, _names(left, "GatewayClass/"))


def _names(left: Collection[str], start: str) -> list[str]:
    return [one.removeprefix(start) for one in left if one.startswith(start)]


def _marked(secret: Manifest, wanted: Restoration) -> Manifest:
    """Known again by its mark: somebody else may have put the same CA there."""
    return {**secret, "metadata": {**secret["metadata"], "labels": {RESTORED: wanted.mark}}}


@asynccontextmanager
async def _telling_both(error: MeshinstallError) -> AsyncIterator[None]:
    """A block that takes away what failed: where that fails as well, the first error is why."""
    try:
        yield
    except MeshinstallError as second:
        told = f"the drill failed: {error.message}\nand it is not taken away: {second.message}"
        raise StepError(told, second.hint or "run the same command again") from error


async def _take_away(desired: Desired, wanted: Restoration, session: Session, terms: Terms, callbacks: Callbacks) -> dict[str, str]:
    """Everything, the outermost first; namespaces that stay, each with the reason. What was refused before its first write made nothing."""
    mesh = frozenset(one.name for one in desired.namespaces)

    async def agreed(_: Plan) -> None:
        """Who wanted a drill wants its end."""

    async with in_time(terms.seconds, "what the drill made was not all removed"):
        made = {one["name"] for one in await find_marked(session, wanted)}
        # Only a mesh in a namespace with the mark is that of a drill of this snapshot: no other is ever taken down.
        if desired.mesh_namespace not in made:
            return await take_namespaces(session, wanted, ()) if made else {}
        await _insist_on_own(desired, wanted, session)
        async with run_lock(session, desired.mesh_namespace) as lock:
            await lock.take(f"drill {desired.environment}")
            await take_labels(session, wanted, mesh)
            await take_objects(session, wanted)
            if terms.authority:
                await take_authority(session, terms.authority)
        await pipeline.down(
            desired, session, pipeline.Terms(allow=_ALLOWED & terms.allow, seconds=terms.seconds), replace(callbacks, ask=agreed), crds=True
        )
        return await take_namespaces(session, wanted, mesh)


async def _insist_on_own(desired: Desired, wanted: Restoration, session: Session) -> None:
    """Raise StepError where somebody made objects of Istio meanwhile: they would go with the CRDs."""
    restored = {policy_key(key_of(one.manifest)) for one in wanted.objects}
    known = restored | {policy_key(key_of(one.manifest)) for one in (*desired.policies, *(desired.layered or ()))}
    others = sorted(str(key) for key in await find_foreign(session.kube) if key not in known)
    if others:
        raise StepError(
            f"the drill is not taken away: somebody made {first(others, _SHOWN)} meanwhile, which would go with the CRDs",
            "delete what nobody needs, then run the same command again",
        )
