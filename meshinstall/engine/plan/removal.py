"""Makes the plan of a removal; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from meshinstall.engine.plan.layered_steps import removed_policies, unseen
from meshinstall.engine.plan.tag_steps import removed_tags, step_name
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts, ObjectKey, key_of
from meshinstall.model.finding import Severity
from meshinstall.model.ownership import is_ours, made_by_us
from meshinstall.model.plan import Action, ObjectStep, Plan, ReleaseStep, SweepStep
from meshinstall.model.release import Component, Manifest, ReleaseKey, ReleaseStatus


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What istiods put into every namespace, with uids, and the istiods that stay, in words.

    ``orphans`` are what is left of releases that helm has no record of, each with its uid and release; ``scouts`` are of gateways, from
    runs that were killed.
    """

    objects: tuple[tuple[ObjectKey, str], ...] = ()
    others: tuple[str, ...] = ()
    orphans: Mapping[ObjectKey, tuple[str, ReleaseKey]] = field(default_factory=dict)
    scouts: tuple[tuple[ObjectKey, str], ...] = ()


def removable(facts: Facts) -> dict[str, Manifest]:
    """The namespaces that ``up`` made, and those of what was taken out of the configuration since."""
    return {name: live for name, live in {**facts.namespaces, **facts.left}.items() if live and is_ours(live)}


def foreign(desired: Desired, facts: Facts) -> dict[ReleaseKey, str]:
    """Releases of our names that are not ours to uninstall, each with the reason: helm deletes all that a release ever named."""
    return {
        release.key: reason for release in desired.releases if release.key in facts.releases and (reason := _foreign(release.key, facts))
    }


def _foreign(key: ReleaseKey, facts: Facts) -> str:
    record = facts.releases[key]
    # When it fails, helm writes its own words over ours.
    if record.status is ReleaseStatus.DEPLOYED and not made_by_us(record):
        return "was installed by helm, not by meshinstall"
    return facts.strangers.get(key, "")


def plan_removal(desired: Desired, facts: Facts, kept: Mapping[str, str], leftovers: Leftovers, *, crds: bool) -> Plan:
    """Policies first, then tags, then releases against their install order, then what istiod left, CRDs when asked for, and our namespaces.

    ``kept`` maps a namespace that stays to the reason. The namespace of the mesh comes last: the lock is in it.
    """
    policies = tuple(
        ObjectStep(name=f"{key.kind}/{key.namespace}/{key.name}", action=Action.DELETE, manifest=_with_uid(policy.manifest, live))
        for policy in desired.policies
        if (live := facts.policies.get(key := key_of(policy.manifest))) and is_ours(live)
    )
    policies = (*policies, *removed_policies(facts))
    tags = removed_tags(facts)
    releases = _release_steps(desired, facts, tuple(step.name for step in policies), tuple(step.name for step in tags))
    lost = (*_orphan_steps(leftovers, tuple(step.name for step in policies)), *_scout_steps(leftovers))
    before = tuple(step.name for step in (*policies, *tags, *releases, *lost))
    sweep = _sweep_steps(leftovers, releases)
    definitions = tuple(
        ObjectStep(
            name=f"crd/{name}",
            action=Action.DELETE,
            needs=before,
            manifest=_stub("apiextensions.k8s.io/v1", "CustomResourceDefinition", name, live),
        )
        for name, live in sorted(facts.crds.items())
        if crds
    )
    first = (*policies, *tags, *releases, *lost, *sweep, *definitions)
    # The lock is in the namespace of the mesh: it goes when there is nothing else to do than to wait.
    after = tuple(step.name for step in first)
    namespaces = tuple(
        _namespace_step(name, live, after if name == desired.mesh_namespace else before, kept.get(name, ""))
        for name, live in sorted(removable(facts).items(), key=lambda one: one[0] == desired.mesh_namespace)
    )
    return Plan(
        environment=desired.environment,
        cluster=desired.cluster.name,
        profile=desired.profile,
        istio_version=desired.istio_version,
        istio_choice=desired.version_choice,
        mesh_namespace=desired.mesh_namespace,
        steps=(*first, *namespaces),
        findings=tuple(unseen(facts, Severity.WARNING)),
    )


