"""The plan for nothing desired, and what survived it."""

from collections.abc import Mapping
from dataclasses import replace

from meshinstall.engine.observe import made_by_us, made_for
from meshinstall.engine.planner import is_ours
from meshinstall.engine.session import Session
from meshinstall.engine.strangers import CERTIFICATES, owner_of
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts, key_of
from meshinstall.model.paths import object_path
from meshinstall.model.plan import Action, ObjectStep, Plan, ReleaseStep
from meshinstall.model.release import Manifest, ReleaseStatus
from meshinstall.ports import Kube

_CLUSTER_WIDE = (
    ("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io/v1", "validatingwebhookconfigurations"),
    ("rbac.authorization.k8s.io/v1", "clusterroles"),
    ("rbac.authorization.k8s.io/v1", "clusterrolebindings"),
)
_NAMESPACED = (("apps/v1", "deployments"), ("apps/v1", "daemonsets"), ("v1", "services"))
_ISTIO = "app.kubernetes.io/part-of=istio"


def removable(facts: Facts) -> dict[str, Manifest]:
    """The namespaces that ``up`` made, and those of what was taken out of the configuration since."""
    return {name: live for name, live in {**facts.namespaces, **facts.left}.items() if live and is_ours(live)}


def plan_removal(desired: Desired, facts: Facts, kept: Mapping[str, str], *, crds: bool) -> Plan:
    """Policies first, then releases against their install order, then our namespaces, then CRDs when asked for.

    ``kept`` maps a namespace that stays to the reason.
    """
    policies = tuple(
        ObjectStep(name=f"{key.kind}/{key.namespace}/{key.name}", action=Action.DELETE, manifest=policy.manifest)
        for policy in desired.policies
        if (live := facts.policies.get(key := key_of(policy.manifest))) and is_ours(live)
    )
    releases = _release_steps(desired, facts, tuple(step.name for step in policies))
    before = tuple(step.name for step in (*policies, *releases))
    namespaces = tuple(_namespace_step(name, before, kept.get(name, "")) for name in removable(facts))
    definitions = tuple(
        ObjectStep(
            name=f"crd/{name}",
            action=Action.DELETE,
            needs=before,
            manifest=_stub("apiextensions.k8s.io/v1", "CustomResourceDefinition", name),
        )
        for name in sorted(facts.crds)
        if crds
    )
    return Plan(
        environment=desired.environment,
        cluster=desired.cluster.name,
        profile=desired.profile,
        istio_version=desired.istio_version,
        mesh_namespace=desired.mesh_namespace,
        steps=(*policies, *releases, *definitions, *namespaces),
    )


def _namespace_step(name: str, needs: tuple[str, ...], kept: str) -> ObjectStep:
    step = ObjectStep(name=f"namespace/{name}", action=Action.DELETE, needs=needs, manifest=_stub("v1", "Namespace", name))
    return replace(step, action=Action.KEEP, reasons=(kept,)) if kept else step


def _release_steps(desired: Desired, facts: Facts, policies: tuple[str, ...]) -> tuple[ReleaseStep, ...]:
    present = [release for release in desired.releases if release.key in facts.releases]
    needed_by = {release.key: [str(other.key) for other in present if release.key in other.needs] for release in present}
    return tuple(
        ReleaseStep(
            name=str(release.key),
            action=Action.UNINSTALL,
            needs=(*policies, *needed_by[release.key]),
            release=release.key,
            component=release.component,
            chart=release.chart,
            revision=facts.releases[release.key].revision,
            repair=facts.releases[release.key].status.is_pending,
        )
        for release in reversed(present)
        if facts.releases[release.key].status is not ReleaseStatus.UNINSTALLED
    )


async def survivors(session: Session, desired: Desired, *, crds: bool) -> list[str]:
    """What is still there of what runs for this environment made: releases and objects of Istio; CRDs only when they were to go."""
    kube = session.kube
    spaces = dict.fromkeys([*(namespace.name for namespace in desired.namespaces), *await made_for(kube, desired)])
    records = await session.releases.newest(spaces)
    ours = {*(release.key for release in desired.releases), *(key for key, record in records.items() if made_by_us(record))}
    # What no Helm release has may be another control plane's.
    theirs = await _others_live(kube, desired)
    found = [f"release {key}" for key, record in records.items() if key in ours and record.status is not ReleaseStatus.UNINSTALLED]
    places = [(*kind, "") for kind in _CLUSTER_WIDE] + [(*kind, namespace) for namespace in spaces for kind in _NAMESPACED]
    for version, plural, namespace in places:
        async for item in kube.list(object_path(version, plural, namespace), labels=_ISTIO, metadata_only=True):
            owner = owner_of(item["metadata"])
            if owner in ours or (owner is None and not theirs):
                found.append("/".join(filter(None, (plural, namespace, item["metadata"]["name"]))))
    if crds:
        path = object_path("apiextensions.k8s.io/v1", "customresourcedefinitions")
        names = [item["metadata"]["name"] async for item in kube.list(path, metadata_only=True)]
        found += [f"customresourcedefinitions/{name}" for name in names if name.endswith(".istio.io")]
    return found


async def delete_root_certificates(kube: Kube, desired: Desired) -> None:
    """Delete the ConfigMaps that istiod puts into every namespace, unless another control plane lives: its proxies read them."""
    if await _others_live(kube, desired):
        return
    path = object_path("v1", "configmaps")
    found = [
        item["metadata"] for name in CERTIFICATES async for item in kube.list(path, fields=f"metadata.name={name}", metadata_only=True)
    ]
    for metadata in found:
        await kube.delete(object_path("v1", "configmaps", metadata["namespace"], metadata["name"]))


async def _others_live(kube: Kube, desired: Desired) -> bool:
    """Whether there is a control plane that is not of these releases."""
    ours = {release.key for release in desired.releases}
    planes = kube.list(object_path("apps/v1", "deployments"), labels="app=istiod", metadata_only=True)
    return any([owner_of(plane["metadata"]) not in ours async for plane in planes])


def _stub(version: str, kind: str, name: str) -> dict[str, object]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}}
