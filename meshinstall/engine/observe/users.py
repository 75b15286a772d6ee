"""Finds who is in a mesh, and who is beside it: pods with a proxy of this control plane, and pods without any."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from meshinstall.engine.objects.capacity import release_of
from meshinstall.errors import ForbiddenError
from meshinstall.model import json_text
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Users
from meshinstall.model.labels import REDIRECTION, STATUS
from meshinstall.model.paths import object_path
from meshinstall.model.release import Component, ReleaseRecord
from meshinstall.ports import Kube

_DEFAULT = "default"
_SYSTEM = "kube-system"


async def users(kube: Kube, desired: Desired, istiods: Iterable[ReleaseRecord] = ()) -> Users | None:
    """Pods of others, by namespace: those that this mesh's istiods or ztunnel serve, and those without a proxy; None when not permitted.

    ``istiods`` are records of releases: a desired one of them serves the revision of its record too, which in an upgrade is another one.
    """
    ours = {str(release.key) for release in desired.releases}
    values = [release.values.merged() for release in desired.releases if release.component is Component.ISTIOD]
    revisions = {_revision(one) for one in (*values, *(record.values for record in istiods if str(record.key) in ours))}
    proxied: Counter[str] = Counter()
    plain: Counter[str] = Counter()
    elsewhere: Counter[str] = Counter()
    try:
        async for pod in kube.list(object_path("v1", "pods"), fields="status.phase!=Succeeded,status.phase!=Failed", metadata_only=True):
            namespace, notes = pod["metadata"]["namespace"], pod["metadata"].get("annotations") or {}
            if release_of(pod) in ours:
                continue
            if _injected_by(notes) in revisions or notes.get(REDIRECTION) == "enabled":
                proxied[namespace] += 1
            elif _injected_by(notes):
                elsewhere[namespace] += 1
            elif namespace != _SYSTEM:
                plain[namespace] += 1
    except ForbiddenError:
        return None
    return Users(dict(proxied), dict(plain), dict(elsewhere))


def _revision(values: Mapping[str, Any]) -> str:
    return str(values.get("revision") or _DEFAULT)


def _injected_by(notes: Mapping[str, Any]) -> str:
    """The revision in the injector's note; empty without one, or where somebody wrote something else there."""
    try:
        status = json_text.load(str(notes.get(STATUS) or "null"))
    except ValueError:
        return ""
    return str(status.get("revision") or _DEFAULT) if isinstance(status, dict) else ""