def _namespace_step(name: str, live: Manifest, needs: tuple[str, ...], kept: str) -> ObjectStep:
    step = ObjectStep(name=f"namespace/{name}", action=Action.DELETE, needs=needs, manifest=_stub("v1", "Namespace", name, live))
    return replace(step, action=Action.KEEP, reasons=(kept,)) if kept else step


def _scout_steps(leftovers: Leftovers) -> tuple[ObjectStep, ...]:
    """No release has them."""
    return tuple(
        ObjectStep(
            name=step_name(key),
            action=Action.DELETE,
            reasons=("a run that was killed left this scout of a gateway",),
            manifest=_with_uid({"apiVersion": key.api_version, "kind": key.kind, "metadata": _names(key)}, {"metadata": {"uid": uid}}),
        )
        for key, uid in leftovers.scouts
    )


def _orphan_steps(leftovers: Leftovers, policies: tuple[str, ...]) -> tuple[ObjectStep, ...]:
    """Above all the injector's webhook: without an istiod it refuses every pod that it is asked about."""
    return tuple(
        ObjectStep(
            name=step_name(key),
            action=Action.DELETE,
            reasons=(f"helm has no record of release {release} any more, and left this",),
            needs=policies,
            manifest=_with_uid({"apiVersion": key.api_version, "kind": key.kind, "metadata": _names(key)}, {"metadata": {"uid": uid}}),
        )
        for key, (uid, release) in sorted(leftovers.orphans.items())
    )


def _names(key: ObjectKey) -> dict[str, str]:
    return {"name": key.name, **({"namespace": key.namespace} if key.namespace else {})}


def _sweep_steps(leftovers: Leftovers, releases: tuple[ReleaseStep, ...]) -> tuple[SweepStep, ...]:
    """Root certificates go with our istiod, and only when no other one is there: its proxies read them."""
    if not leftovers.objects:
        return ()
    istiods = tuple(step.name for step in releases if step.component is Component.ISTIOD and step.is_pending)
    step = SweepStep(name="root-certificates", action=Action.DELETE, needs=istiods, objects=leftovers.objects)
    if not istiods or leftovers.others:
        why = f"another istiod needs them: {', '.join(leftovers.others)}" if leftovers.others else "this run does not uninstall an istiod"
        return (replace(step, action=Action.KEEP, reasons=(f"{_where(leftovers)}; {why}",)),)
    return (replace(step, reasons=(_where(leftovers),)),)


def _where(leftovers: Leftovers) -> str:
    spaces = list(dict.fromkeys(key.namespace for key, _ in leftovers.objects))
    names = dict.fromkeys(key.name for key, _ in leftovers.objects)
    return f"istiod wrote {', '.join(names)} to {len(spaces)} namespace{'s' if len(spaces) > 1 else ''}: {', '.join(spaces)}"


def _release_steps(desired: Desired, facts: Facts, policies: tuple[str, ...], tags: tuple[str, ...]) -> tuple[ReleaseStep, ...]:
    present = [release for release in desired.releases if release.key in facts.releases]
    needed_by = {release.key: [str(other.key) for other in present if release.key in other.needs] for release in present}
    theirs = foreign(desired, facts)
    return tuple(
        ReleaseStep(
            name=str(release.key),
            action=Action.KEEP if release.key in theirs else Action.UNINSTALL,
            reasons=(theirs[release.key],) if release.key in theirs else (),
            needs=(*policies, *(tags if release.component is Component.ISTIOD else ()), *needed_by[release.key]),
            release=release.key,
            component=release.component,
            chart=release.chart,
            revision=facts.releases[release.key].revision,
            repair=facts.releases[release.key].status.is_pending,
        )
        for release in reversed(present)
        if facts.releases[release.key].status is not ReleaseStatus.UNINSTALLED
    )


def _stub(version: str, kind: str, name: str, live: Manifest) -> dict[str, object]:
    return _with_uid({"apiVersion": version, "kind": kind, "metadata": {"name": name}}, live)


def _with_uid(manifest: Manifest, live: Manifest) -> dict[str, object]:
    """Named so that no other object of the same name is deleted in its place."""
    uid = live["metadata"].get("uid")
    return {**manifest, "metadata": {**manifest["metadata"], **({"uid": uid} if uid else {})}}
