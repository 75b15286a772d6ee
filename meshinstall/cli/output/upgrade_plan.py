"""The plan of an upgrade as people and programs read it."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from meshinstall.cli.output.plan_markdown import code
from meshinstall.cli.output.printers import allowed_by, finding_json, finding_line
from meshinstall.cli.output.tables import columns
from meshinstall.cli.output.wave_text import planned_lines, waves_json
from meshinstall.errors import safe
from meshinstall.model.finding import Severity
from meshinstall.model.foreign_text import for_log
from meshinstall.model.mesh_position import Carrier, MeshPosition, Proxied
from meshinstall.model.upgrade import Move, Part, Stage, StageName, UpgradePlan, Way

SCHEMA = "meshinstall.dev/upgrade-plan/v1"
_WIDTH = 80
# Lines of one stage, and objects that a release note names.
_MOST, _SHOWN = 20, 5
_LABELS = {Part.TAG: "tag ", Part.NAMESPACE: "namespace "}


def upgrade_text(plan: UpgradePlan, allowed: frozenset[str] = frozenset()) -> str:
    """For people: where the mesh is, the stages in their order, what keeps the old proxy, what changes, and what stops it.

    ``allowed`` are names given to ``--allow``.
    """
    lines = [*_wrap(_title(plan), ""), "", *columns(_position_rows(plan.position)), *([""] if plan.stages else [])]
    for number, stage in enumerate(plan.stages, start=1):
        lines += [*_wrap(f"Stage {number} of {len(plan.stages)}, {stage.name}: {stage.does}", ""), *_stage_lines(stage, plan)]
    if plan.kept:
        stays = ", and the old istiod stays until then" if plan.strategy and plan.strategy.way is Way.CANARY else ""
        lines += ["", f"No restart replaces the proxies of these{stays}:"]
        lines += [text for one in plan.kept for text in _wrap(f"{one.workload} ({_pods(one.pods)}) until {one.until}", "  ")]
    lines += _change_lines(plan)
    told = sorted(plan.findings, key=lambda finding: finding.severity is Severity.ERROR and not allowed_by(finding, allowed))
    for finding in told:
        lines += ["", *(part for text in finding_line(finding, allowed_by(finding, allowed)).split("\n") for part in _wrap(text, ""))]
    return for_log("\n".join([*lines, "", *_wrap(_conclusion(plan, allowed), "")]))


def _title(plan: UpgradePlan) -> str:
    where = f"environment {plan.environment} on {plan.cluster}"
    if not plan.hops:
        return f"Upgrade of {where} to Istio {plan.target}"
    way = " → ".join([str(plan.hops[0].before), *(str(hop.after) for hop in plan.hops)])
    if plan.strategy is None:
        return f"Upgrade of {where}: Istio {way}"
    if plan.hops[0].before == plan.target:
        return f"Upgrade of {where} to Istio {plan.target}, which istiod is already"
    return f"Upgrade of {where}: Istio {way}, {plan.strategy.way}: {plan.strategy.reason}"


def _conclusion(plan: UpgradePlan, allowed: frozenset[str]) -> str:
    if plan.is_empty:
        return f"Nothing to do: every part of the mesh is at Istio {plan.target}."
    stops = ", ".join(dict.fromkeys(one.code for one in plan.refusals if not allowed_by(one, allowed)))
    count = f"{len(plan.stages)} stage{'' if len(plan.stages) == 1 else 's'}."
    proven = "" if plan.strategy is None or plan.strategy.is_proven else " No hop of this kind was run between real versions yet."
    if not stops:
        return f"{count}{proven}"
    if not plan.stages:
        count = f"Every part of the mesh is at Istio {plan.target}." if _is_there(plan) else "No legal hop leads there."
    return f"{count}{proven} It may not begin because of: {stops}."


def _is_there(plan: UpgradePlan) -> bool:
    return bool(plan.position.planes) and all(plane.version == plan.target for plane in plan.position.planes)


def _position_rows(position: MeshPosition) -> Iterator[tuple[str, ...]]:
    yield "PART", "NOW"
    yield "CRDs", str(position.base or "unknown: helm has no record of istio-base")
    for plane in position.planes:
        yield f"istiod {plane.revision}", str(plane.version or "unknown")
    for agent in position.agents:
        yield agent.component, str(agent.version or "unknown")
    gateways = [one for one in position.proxied if one.carrier is not Carrier.SIDECAR]
    for one in gateways[:_SHOWN]:
        yield f"{one.carrier} {one.place}", _versions([one])
    if len(gateways) > _SHOWN:
        yield f"and {len(gateways) - _SHOWN} more gateways", _versions(gateways[_SHOWN:])
    sidecars = [one for one in position.proxied if one.carrier is Carrier.SIDECAR]
    yield "sidecars", _versions(sidecars) or "none"
    for tag in position.tags:
        yield f"tag {tag.name}", f"revision {tag.revision}"
    if position.validator:
        yield "default validator", f"revision {position.validator}"
    yield "Gateway API", position.gateway_api or "not installed"
    yield "Kubernetes", position.kubernetes or "unknown"
    yield "helm", position.helm or "unknown"


def _versions(some: Iterable[Proxied]) -> str:
    count = Counter((proxies.version, proxies.revision) for one in some for proxies in [*one.proxies] for _ in range(proxies.count))
    ordered = sorted(count.items(), key=lambda one: (str(one[0][0]), one[0][1]))
    return ", ".join(f"{version or 'unknown'} ({_pods(pods)} of revision {revision})" for (version, revision), pods in ordered)


def _pods(count: int) -> str:
    return f"{count} pod{'' if count == 1 else 's'}"


def _stage_lines(stage: Stage, plan: UpgradePlan) -> Iterator[str]:
    if stage.note:
        yield from _wrap(stage.note, "  ")
    moves, waves = _listed(stage, plan)
    for move in moves[:_MOST]:
        yield from _wrap(_move_line(move), "  ")
    if len(moves) > _MOST:
        yield f"  and {len(moves) - _MOST} more: -o json lists them all"
    for text in waves:
        yield from _wrap(text, "  ")


def _listed(stage: Stage, plan: UpgradePlan) -> tuple[tuple[Move, ...], tuple[str, ...]]:
    """The moves of a stage, and in place of the workloads' the lines of their waves, where waves are configured."""
    if stage.name is not StageName.WORKLOADS or not plan.waves.value:
        return stage.moves, ()
    return tuple(move for move in stage.moves if move.part is not Part.PROXIES), tuple(planned_lines(plan.waves, plan.target))


