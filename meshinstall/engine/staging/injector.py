"""Switches the injector of the istiod without a revision off while the tag ``default`` leads elsewhere, and on again.

Both match namespaces that say istio-injection=enabled, and of two the last by name wins, which is the injector. The tag comes first and
the injector is switched off after it, and the other way round on the way back, so that at no time a pod is injected by none.
"""

from collections.abc import Mapping
from typing import Any

from meshinstall.engine.objects.field_managers import by, editors, owned_fields
from meshinstall.engine.objects.field_paths import Item
from meshinstall.engine.objects.json_fields import at, rows, text
from meshinstall.engine.objects.release_manifest import objects
from meshinstall.engine.observe.tags import find_tags
from meshinstall.engine.observe.upgrade_objects import SWITCHED_OFF, is_switched_off
from meshinstall.engine.run.undoing import disown
from meshinstall.errors import ConflictError, StepError
from meshinstall.model.facts import ObjectKey
from meshinstall.model.labels import TAG
from meshinstall.model.ownership import is_ours
from meshinstall.model.paths import object_path, path_of
from meshinstall.model.release import Manifest, ReleaseRecord
from meshinstall.model.revision import DEFAULT_REVISION
from meshinstall.ports import Kube

_ADMISSION = "admissionregistration.k8s.io/v1"
_KIND = "MutatingWebhookConfiguration"
_PATH = object_path(_ADMISSION, "mutatingwebhookconfigurations")
_SELECTORS = ("namespaceSelector", "objectSelector")
# As ``istioctl tag set default`` does (istio: istioctl/pkg/tag).
_NOTHING = {"matchLabels": {SWITCHED_OFF: "never-match"}}
# Writes of istiod, which keeps the CA in the same object.
_TRIES = 5


async def switch_off(kube: Kube, namespace: str) -> None:
    """Let the injector of the mesh's istiod without a revision match nothing; nothing to do without one. Raises ClusterError."""
    for item in await _injectors(kube, namespace, is_off=False):
        await _select(kube, item["metadata"]["name"], {})


async def switched_on_again(kube: Kube, namespace: str) -> str:
    """Which injector selects pods although it was switched off, and who made it so; empty where none does. Raises ClusterError."""
    return "; ".join(map(_told, await _injectors(kube, namespace, is_off=False)))


def _told(item: Manifest) -> str:
    paths = [("webhooks", Item("name", text(at(hook, "name"))), part) for hook in rows(at(item, "webhooks")) for part in _SELECTORS]
    return f"{_KIND} {item['metadata']['name']} was switched on again{by(editors(owned_fields(item), paths))}"


async def switch_on(kube: Kube, namespace: str, record: ReleaseRecord | None) -> None:
    """Give that injector the selectors that Helm's ``record`` of its istiod has; raises ClusterError, StepError without such a record."""
    for item in await _injectors(kube, namespace, is_off=True):
        name = item["metadata"]["name"]
        manifests = objects(record) if record else ()
        hooks = next((rows(at(one, "webhooks")) for one in manifests if one.get("kind") == _KIND and one["metadata"]["name"] == name), ())
        selectors = {text(at(hook, "name")): {part: at(hook, part) for part in _SELECTORS} for hook in hooks}
        if not selectors:
            hint = "apply the selectors of its chart by hand; until then namespaces with istio-injection=enabled get no proxies of it"
            raise StepError(f"{_KIND} {name} is switched off, and no release says what it should select", hint)
        await _select(kube, name, selectors)


async def remove_default_tag(kube: Kube, namespace: str) -> None:
    """Delete the tag ``default`` of the mesh, if it is ours: the istiod without a revision serves its namespaces by itself again."""
    for key, live in (await find_tags(kube, namespace)).items():
        is_here = namespace in {key.namespace, *_namespaces(live)}
        if is_here and live["metadata"]["labels"][TAG] == DEFAULT_REVISION and is_ours(live):
            await kube.delete(path_of(key), uid=live["metadata"].get("uid", ""))


async def _injectors(kube: Kube, namespace: str, *, is_off: bool) -> list[Manifest]:
    found = [item async for item in kube.list(_PATH) if is_switched_off(item) is is_off]
    return [item for item in found if namespace in _namespaces(item)]


def _namespaces(item: Manifest) -> set[str]:
    return {text(at(hook, "clientConfig", "service", "namespace")) for hook in rows(at(item, "webhooks"))}


async def _select(kube: Kube, name: str, selectors: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the selectors of each webhook; those that match nothing where ``selectors`` has none for it."""
    path = f"{_PATH}/{name}"
    for again in reversed(range(_TRIES)):
        live = await kube.get(path)
        if live is None:
            return
        hooks = [{**hook, **selectors.get(hook["name"], dict.fromkeys(_SELECTORS, _NOTHING))} for hook in live["webhooks"]]
        try:
            await kube.patch(path, {"webhooks": hooks, "metadata": {"resourceVersion": live["metadata"].get("resourceVersion")}})
        except ConflictError:
            if not again:
                raise
        else:
            break
    await disown(kube, ObjectKey(_ADMISSION, _KIND, "", name))
