"""What a workload tells of restarts that an upgrade made of it, and of its readiness; pure. Another shape raises ValueError."""

from meshinstall.engine.objects.field_managers import editors, owned_fields
from meshinstall.engine.objects.json_fields import at, rows, texts
from meshinstall.engine.objects.readiness import unready
from meshinstall.model.istio import PROXY_CONTAINER
from meshinstall.model.mesh_position import Mark
from meshinstall.model.ownership import RESTARTED_FOR
from meshinstall.model.release import Manifest


def read_mark(item: Manifest, kind: str) -> Mark:
    """The marks of a Deployment, StatefulSet or DaemonSet."""
    tried = texts(at(item, "metadata", "annotations")).get(RESTARTED_FOR, "")
    now = texts(at(item, "spec", "template", "metadata", "annotations")).get(RESTARTED_FOR, "")
    if not tried and not now:
        return Mark()
    return Mark(now, tried, bool(unready(item, kind, may_be_empty=True)), changed_by(item) if tried != now else "")


def changed_by(item: Manifest) -> str:
    """The manager, but us and Kubernetes, that was the last to write the pod template; empty where none is recorded."""
    found = editors(owned_fields(item), [("spec", "template")])
    return max(found, key=lambda one: one.time).name if found else ""


def lacks_probe(template: Manifest) -> bool:
    """Whether pods of a template are Ready as soon as their proxy is."""
    containers = [one for one in rows(at(template, "spec", "containers")) if at(one, "name") != PROXY_CONTAINER]
    return bool(containers) and not any(at(one, "readinessProbe") for one in containers)
