"""Makes the plan of an install or upgrade; pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from meshinstall.engine.objects.field_names import names_of
from meshinstall.engine.objects.readiness import release_state
from meshinstall.engine.plan.drift import Edit, drift
from meshinstall.engine.plan.drift_findings import drift_findings, policy_findings
from meshinstall.engine.plan.image_origins import image_origins
from meshinstall.engine.plan.layered_steps import layered_findings, layered_steps
from meshinstall.engine.plan.policy_steps import policy_step
from meshinstall.engine.plan.restored_steps import marked, restored_namespaces
from meshinstall.engine.plan.tag_steps import after_tags, tag_edits, tag_steps
from meshinstall.model.desired import Desired, DesiredNamespace, Release
from meshinstall.model.facts import Facts
from meshinstall.model.ownership import audit_labels, recorded_digest
from meshinstall.model.plan import Action, Change, ObjectStep, Plan, ReleaseStep
from meshinstall.model.release import ChartRef, Component, ReleaseRecord, ReleaseStatus, without_digest
from meshinstall.model.secrets import pair
from meshinstall.model.stack import ValuesStack, leaves
from meshinstall.model.values import value_at
from meshinstall.model.version import is_full, order


def plan(desired: Desired, facts: Facts) -> Plan:
    """Decide what to do for every namespace, release and policy."""
    own = tuple(_namespace_step(marked(namespace, desired), desired, facts) for namespace in desired.namespaces)
    namespaces = (*own, *restored_namespaces(desired, facts))
    edits = {release.key: drift(facts, release.key) if release.key in facts.releases else () for release in desired.releases}
    images = image_origins(desired.releases)
    releases = tuple(replace(_release_step(release, facts, edits[release.key]), images=images[release.key]) for release in desired.releases)
    tags = tag_steps(desired, facts)
    before, gateways = after_tags(releases, tags)
    releases = (*before, *gateways)
    names = tuple(step.name for step in releases)
    policies = tuple(policy_step(policy, names, desired, facts) for policy in desired.policies)
    return Plan(
        environment=desired.environment,
        cluster=desired.cluster.name,
        profile=desired.profile,
        istio_version=desired.istio_version,
        istio_choice=desired.version_choice,
        mesh_namespace=desired.mesh_namespace,
        steps=(*namespaces, *before, *tags, *gateways, *policies, *layered_steps(desired, facts, names)),
        findings=(
            *desired.warnings,
            *drift_findings((*(edit for some in edits.values() for edit in some), *tag_edits(facts))),
            *policy_findings(desired, facts),
            *layered_findings(desired, facts),
        ),
    )


def _namespace_step(namespace: DesiredNamespace, desired: Desired, facts: Facts) -> ObjectStep:
    live = facts.namespaces.get(namespace.name)
    labels = dict(namespace.labels) if live else {**namespace.labels, **audit_labels(desired)}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name, "labels": labels}}
    step = ObjectStep(name=f"namespace/{namespace.name}", action=Action.APPLY, manifest=manifest)
    if live is None:
        return replace(step, reasons=("does not exist",))
    changes = _changed_leaves(labels, (live["metadata"].get("labels") or {}), "metadata.labels")
    return replace(step, action=Action.APPLY if changes else Action.KEEP, changes=changes)


def _release_step(release: Release, facts: Facts, edits: tuple[Edit, ...]) -> ReleaseStep:
    record = facts.releases.get(release.key)
    chart = _chart(release, record, facts)
    changes = value_changes(record.values if record else {}, release.values)
    told = tuple(sentence for edit in edits for sentence in edit.sentences())
    reasons = tuple(_reasons(record, chart, changes, facts, release))
    undo = tuple(one for edit in edits for one in edit.undo(edits=not reasons))
    is_new = record is None or record.status is ReleaseStatus.UNINSTALLED
    if is_new or reasons or any(edit.needs_helm for edit in edits):
        action, reasons = Action.INSTALL if is_new else Action.UPGRADE, (*reasons, *told)
    elif told:
        action, reasons = Action.RESTORE, told
    else:
        reasons = release_state(release.key, facts)
        action = Action.WAIT if reasons else Action.KEEP
    return ReleaseStep(
        name=str(release.key),
        action=action,
        reasons=reasons,
        changes=changes if action in {Action.INSTALL, Action.UPGRADE} else (),
        needs=(f"namespace/{release.key.namespace}", *(str(need) for need in release.needs)),
        release=release.key,
        component=release.component,
        chart=chart,
        values=release.values.merged(),
        revision=record.revision if record else 0,
        repair=bool(record and record.status.is_pending),
        editors=tuple(sorted({editor.name for edit in edits for field in edit.fields for editor in field.editors})),
        undo=undo,
    )


def _chart(release: Release, record: ReleaseRecord | None, facts: Facts) -> ChartRef:
    """The chart of a release; newer CRDs than the mesh wants stay, as after an upgrade that was taken back: fields would be lost."""
    wanted = facts.charts.get(release.chart.name, release.chart)
    before = without_digest(record.version) if record else ""
    is_there = record is not None and record.status is ReleaseStatus.DEPLOYED and is_full(before) and is_full(wanted.version)
    if record is None or not is_there or release.component is not Component.BASE or order(before) <= order(wanted.version):
        return wanted
    return ChartRef(wanted.name, before, wanted.source, recorded_digest(record))


def _reasons(record: ReleaseRecord | None, chart: ChartRef, changes: tuple[Change, ...], facts: Facts, release: Release) -> Iterator[str]:
    if record is None:
        yield "is not installed"
        return
    if record.status.is_pending:
        yield f"the last helm run was interrupted ({record.status} since {record.updated})"
    elif record.status is not ReleaseStatus.DEPLOYED:
        yield f"its last revision is {record.status}: {record.description}"
    if without_digest(record.version) != without_digest(chart.version):
        yield f"the chart changes from {record.version} to {chart.version}"
    elif (before := recorded_digest(record)) and chart.digest and before != chart.digest:
        yield f"the content of chart {chart.version} is not what was installed"
    if changes:
        yield f"{len(changes)} value{'s change' if len(changes) > 1 else ' changes'}"
    if missing := [name for name in facts.missing_crds if record.chart == "base" or release.chart.name == "base"]:
        yield f"CRDs are gone: {', '.join(missing)}"


def value_changes(before: Mapping[str, Any], after: ValuesStack) -> tuple[Change, ...]:
    """What of the values sent differs from those of the last revision, each with the layer that decides it."""
    winners = after.winners()
    merged = after.merged()
    paths = sorted({*leaves(before), *winners})
    found = []
    for path in paths:
        old, new = value_at(before, path, _ABSENT), value_at(merged, path, _ABSENT)
        # A map on one side is spelled out by its own leaves.
        if old != new and not _is_spelled_out(old) and not _is_spelled_out(new):
            spoken = winners.get(path)
            # Whoever wrote the values of the last revision may have had a password in them.
            shown = pair(_told(old), _told(new), *names_of(path))
            found.append(Change(".".join(path), *shown, str(spoken.origin) if spoken else ""))
    return tuple(found)


def _is_spelled_out(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


# A null is a value of its own: it takes a chart's default away.
_ABSENT = object()


def _told(value: Any) -> Any:
    return None if value is _ABSENT else value


def _changed_leaves(wanted: Mapping[str, Any], live: Mapping[str, Any], prefix: str) -> tuple[Change, ...]:
    return tuple(
        Change(
            f"{prefix}.{'.'.join(path)}", *pair(_told(value_at(live, path, _ABSENT)), _told(value_at(wanted, path, _ABSENT)), *path[-1:])
        )
        for path in leaves(wanted)
        if value_at(live, path, _ABSENT) != value_at(wanted, path, _ABSENT)
    )
