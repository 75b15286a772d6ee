"""Looks at a cluster and decides: the plan of ``up``, the plan of ``down``, and what stops either; changes nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date

from meshinstall.checks.ownership import at_work, environment, in_use, other_run, owners, revision, strict, strict_already
from meshinstall.checks.preflight import ALLOWABLE, before_changes, preflight
from meshinstall.checks.restoration import restoration
from meshinstall.checks.upgrades import upgrades
from meshinstall.config.lockfile import Lock
from meshinstall.config.schema import check_values
from meshinstall.engine.observe.admission import with_admission
from meshinstall.engine.observe.at_work import helms_at_work
from meshinstall.engine.observe.belongings import strangers
from meshinstall.engine.observe.cloud import cloud_findings, explaining
from meshinstall.engine.observe.cluster import observe
from meshinstall.engine.observe.istio_objects import orphans
from meshinstall.engine.observe.istiods_beside import with_istiods_beside
from meshinstall.engine.observe.namespace_contents import Going, why_kept
from meshinstall.engine.observe.own_ca import with_own_ca
from meshinstall.engine.observe.policies import with_policies
from meshinstall.engine.observe.prerequisites import inquire
from meshinstall.engine.observe.restoration import with_restoration
from meshinstall.engine.observe.revision_users import with_revision_users
from meshinstall.engine.observe.root_certificates import other_istiods, root_certificates
from meshinstall.engine.observe.run_holder import other_run as find_other_run
from meshinstall.engine.observe.scouts import scouts
from meshinstall.engine.observe.tags import find_tags, with_tags
from meshinstall.engine.observe.target import find_target
from meshinstall.engine.observe.users import users
from meshinstall.engine.observe.version import settle_removal, settle_version
from meshinstall.engine.plan.planner import plan
from meshinstall.engine.plan.policy_steps import comes_strict
from meshinstall.engine.plan.removal import Leftovers, foreign, plan_removal, removable
from meshinstall.engine.plan.tag_steps import removed_tags
from meshinstall.engine.rehearsal.access_changes import access_changes
from meshinstall.engine.rehearsal.concerned import ask_concerned
from meshinstall.engine.rehearsal.diffing import object_changes
from meshinstall.engine.rehearsal.dropped import dropped
from meshinstall.engine.rehearsal.effects import effects, idle_values
from meshinstall.engine.rehearsal.findings import findings as rehearsal_findings
from meshinstall.engine.rehearsal.meaning import by_concern, consequences
from meshinstall.engine.rehearsal.rehearse import Rehearsal, rehearse
from meshinstall.engine.rehearsal.sides import all_sides
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather, soon, task_group
from meshinstall.errors import ChartError, ConfigError, HelmError, PlanRefusedError, Problem
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts, Users, key_of
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import in_lines
from meshinstall.model.plan import Action, ObjectStep, Plan, ReleaseStep
from meshinstall.model.release import ChartRef, ReleaseKey, ReleaseStatus
from meshinstall.model.upgrade import UpgradePlan

NO_HELM = "PRE901"
_VERSION = "/version"


async def make_plan(desired: Desired, session: Session, *, explains: bool = True) -> Plan:
    """The plan of ``up`` with every finding on it; raises ConfigError for values that a chart refuses.

    A plan that nobody is shown need not explain what its changes mean: it does the same, and is refused for the same.
    """
    return _in_lines(await _make_plan(desired, session, explains=explains))


def _in_lines(plan: Plan) -> Plan:
    """The plan with one line for each thing that it says: some of the words are a tenant's."""
    return replace(plan, findings=in_lines(plan.findings), summary=in_lines(plan.summary))


@asynccontextmanager
async def _the_cluster_first(session: Session) -> AsyncIterator[None]:
    """A block that asks charts and cluster side by side: where both are away, the cluster is what is told, whichever came first."""
    try:
        yield
    except ChartError:
        await session.kube.get(_VERSION)
        raise