def _move_line(move: Move) -> str:
    name = f"{_LABELS.get(move.part, '')}{move.name}"
    what = f"{name}: {move.before or 'none'} → {move.after or 'removed'}" if move.before or move.after else name
    return f"{what}{' (by hand)' if move.by_hand else ''}{f'; {move.restart}' if move.restart else ''}"


def _change_lines(plan: UpgradePlan) -> Iterator[str]:
    for line in dict.fromkeys(change.line for change in plan.changes):
        yield ""
        some = [change for change in plan.changes if change.line == line]
        yield from _wrap(f"What Istio {line} changes, by {some[0].source}:", "")
        for change in some:
            yield from _wrap(f"- {change.title}; {change.fix}", "  ")
            if change.objects:
                more = f" and {len(change.objects) - _SHOWN} more" if len(change.objects) > _SHOWN else ""
                yield from _wrap(f"here: {', '.join(change.objects[:_SHOWN])}{more}", "    ")


def _wrap(text: str, indent: str) -> list[str]:
    """Lines for 80 columns; what was indented already stays so."""
    own = " " * (len(text) - len(text.lstrip(" ")))
    return textwrap.wrap(
        text.strip(),
        _WIDTH,
        initial_indent=indent + own,
        subsequent_indent=f"{indent}{own}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def upgrade_markdown(plan: UpgradePlan) -> str:
    """For a pull request; nothing that a cluster says becomes markup."""
    lines = [f"### {code(_title(plan))}", "", _conclusion(plan, frozenset()), "", "| part | now |", "|---|---|"]
    lines += [f"| {_cell(part)} | {_cell(now)} |" for part, now in list(_position_rows(plan.position))[1:]]
    for number, stage in enumerate(plan.stages, start=1):
        lines += ["", f"#### {number}. {stage.name}: {stage.does}", "", *([code(stage.note)] if stage.note else [])]
        moves, waves = _listed(stage, plan)
        lines += [f"- {code(_move_line(move))}" for move in moves[:_MOST]]
        lines += [f"- and {len(moves) - _MOST} more"] if len(moves) > _MOST else []
        lines += [f"{'  ' if text.startswith(' ') else ''}- {code(text.strip())}" for text in waves]
    if plan.kept:
        lines += ["", "#### No restart replaces the proxies of these", ""]
        lines += [f"- {code(f'{one.workload} ({_pods(one.pods)}) until {one.until}')}" for one in plan.kept]
    if plan.changes:
        lines += ["", "#### What the new version changes", ""]
        lines += [f"- {change.line}: {code(f'{change.title}; {change.fix}')}{_here(change.objects)}" for change in plan.changes]
    if plan.findings:
        lines += ["", "#### Findings", ""]
        for one in plan.findings:
            more = "; ".join(code(text) for text in (one.detail, one.origin and f"written in {one.origin}", one.hint) if text)
            lines.append(
                f"- {'**error**' if one.severity is Severity.ERROR else one.severity} {one.code}: {code(one.title)} {more}".rstrip()
            )
    return safe("\n".join(lines))


def _here(objects: tuple[str, ...]) -> str:
    more = f" and {len(objects) - _SHOWN} more" if len(objects) > _SHOWN else ""
    return f" ({code(', '.join(objects[:_SHOWN]) + more)})" if objects else ""


def _cell(text: str) -> str:
    return code(text).replace("|", "\\|")


def upgrade_json(plan: UpgradePlan) -> dict[str, Any]:
    """For programs: the document that docs/schemas/upgrade-plan.json describes."""
    strategy = plan.strategy
    return {
        "schema": SCHEMA,
        "environment": plan.environment,
        "cluster": plan.cluster,
        "target": str(plan.target),
        "pending": not plan.is_empty,
        "position": _position_json(plan.position),
        "hops": [{"from": str(hop.before), "to": str(hop.after), "way": hop.way} for hop in plan.hops],
        "strategy": strategy
        and {"way": strategy.way, "revision": strategy.revision, "reason": strategy.reason, "proven": strategy.is_proven},
        "stages": [
            {"name": stage.name, "does": stage.does, "note": stage.note, "moves": [_move_json(move) for move in stage.moves]}
            for stage in plan.stages
        ],
        "kept": [{"workload": one.workload, "pods": one.pods, "until": one.until} for one in plan.kept],
        "changes": [
            {"minor": one.line, "title": one.title, "fix": one.fix, "source": one.source, "objects": list(one.objects)}
            for one in plan.changes
        ],
        "findings": [finding_json(finding) for finding in plan.findings],
        "waves": waves_json(plan.waves),
    }


def _move_json(move: Move) -> dict[str, Any]:
    named = {"part": move.part, "name": move.name, "from": move.before, "to": move.after}
    return named | {"restart": move.restart, "byHand": move.by_hand}


def _position_json(position: MeshPosition) -> dict[str, Any]:
    return {
        "kubernetes": position.kubernetes,
        "helm": position.helm,
        "gatewayApi": position.gateway_api,
        "crds": _text(position.base),
        "controlPlanes": [
            {"revision": plane.revision, "version": _text(plane.version), "namespace": plane.place.namespace, "release": plane.release}
            for plane in position.planes
        ],
        "nodeAgents": [{"component": agent.component, "version": _text(agent.version)} for agent in position.agents],
        "tags": [{"name": tag.name, "revision": tag.revision} for tag in position.tags],
        "defaultValidator": position.validator,
        "workloads": [
            {
                "kind": one.kind,
                "namespace": one.place.namespace,
                "name": one.place.name,
                "carrier": one.carrier,
                "proxies": [{"revision": each.revision, "version": _text(each.version), "pods": each.count} for each in one.proxies],
            }
            for one in position.proxied
        ],
        "gaps": list(position.gaps),
    }


def _text(version: object) -> str | None:
    return None if version is None else str(version)
