"""Steps of plans that remove something of a mesh, and leave its namespaces."""

from meshinstall.model.plan import Action, ObjectStep


def keep_namespace(name: str) -> ObjectStep:
    """A namespace that stays as it is: the lock and the summary of a run are in one."""
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    return ObjectStep(name=f"namespace/{name}", action=Action.KEEP, manifest=manifest)
