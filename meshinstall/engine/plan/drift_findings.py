"""Tells of differences that a run leaves as they are; pure."""

from collections.abc import Iterable, Iterator

from meshinstall.engine.objects.field_names import names_of
from meshinstall.engine.objects.field_paths import ABSENT, dotted
from meshinstall.engine.plan.compare import Difference
from meshinstall.engine.plan.drift import Edit, FieldEdit, shown
from meshinstall.engine.plan.policy_steps import differing
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts, key_of
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.policy_kinds import GATEWAY_API, group_of
from meshinstall.model.secrets import pair

_SHOWN = 5


def drift_findings(edits: Iterable[Edit]) -> Iterator[Finding]:
    """One for each object with additions of managers that nobody knows, and one for each that is changed at admission."""
    for edit in edits:
        if edit.strange:
            names = sorted({editor.name for field in edit.strange for editor in field.editors})
            title = f"{edit.key} has fields that {', '.join(names)} added"
            hint = "if it should not: keep that manager from setting them, and remove them with kubectl edit; up leaves them as they are"
            yield Finding("PRE021", Severity.WARNING, title, _first(map(_addition, edit.strange)), str(edit.key), hint=hint)
        if edit.admitted:
            title = f"{edit.key} is changed at admission"
            hint = "up does not change it back: the API server would give the same again"
            yield Finding("PRE022", Severity.INFO, title, _first(map(_admission, edit.admitted)), str(edit.key), hint=hint)


def policy_findings(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """One for each policy that does not say what it should, as the API server changes it at admission."""
    # Kinds of the Gateway API have defaults: what the server adds is none of anybody's changes.
    layered = (policy for policy in desired.layered or () if group_of(key_of(policy.manifest).api_version) != GATEWAY_API)
    for policy in (*desired.policies, *layered):
        key = key_of(policy.manifest)
        live = facts.policies.get(key)
        if live and facts.admitted.get(key):
            told = "; ".join(map(_policy_difference, differing(policy.manifest, live)))
            hint = "up cannot change it back: find what changes it with kubectl get mutatingwebhookconfigurations,mutatingadmissionpolicies"
            yield Finding(
                "PRE022",
                Severity.WARNING,
                f"{key} is changed at admission, and does not say what this environment wants",
                told,
                str(key),
                hint=hint,
            )


def _policy_difference(one: Difference) -> str:
    wanted, there = (None if value is ABSENT else value for value in (one.wanted, one.live))
    before, after = (ABSENT if value is None else value for value in pair(wanted, there, *names_of(one.path)))
    return f"{dotted(one.path)}: {shown(before)} → {shown(after)}"


def _addition(field: FieldEdit) -> str:
    return f"{field.name} (by {', '.join(map(str, field.editors))})"


def _admission(field: FieldEdit) -> str:
    return f"{field.name}: {shown(field.wanted, field.hidden)} → {shown(field.live, field.hidden)}"


def _first(texts: Iterable[str]) -> str:
    found = list(texts)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more
