"""Plans that take something of a mesh away, and their steps: its namespaces stay."""

from collections.abc import Iterable

from meshinstall.engine.plan.tag_steps import step_name
from meshinstall.model.desired import Desired
from meshinstall.model.facts import ObjectKey
from meshinstall.model.plan import Action, ObjectStep, Plan, Step
from meshinstall.model.release import Manifest


def plan_of(desired: Desired, steps: Iterable[Step]) -> Plan:
    """A plan of these steps for the environment of ``desired``."""
    return Plan(
        environment=desired.environment,
        cluster=desired.cluster.name,
        profile=desired.profile,
        istio_version=desired.istio_version,
        mesh_namespace=desired.mesh_namespace,
        steps=tuple(steps),
    )


def keep_namespace(name: str) -> ObjectStep:
    """A namespace that stays as it is: the lock and the summary of a run are in one."""
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    return ObjectStep(name=f"namespace/{name}", action=Action.KEEP, manifest=manifest)


def delete(key: ObjectKey, uid: str, *, reasons: tuple[str, ...] = (), needs: tuple[str, ...] = ()) -> ObjectStep:
    """Delete an object, if it still is the one with this ``uid``."""
    metadata = {"name": key.name, **({"namespace": key.namespace} if key.namespace else {}), **({"uid": uid} if uid else {})}
    manifest = {"apiVersion": key.api_version, "kind": key.kind, "metadata": metadata}
    return ObjectStep(name=step_name(key), action=Action.DELETE, reasons=reasons, needs=needs, manifest=manifest)


def apply(key: ObjectKey, manifest: Manifest, *, reasons: tuple[str, ...] = ()) -> ObjectStep:
    """Apply an object."""
    return ObjectStep(name=step_name(key), action=Action.APPLY, reasons=reasons, manifest=manifest)
