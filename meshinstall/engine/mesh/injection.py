"""Reads what the injector wrote on a pod; pure."""

from meshinstall.engine.mesh.kube_objects import labels
from meshinstall.engine.objects.json_fields import at, texts
from meshinstall.model import json_text
from meshinstall.model.labels import REVISION, STATUS
from meshinstall.model.release import Manifest
from meshinstall.model.revision import DEFAULT_REVISION


def injected_by(item: Manifest) -> str:
    """The revision in the injector's note, else in the label; ``default`` without either."""
    try:
        status = json_text.load(texts(at(item, "metadata", "annotations")).get(STATUS) or "null")
    except ValueError:
        status = None
    noted = status.get("revision") if isinstance(status, dict) else None
    return noted if isinstance(noted, str) and noted else labels(item).get(REVISION) or DEFAULT_REVISION
