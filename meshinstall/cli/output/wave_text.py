"""Waves of an upgrade as people and programs read them: as they are configured, and as they are planned."""

from collections.abc import Iterable, Iterator
from typing import Any

from meshinstall.model.duration import in_words
from meshinstall.model.foreign_text import for_log
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.waves import PlannedWave, Restart, Wave, WavesPlan

# Lines of one wave, and of what is left.
_MOST = 20


def planned_lines(plan: WavesPlan, target: IstioVersion) -> Iterator[str]:
    """Each wave with its restarts, the number of its batch first; then what is left to owners. Lines inside a wave are indented."""
    yield from plan.notes
    for planned in plan.waves:
        yield f"wave {_title(planned.wave)}"
        lines = [f"  {number}. {_line(one, target)}" for number, batch in enumerate(planned.batches, 1) for one in batch]
        yield from _some(lines)
    if plan.left:
        yield "left to owners:"
        yield from _some([f"  {one.workload}: {one.before} → {target}; {one.why}" for one in plan.left])


def _title(wave: Wave) -> str:
    soak = f", then soaks for {in_words(wave.soak)}" if wave.soak else ""
    return f"{wave.name} ({wave.parallel} at once{soak}; {wave.origin})"


def _line(one: Restart, target: IstioVersion) -> str:
    how = "only with --allow downtime: " if one.downtime else ""
    return f"{one.name}: {one.before} → {target}; {how}{one.means}"


def _some(lines: list[str]) -> Iterator[str]:
    yield from lines[:_MOST]
    if len(lines) > _MOST:
        yield f"  and {len(lines) - _MOST} more: -o json lists them all"


def waves_json(plan: WavesPlan) -> dict[str, Any] | None:
    """The part of the document of a plan; None where no waves are configured."""
    if not plan.value:
        return None
    return {
        "value": plan.value,
        "waves": [_planned_json(planned) for planned in plan.waves],
        "left": [{"workload": one.workload, "from": one.before, "why": one.why} for one in plan.left],
        "notes": list(plan.notes),
    }


def _planned_json(planned: PlannedWave) -> dict[str, Any]:
    return {**_wave_json(planned.wave), "batches": [[_restart_json(one) for one in batch] for batch in planned.batches]}


def _wave_json(wave: Wave) -> dict[str, Any]:
    return {"name": wave.name, "parallel": wave.parallel, "soakSeconds": wave.soak, "origin": wave.origin}


def _restart_json(one: Restart) -> dict[str, Any]:
    named = {"workload": one.name, "from": one.before, "how": one.how, "means": one.means}
    return {**named, "needsDowntime": bool(one.downtime), "budgets": list(one.budgets)}


def configured_text(waves: Iterable[Wave]) -> str:
    """The waves of an environment, each with its file and line."""
    lines = [f"{number}. {_title(wave)}: {_of(wave)}" for number, wave in enumerate(waves, 1)]
    return for_log("\n".join(lines) or "no waves are configured: the owners of workloads restart them after an upgrade")


def configured_json(waves: Iterable[Wave]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [{**_wave_json(wave), "namespaces": list(wave.namespaces), "selector": dict(wave.selector)} for wave in waves]


def _of(wave: Wave) -> str:
    labels = ",".join(f"{key}={value}" for key, value in wave.selector)
    return f"namespaces with {labels}" if labels else f"namespaces {', '.join(wave.namespaces)}"
