"""Policies of others in the cluster that open what the files of an environment close.

Source: istio, pilot/pkg/security: ALLOWs for one workload add up, and so do the issuers of its RequestAuthentications.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from meshinstall.checks.policies.reading import ALLOW, action, applies_with, is_dry_run, items, maps, word
from meshinstall.checks.policies.tokens import demands
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import plain
from meshinstall.model.policy_object import PolicyObject

# Names in one finding.
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Foreign:
    """An object that somebody else made, and who."""

    policy: PolicyObject
    by: str


def wider(ours: Sequence[PolicyObject], others: Sequence[Foreign], issuers: frozenset[str], root: str) -> Iterator[Finding]:
    """Each policy of others that lets more in for a workload of ours; ``issuers`` are those that the environment names itself."""
    allows = [one for one in ours if one.kind == "AuthorizationPolicy" and action(one) == ALLOW and not is_dry_run(one)]
    by_token = [one for one in ours if one.kind == "RequestAuthentication" or (one.kind == "AuthorizationPolicy" and any(demands(one)))]
    known = issuers.union(*(_issuers(one) for one in ours))
    for other in others:
        if other.policy.kind == "AuthorizationPolicy":
            yield from _allow(other, [one for one in allows if applies_with(one, other.policy, root)])
        elif concerned := [one for one in by_token if applies_with(one, other.policy, root)]:
            yield from _accepts(other, _issuers(other.policy) - known, concerned)


def _allow(other: Foreign, beside: Sequence[PolicyObject]) -> Iterator[Finding]:
    policy = other.policy
    if not beside or action(policy) != ALLOW or is_dry_run(policy) or not items(policy.spec.get("rules")):
        return
    title = f"{policy} allows more than the files of this environment: {other.by} made it, and ALLOWs for one workload add up"
    hint = "write what is meant into a file of policies/, and delete the object"
    yield Finding("PRE052", Severity.WARNING, plain(title), f"beside {_names(beside)}", str(policy), hint=hint)


def _accepts(other: Foreign, issuers: frozenset[str], concerned: Sequence[PolicyObject]) -> Iterator[Finding]:
    if not issuers:
        return
    title = f"{other.policy} accepts tokens of issuers that no file of this environment names: {', '.join(sorted(issuers)[:_SHOWN])}"
    detail = f"{other.by} made it; it counts for workloads of {_names(concerned)}"
    hint = "add the issuer to identity of meshinstall.yaml if it is meant, or delete the object"
    yield Finding("PRE053", Severity.WARNING, plain(title), plain(detail), str(other.policy), hint=hint)


def _issuers(policy: PolicyObject) -> frozenset[str]:
    rules = maps(policy.spec.get("jwtRules"), ()) if policy.kind == "RequestAuthentication" else ()
    return frozenset(word(rule.get("issuer")) for _, rule in rules)


def _names(policies: Sequence[PolicyObject]) -> str:
    more = f" and {len(policies) - _SHOWN} more" if len(policies) > _SHOWN else ""
    return f"{', '.join(map(str, policies[:_SHOWN]))}{more}"
