"""Makes the plan of a removal; pure."""

from collections.abc import Mapping
from dataclasses import replace

from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts, key_of
from meshinstall.model.ownership import is_ours
from meshinstall.model.plan import Action, ObjectStep, Plan, ReleaseStep
from meshinstall.model.release import Manifest, ReleaseStatus


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


def _stub(version: str, kind: str, name: str) -> dict[str, object]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}}