async def _make_plan(desired: Desired, session: Session, *, explains: bool) -> Plan:
    async with explaining(session, desired), _the_cluster_first(session), task_group() as group:
        home = soon(group, find_target, session)
        at_work_now = soon(group, find_other_run, session, desired.mesh_namespace)
        desired = await settle_version(desired, session.chart_pins, session.charts, session.releases)
        facts = await observe(desired, session.kube, session.releases, session.charts, session.chart_pins)
        facts = await with_tags(desired, facts, session)
        facts = await with_revision_users(desired, facts, session.kube)
        facts = facts if desired.layered is None else await with_policies(desired, facts, session.kube)
        facts = await with_admission(desired, facts, session.kube)
        facts = await with_own_ca(desired, facts, session)
        facts = await with_restoration(desired, facts, session)
    decided = decide(desired, facts, session.now().date())
    decided = replace(decided, findings=(*decided.findings, *other_run(at_work_now.value)), target=home.value)
    if decided.is_empty:
        return decided
    findings, rehearsal = await _ask_before_changes(decided, facts, desired, session)
    if rehearsal is None:
        return replace(decided, findings=(*decided.findings, *findings))
    refused = (*await rehearsal_findings(rehearsal, desired, session), *await dropped(decided, facts, rehearsal, session.kube))
    trials = tuple(tried.trial for _, tried in rehearsal.tries)
    decided = replace(decided, findings=(*decided.findings, *findings, *refused), trials=trials)
    return await _explained(decided, facts, rehearsal, desired, session) if explains else decided


async def _explained(decided: Plan, facts: Facts, rehearsal: Rehearsal, desired: Desired, session: Session) -> Plan:
    """The plan with what changes in each object, where that comes from, and what it means; nothing of it stops a run."""
    found = await effects(decided, facts, rehearsal, desired, session)
    diff, sides = object_changes(decided, facts, rehearsal, found), all_sides(decided, facts, rehearsal)
    summary = consequences(diff, facts, await ask_concerned(diff, facts, desired, session.kube, sides), sides)
    summary = by_concern((*summary, *await access_changes(decided, facts, desired, session.kube)))
    return replace(decided, findings=(*decided.findings, *idle_values(found, desired)), diff=diff, summary=summary)


def decide(desired: Desired, facts: Facts, today: date) -> Plan:
    """The steps, and what preflight finds in the facts; pure. ``today`` judges the end of support."""
    steps = plan(desired, facts)
    whose = (*environment(desired, facts), *owners(steps, facts), *revision(desired, facts))
    between = upgrades(desired, facts, steps)
    kept = restoration(desired, facts)
    return replace(steps, findings=(*steps.findings, *preflight(desired, facts, today), *whose, *between, *kept))


async def _ask_before_changes(
    steps: Plan, facts: Facts, desired: Desired, session: Session
) -> tuple[tuple[Finding, ...], Rehearsal | None]:
    """What matters only when something is to be changed: findings, and what came of trying every object."""
    async with task_group() as group:
        inquiry = soon(group, inquire, desired, session.kube, facts.layered.left)
        cloud = soon(group, cloud_findings, desired, session)
        values = soon(group, _check_values, steps, desired, session)
        helm = soon(group, helm_findings, session)
        rehearsal = soon(group, rehearse, steps, facts, session)
        cut_off = soon(group, _strict_findings, steps, facts, desired, session)
        rules = soon(group, _rule_findings, steps, desired, session)
        busy = soon(group, helms_at_work, steps, facts, session)
    told = (*helm.value, *values.value, *before_changes(inquiry.value), *at_work(busy.value), *cut_off.value, *rules.value, *cloud.value)
    return told, rehearsal.value


async def _strict_findings(steps: Plan, facts: Facts, desired: Desired, session: Session) -> tuple[Finding, ...]:
    if not comes_strict(steps, facts):
        return ()
    found = await users(session.kube, desired)
    if found is None or not found.all_proxied:
        return tuple(strict(found))
    # Only a mesh in use is looked at pod by pod; no other plan loads any of it.
    from meshinstall.checks.mtls.going_strict import is_strict_already, refused_by_strict
    from meshinstall.engine.observe.plaintext import plaintext_facts

    seen = await plaintext_facts(session)
    if seen is not None and is_strict_already(seen, found.all_proxied):
        return tuple(strict_already(found))
    return tuple(strict(found, ("the mesh could not be read in time",) if seen is None else refused_by_strict(seen)))


async def _rule_findings(steps: Plan, desired: Desired, session: Session) -> tuple[Finding, ...]:
    own = [step for step in steps.pending if isinstance(step, ObjectStep) and step.manifest["kind"] == "DestinationRule"]
    if not own:
        return ()
    # Only a plan with such rules looks at the mesh, and loads what that takes.
    from meshinstall.engine.observe.planned_rules import planned_rule_findings

    return await planned_rule_findings(own, desired, session)


async def helm_findings(session: Session) -> tuple[Finding, ...]:
    """That there is no helm which can be used, when there is none."""
    try:
        await session.helm.version()
    except HelmError as error:
        return (Finding(NO_HELM, Severity.ERROR, error.message, hint=error.hint),)
    return ()


