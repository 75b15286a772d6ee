"""Lists what remains after a removal."""

from collections.abc import Collection

from meshinstall.engine.observe.cluster import made_for
from meshinstall.engine.observe.istio_objects import istio_objects
from meshinstall.engine.observe.root_certificates import other_istiods
from meshinstall.engine.session import Session
from meshinstall.errors import StepError
from meshinstall.model.desired import Desired
from meshinstall.model.ownership import made_by_us, owner_of
from meshinstall.model.paths import KINDS, object_path
from meshinstall.model.plan import ObjectStep, Plan, ReleaseStep
from meshinstall.model.release import ReleaseKey, ReleaseStatus


async def refuse_survivors(session: Session, desired: Desired, plan: Plan) -> None:
    """Raise StepError with what a removal left behind."""
    crds = any(isinstance(step, ObjectStep) and step.manifest["kind"] == "CustomResourceDefinition" for step in plan.steps)
    kept = {step.release for step in plan.steps if isinstance(step, ReleaseStep) and not step.is_pending}
    if left := await _survivors(session, desired, kept, crds=crds):
        raise StepError(
            f"still there: {', '.join(left)}",
            "helm uninstall removes a release; look at who owns the rest, kubectl delete removes what nobody does",
        )


async def _survivors(session: Session, desired: Desired, kept: Collection[ReleaseKey], *, crds: bool) -> list[str]:
    """What is still there of what runs for this environment made: releases and objects of Istio; CRDs only when they were to go.

    ``kept`` are releases that the plan left to others.
    """
    kube = session.kube
    spaces = dict.fromkeys([*(namespace.name for namespace in desired.namespaces), *await made_for(kube, desired)])
    records = await session.releases.newest(spaces)
    desired_keys = {release.key for release in desired.releases}.difference(kept)
    ours = desired_keys.union(key for key, record in records.items() if made_by_us(record)).difference(kept)
    # What no Helm release has may be another control plane's.
    theirs = await other_istiods(kube, desired_keys)
    found = [f"release {key}" for key, record in records.items() if key in ours and record.status is not ReleaseStatus.UNINSTALLED]
    async for key, metadata in istio_objects(kube, spaces):
        owner = owner_of(metadata)
        if owner in ours or (owner is None and not theirs):
            found.append("/".join(filter(None, (KINDS[key.kind][0], key.namespace, key.name))))
    if crds:
        path = object_path("apiextensions.k8s.io/v1", "customresourcedefinitions")
        names = [item["metadata"]["name"] async for item in kube.list(path, metadata_only=True)]
        found += [f"customresourcedefinitions/{name}" for name in names if name.endswith(".istio.io")]
    return found
