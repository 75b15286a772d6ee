"""Gives a tag's webhooks the CA of the injector of their revision when they are applied.

istiod writes it into every webhook of its revision a moment later; until then the API server would refuse the pods of the tag.
"""

from collections.abc import Iterable, Mapping

from meshinstall.engine.objects.json_fields import at, rows, text
from meshinstall.engine.observe.tags import WEBHOOKS
from meshinstall.model.labels import REVISION, TAG
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

_ADMISSION = "admissionregistration.k8s.io/v1"


async def with_authority(kube: Kube, manifest: Manifest) -> Manifest:
    """The webhooks of a tag with the CA of their revision, where its injector has one; any other object as it is. Raises ClusterError."""
    labels: Mapping[str, str] = manifest["metadata"].get("labels") or {}
    if manifest["kind"] != WEBHOOKS or TAG not in labels:
        return manifest
    path = object_path(_ADMISSION, "mutatingwebhookconfigurations")
    of_revision = [item async for item in kube.list(path, labels=f"{REVISION}={labels.get(REVISION, '')}")]
    found = [item for item in of_revision if TAG not in item["metadata"]["labels"]]
    bundle = next((bundle for item in found for bundle in _bundles(item)), "")
    return {**manifest, "webhooks": [_with(one, bundle) for one in manifest["webhooks"]]} if bundle else manifest


def _bundles(item: Manifest) -> Iterable[str]:
    found = (text(at(one, "clientConfig", "caBundle")) for one in rows(at(item, "webhooks")))
    return (bundle for bundle in found if bundle)


def _with(webhook: Manifest, bundle: str) -> Manifest:
    client = webhook.get("clientConfig") or {}
    return webhook if client.get("caBundle") else {**webhook, "clientConfig": {**client, "caBundle": bundle}}
