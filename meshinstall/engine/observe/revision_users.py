"""Reads who uses which revision, where istiods of other revisions than the desired one are there; nothing is asked elsewhere.

Requests: the webhook configurations, the webhook that checks Istio's objects, and the namespaces of the cluster.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from meshinstall.checks.position import revision_label, where
from meshinstall.engine.mesh.webhooks import webhooks
from meshinstall.engine.observe.looks import get_or_none
from meshinstall.engine.tasks import soon, task_group
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts
from meshinstall.model.foreign_text import plain
from meshinstall.model.health import Webhook, WebhookKind
from meshinstall.model.istio import DEFAULT_VALIDATOR
from meshinstall.model.labels import INJECTION, REVISION
from meshinstall.model.paths import object_path
from meshinstall.model.position import RevisionUsers
from meshinstall.model.release import Manifest
from meshinstall.model.revision import DEFAULT_REVISION
from meshinstall.ports import Kube

_ADMISSION = "admissionregistration.k8s.io/v1"


async def with_revision_users(desired: Desired, facts: Facts, kube: Kube) -> Facts:
    """The facts with the users of each revision; raises ClusterError."""
    if not where(desired, facts).others:
        return facts
    async with task_group() as group:
        items = soon(group, _listed, kube, object_path(_ADMISSION, "mutatingwebhookconfigurations"))
        validator = soon(group, get_or_none, kube, object_path(_ADMISSION, "validatingwebhookconfigurations", name=DEFAULT_VALIDATOR))
        spaces = soon(group, _listed, kube, object_path("v1", "namespaces"))
    injectors = [webhook for item in items.value for webhook in _webhooks(item)]
    checked = revision_label(validator.value) if validator.value else ""
    return replace(facts, revision_users=users_of(injectors, checked, spaces.value))


def users_of(injectors: Iterable[Webhook], validator: str, namespaces: Iterable[Manifest]) -> RevisionUsers:
    """Who uses which revision; pure.

    Of two webhooks that take a pod, the one later by the name of its configuration has the last word: the API server calls them so.
    """
    ordered = sorted(injectors, key=lambda webhook: webhook.configuration)
    default = next((webhook.revision or DEFAULT_REVISION for webhook in reversed(ordered) if webhook.default), "")
    asked = {revision: webhook.revision or DEFAULT_REVISION for webhook in ordered for revision in webhook.revisions}
    found: dict[str, list[str]] = {}
    for item in namespaces:
        if revision := _revision(item["metadata"].get("labels") or {}, default, asked):
            found.setdefault(revision, []).append(item["metadata"]["name"])
    return RevisionUsers(default, validator, {revision: tuple(sorted(names)) for revision, names in found.items()})


def _revision(labels: Mapping[str, str], default: str, asked: Mapping[str, str]) -> str:
    """The revision that a namespace's new pods get; the label istio-injection counts before istio.io/rev (istio: its webhooks)."""
    if INJECTION in labels:
        return default if labels[INJECTION] == "enabled" else ""
    named = labels.get(REVISION, "")
    return asked.get(named, f"{plain(named)} (without an istiod)") if named else ""


def _webhooks(item: Manifest) -> tuple[Webhook, ...]:
    found = webhooks(item, WebhookKind.MUTATING, lambda _: ())
    return tuple(replace(webhook, revision=plain(webhook.revision)) for webhook in found)


async def _listed(kube: Kube, path: str) -> list[Manifest]:
    return [item async for item in kube.list(path)]