async def _check_values(steps: Plan, desired: Desired, session: Session) -> tuple[Finding, ...]:
    """Hold the values of what will be installed against its charts."""
    stacks = {release.key: release.values for release in desired.releases}
    changing = [step for step in steps.pending if isinstance(step, ReleaseStep) and step.action in {Action.INSTALL, Action.UPGRADE}]
    files = await gather(dict.fromkeys(step.chart for step in changing), session.charts.read)
    verdicts = [check_values(step.component, files[step.chart], stacks[step.release]) for step in changing]
    if errors := [problem for verdict in verdicts for problem in verdict.errors]:
        raise ConfigError(tuple(dict.fromkeys(errors)))
    unread = dict.fromkeys(problem for verdict in verdicts for problem in verdict.warnings)
    doubts = dict.fromkeys(problem for verdict in verdicts for problem in verdict.doubts)
    return (*(_as_finding("CFG003", problem) for problem in unread), *(_as_finding("CFG005", problem) for problem in doubts))


def _as_finding(code: str, problem: Problem) -> Finding:
    origin = f"{problem.source}:{problem.line}" if problem.line else problem.source
    return Finding(code, Severity.WARNING, problem.text, origin=origin, hint=problem.hint)


def refuse(plan: Plan | UpgradePlan, allowed: frozenset[str], *, only: tuple[str, ...] = ("",)) -> None:
    """Raise PlanRefusedError when the plan holds what was not allowed by name; ``only`` are the codes that count."""
    stops = [finding for finding in plan.refusals if ALLOWABLE.get(finding.code) not in allowed and finding.code.startswith(only)]
    if stops:
        lines = [f"{finding.code}: {finding.title}{f' ({finding.detail})' if finding.detail else ''}" for finding in stops]
        raise PlanRefusedError("\n".join(lines), "; ".join(finding.hint for finding in stops if finding.hint))


async def make_removal(desired: Desired, session: Session, *, crds: bool) -> Plan:
    """Look at the cluster and decide what down would remove; changes nothing."""
    async with explaining(session, desired):
        desired = await with_istiods_beside(await settle_removal(desired, session.releases), session.releases)
        charted = replace(desired, releases=tuple(replace(release, chart=_undigested(release.chart)) for release in desired.releases))
        facts = await observe(charted, session.kube, session.releases, session.charts, Lock(()))
        facts = replace(facts, strangers=await strangers(session.kube, session.releases, facts.releases))
        facts = replace(facts, tags=await find_tags(session.kube, desired.mesh_namespace))
        # What files describe goes whether they are still there or not.
        facts = await with_policies(replace(desired, layered=None), facts, session.kube)
        # One that is being deleted already cannot be kept.
        staying = [name for name, live in removable(facts).items() if "deletionTimestamp" not in live["metadata"]]
        going = frozenset({release.key for release in desired.releases} - foreign(desired, facts).keys())
        dark = await scouts(session.kube, [one.name for one in desired.namespaces])
        ours = frozenset({key for key, _ in dark}).union(key_of(step.manifest) for step in removed_tags(facts)).union(facts.layered.left)
        async with task_group() as group:
            contents = soon(group, why_kept, session.kube, session.releases, Going(going, crds, ours), staying)
            objects = soon(group, root_certificates, session.kube)
            others = soon(group, other_istiods, session.kube, going)
            home = soon(group, find_target, session)
            lost = soon(group, orphans, session.kube, _without_record(desired, facts), [one.name for one in desired.namespaces])
        removal = plan_removal(desired, facts, contents.value, Leftovers(objects.value, tuple(others.value), lost.value, dark), crds=crds)
        found = Users() if removal.is_empty else await users(session.kube, desired, facts.istiods)
        busy = await helms_at_work(removal, facts, session)
    whose = (*environment(desired, facts), *owners(removal, facts), *at_work(busy), *in_use(removal, found))
    return _in_lines(replace(removal, findings=(*removal.findings, *whose), target=home.value))


def _without_record(desired: Desired, facts: Facts) -> frozenset[ReleaseKey]:
    records = facts.releases
    there = {key for key, record in records.items() if record.status is not ReleaseStatus.UNINSTALLED}
    return frozenset({release.key for release in desired.releases} - there)


def _undigested(chart: ChartRef) -> ChartRef:
    """A removal needs no chart: any digest keeps the source from being asked."""
    return replace(chart, digest="not asked")
