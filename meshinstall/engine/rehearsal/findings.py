"""What a rehearsal found: a finding for each refusal, with the line of the value that it comes from."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshinstall.engine.rehearsal.blame import Still, find_value, lacking
from meshinstall.engine.rehearsal.refusals import Reading
from meshinstall.engine.rehearsal.rehearse import Part, Rehearsal
from meshinstall.engine.rehearsal.rendered_secrets import has_secret, secret_findings
from meshinstall.engine.rehearsal.rendering import Rendering, try_render
from meshinstall.engine.rehearsal.stage import Try
from meshinstall.engine.session import Session
from meshinstall.errors import HelmError
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import line
from meshinstall.model.ownership import MANAGED_BY, owner_of
from meshinstall.model.plan import ReleaseStep
from meshinstall.model.release import Manifest
from meshinstall.model.stack import ValuesStack
from meshinstall.model.trial import How
from meshinstall.model.values import KeyPath

# Refusals whose origin is looked for, and warnings that are told.
_TRACED = 5
_TOLD = 10
# Characters of the server's words.
_LONGEST = 500
_ANEW = {
    "Service": "its address changes, and traffic stops until clients know the new one",
    "Deployment": "its pods stop before the new ones start",
    "DaemonSet": "its pods stop before the new ones start",
}


@dataclass(slots=True)
class _Refused:
    """Objects of one step that are refused for one reason; ``origin`` is the line of the value that makes it."""

    part: Part
    first: Try
    origin: str = ""
    names: list[str] = field(default_factory=list)


class Tracer:
    """Finds the values that refusals come from, by rendering without them; what was rendered once is kept."""

    def __init__(self, rehearsal: Rehearsal, desired: Desired, session: Session) -> None:
        self._rehearsal = rehearsal
        self._session = session
        self._stacks = {str(release.key): release.values for release in desired.releases}
        self._rendered: dict[tuple[str, str], Rendering | HelmError] = {}
        self._left = _TRACED

    async def of_rendering(self, step: ReleaseStep) -> str:
        """Where the value is written without which helm renders the release."""

        async def still(values: Mapping[str, Any]) -> bool:
            return isinstance(await self._render(step, values), HelmError)

        return self._origin(step, await self._find(step, still))

    async def of_secret(self, release: str, text: str) -> str:
        """Where the value is written without which a release has no such secret."""
        step = self._rehearsal.steps[release]

        async def still(values: Mapping[str, Any]) -> bool:
            made = await self._render(step, values)
            return isinstance(made, HelmError) or has_secret(made, text)

        return self._origin(step, await self._find(step, still))

    async def of_objects(self, refused: Sequence[tuple[Part, Try]]) -> list[_Refused]:
        """What is refused, each reason once; of a value that was found it is asked first whether it makes the next one too."""
        found: list[_Refused] = []
        values: list[tuple[str, KeyPath]] = []
        for part, tried in refused:
            step = part.step
            if not isinstance(step, ReleaseStep) or tried.owner is not None:
                found.append(_Refused(part, tried, names=[str(part.key)]))
                continue
            known = [path for name, path in values if name == step.name]
            path = await self._first_of(step, part, tried, known) or await self._find(step, self._still(step, part, tried))
            origin = self._origin(step, path)
            if same := next((one for one in found if path and one.origin == origin and one.part.step is step), None):
                same.names.append(str(part.key))
                continue
            values += [(step.name, path)] if path else []
            found.append(_Refused(part, tried, origin, [str(part.key)]))
        return found

    async def _first_of(self, step: ReleaseStep, part: Part, tried: Try, known: Sequence[KeyPath]) -> KeyPath | None:
        still = self._still(step, part, tried)
        for path in known:
            if not await still(lacking(self._stacks[step.name], [path])):
                return path
        return None

    def _still(self, step: ReleaseStep, part: Part, refused: Try) -> Still:
        async def still(values: Mapping[str, Any]) -> bool:
            made = await self._render(step, values)
            if isinstance(made, HelmError):
                return True
            stage = self._rehearsal.stage
            again = [manifest for manifest in made.objects if stage.key(manifest, step.release.namespace) == part.key]
            tries = [await stage.attempt(step, manifest) for manifest in again]
            return any(one.is_refused and refused.read.is_still(one.read) for one in tries)

        return still

    async def _find(self, step: ReleaseStep, still: Still) -> KeyPath | None:
        if not self._left:
            return None
        self._left -= 1
        return await find_value(self._stacks.get(step.name, ValuesStack()), still)

    async def _render(self, step: ReleaseStep, values: Mapping[str, Any]) -> Rendering | HelmError:
        key = (step.name, json.dumps(values, sort_keys=True, default=str))
        if key not in self._rendered:
            self._rendered[key] = await try_render(step, values, self._rehearsal.ground, self._session)
        return self._rendered[key]

    def _origin(self, step: ReleaseStep, path: KeyPath | None) -> str:
        return str(self._stacks[step.name].origin(path)) if path else ""


async def findings(rehearsal: Rehearsal, desired: Desired, session: Session) -> tuple[Finding, ...]:
    """Everything that would stop the run or that the API server says of it."""
    tracer = Tracer(rehearsal, desired, session)
    found = []
    for step, error in rehearsal.failures:
        origin = await tracer.of_rendering(step)
        hint = error.hint or "change the value, then plan again"
        title = f"helm cannot render {step.name}"
        found.append(Finding("PRE030", Severity.ERROR, title, line(error.message), f"release {step.name}", origin, hint))
    refused = await tracer.of_objects([(part, tried) for part, tried in rehearsal.tries if tried.is_refused])
    found += await secret_findings(rehearsal, tracer.of_secret)
    return (*found, *map(_refusal, refused), *_warnings(rehearsal), *_untried(rehearsal))


def _refusal(refused: _Refused) -> Finding:
    kind, tried, origin = refused.part.key.kind, refused.first, refused.origin
    name, text = refused.names[0], line(tried.read.text, _LONGEST)
    also = f" and {len(refused.names) - 1} more" if len(refused.names) > 1 else ""
    if tried.owner is not None:
        title = f"{name} exists already and belongs to {_owner(tried.owner)}"
        hint = "rename or remove that object, or give it to this release with its owner's consent; helm refuses to take it over"
        return Finding("PRE033", Severity.ERROR, title, "helm would stop there, with the releases before it installed", name, hint=hint)
    if tried.read.reading is Reading.IMMUTABLE:
        cost = _ANEW.get(kind, "what uses it loses it for a moment")
        title = f"{name}{also} must be deleted and created again: a field that cannot be changed changes"
        hint = f"keep the old value; or delete the object yourself when that is acceptable: {cost}"
        return Finding("PRE032", Severity.ERROR, title, text, name, origin, hint)
    if tried.read.reading is Reading.CONFLICT:
        managers = ", ".join(sorted(line(each) for each in tried.read.managers))
        hint = "keep that manager from setting the field, or leave the field out of the values; allow it: --allow refused"
        return Finding("PRE031", Severity.ERROR, f"{name}{also} has fields that {managers} sets", text, name, origin, hint)
    hint = "change the value" if origin else "no single value makes it: look at the chart, or at the policy that refuses it"
    return Finding("PRE031", Severity.ERROR, f"{name}{also} would be refused", text, name, origin, f"{hint}; allow it: --allow refused")


def _owner(live: Manifest) -> str:
    if release := owner_of(live["metadata"]):
        return f"Helm release {line(str(release))}"
    manager = (live["metadata"].get("labels") or {}).get(MANAGED_BY)
    return line(str(manager)) if manager else "nobody that Helm knows"


def _warnings(rehearsal: Rehearsal) -> Iterator[Finding]:
    told = dict.fromkeys((str(part.key), line(text)) for part, tried in rehearsal.tries for text in tried.warnings)
    for name, text in list(told)[:_TOLD]:
        yield Finding("PRE034", Severity.WARNING, f"the API server warns of {name}", text, name)
    if left := list(told)[_TOLD:]:
        more = f"the API server gives {len(left)} more {'warning' if len(left) == 1 else 'warnings'}"
        yield Finding("PRE034", Severity.WARNING, more, ", ".join(dict.fromkeys(name for name, _ in left)))


def _untried(rehearsal: Rehearsal) -> Iterator[Finding]:
    """What the caller may not try is told once."""
    denied = [tried for _, tried in rehearsal.tries if tried.read.reading is Reading.NO_PERMISSION]
    if denied:
        title = f"{len(denied)} objects were not tried: this account may not write them"
        hint = "plan with the account that runs `meshinstall up`; for a look alone reading rights suffice"
        yield Finding("PRE035", Severity.WARNING, title, line(denied[0].read.text), hint=hint)
    silent = [tried for _, tried in rehearsal.tries if tried.read.reading is Reading.NOT_JUDGED and tried.trial.how is How.NOT_TRIED]
    if silent:
        title = f"{len(silent)} objects were not tried: the API server did not judge them"
        yield Finding("PRE035", Severity.WARNING, title, line(silent[0].trial.why))
