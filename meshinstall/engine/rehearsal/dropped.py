"""Finds what an upgrade would delete although it is not the release's: helm deletes what its record names and the chart no longer has."""

from collections.abc import Iterator

from meshinstall.engine.objects.release_manifest import dropped_objects
from meshinstall.engine.observe.belongings import foreign_objects
from meshinstall.engine.rehearsal.rehearse import Rehearsal
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError
from meshinstall.model.facts import Facts
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.plan import Plan, ReleaseStep
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

_CRD = "CustomResourceDefinition"


async def dropped(plan: Plan, facts: Facts, rehearsal: Rehearsal, kube: Kube) -> tuple[Finding, ...]:
    """A finding for each release whose upgrade would delete such an object; asks nothing where no object goes. Raises ClusterError."""
    steps = [step for step in plan.pending if isinstance(step, ReleaseStep) and step.name in rehearsal.renderings]
    upgrades = {step.name: step for step in steps if step.release in facts.releases}
    found = await gather(upgrades, lambda name: _foreign(upgrades[name], facts, rehearsal, kube))
    return tuple(_finding(upgrades[name], why) for name, why in found.items() if why)


async def _foreign(step: ReleaseStep, facts: Facts, rehearsal: Rehearsal, kube: Kube) -> str:
    try:
        gone = tuple(_gone(step, facts, rehearsal))
    except ValueError as error:
        message = f"the manifest in Helm's record of release {step.release} cannot be read: {error}"
        raise ClusterError(message, f"look at it: helm get manifest {step.release.name} -n {step.release.namespace}") from error
    return await foreign_objects(kube, gone, step.release) if gone else ""


def _gone(step: ReleaseStep, facts: Facts, rehearsal: Rehearsal) -> Iterator[Manifest]:
    made, stage, space = rehearsal.renderings[step.name], rehearsal.stage, step.release.namespace
    stays = {(key.kind, key.namespace, key.name) for key in stage.by_key(made.objects, space)}
    stays |= {(_CRD, "", name) for name in made.crds}
    for one in dropped_objects(facts.releases[step.release].manifest, made.crds.values()):
        key = stage.key(one, space)
        if (key.kind, "" if key.kind == _CRD else key.namespace, key.name) not in stays:
            yield one


def _finding(step: ReleaseStep, why: str) -> Finding:
    title = f"the record of release {step.release} {why}"
    detail = "helm would delete it with this upgrade, as the chart does not have it"
    look = f"helm get manifest {step.release.name} -n {step.release.namespace}"
    hint = f"somebody may have edited the record, look at it: {look}; let helm roll back to a revision that has none of it"
    return Finding("PRE033", Severity.ERROR, title, detail, f"release {step.release}", hint=hint)
