"""Tries every object of a plan that changes as it will be sent, side by side and within bounds; changes nothing.

Requests: two for the kinds that are served, one look at each object that is new, one dry run for each that changes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import anyio

from meshinstall.engine.plan.compare import differences
from meshinstall.engine.rehearsal.rendering import Rendering, try_render
from meshinstall.engine.rehearsal.stage import Stage, Try
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather, task_group
from meshinstall.errors import HelmError
from meshinstall.model.facts import Facts, ObjectKey
from meshinstall.model.plan import Action, ObjectStep, Plan, ReleaseStep
from meshinstall.model.release import Manifest
from meshinstall.model.trial import Ground, How, Trial

# Tries at the same time, and seconds for all of them.
_AT_ONCE = 16
_SECONDS = 60.0


class Part(NamedTuple):
    """An object of a step, which changes."""

    step: ReleaseStep | ObjectStep
    key: ObjectKey
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What came of a plan: what helm is to do and renders, by the step's name, its refusals, every part that changes and what came of it.

    ``stage`` and ``ground`` serve to try more of the same.
    """

    stage: Stage
    ground: Ground
    steps: dict[str, ReleaseStep]
    renderings: dict[str, Rendering]
    failures: tuple[tuple[ReleaseStep, HelmError], ...]
    tries: tuple[tuple[Part, Try], ...]


async def rehearse(plan: Plan, facts: Facts, session: Session) -> Rehearsal | None:
    """Render what changes and try it; None where there is no helm. Raises ChartError, and ClusterError when the API server is not there."""
    try:
        major = int((await session.helm.version()).partition(".")[0])
    except HelmError:
        # A finding of its own.
        return None
    ground = Ground(facts.kubernetes, await session.kube.kinds())
    stage = Stage(plan, facts, ground, session, major)
    steps = {step.name: step for step in plan.pending if isinstance(step, ReleaseStep) and step.action in {Action.INSTALL, Action.UPGRADE}}
    made = await gather(steps, lambda name: try_render(steps[name], steps[name].values, ground, session))
    renderings = {name: found for name, found in made.items() if isinstance(found, Rendering)}
    failures = tuple((steps[name], found) for name, found in made.items() if isinstance(found, HelmError))
    parts = [part for name, found in renderings.items() for part in _changing(steps[name], found, stage, facts)]
    own = [step for step in plan.pending if isinstance(step, ObjectStep) and step.action is Action.APPLY]
    parts += [Part(step, stage.key(step.manifest, ""), step.manifest) for step in own]
    tries = await _try_all(parts, stage)
    return Rehearsal(stage, ground, steps, renderings, failures, tuple(zip(parts, tries, strict=True)))


def _changing(step: ReleaseStep, rendering: Rendering, stage: Stage, facts: Facts) -> Iterator[Part]:
    """What is new, is rendered otherwise than in the last revision, or was edited."""
    before = stage.before(step.release)
    for manifest in rendering.objects:
        key = stage.key(manifest, step.release.namespace)
        live = facts.live.get(key)
        if before.get(key) != manifest or live is None or differences(manifest, live):
            yield Part(step, key, manifest)


async def _try_all(parts: Sequence[Part], stage: Stage) -> list[Try]:
    found: dict[int, Try] = {}
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def one(number: int) -> None:
        async with limiter:
            found[number] = await stage.attempt(parts[number].step, parts[number].manifest)

    with anyio.move_on_after(_SECONDS):
        async with task_group() as group:
            for number in range(len(parts)):
                group.start_soon(one, number)
    silent = f"the API server did not answer in {_SECONDS:.0f} s"
    return [found.get(number) or _untried(part, silent) for number, part in enumerate(parts)]


def _untried(part: Part, why: str) -> Try:
    return Try(Trial(part.key, part.step.release if isinstance(part.step, ReleaseStep) else None, How.NOT_TRIED, why))
