"""Objects of others in the cluster that open what the files of an environment close.

Sources: istio, pilot/pkg/security: ALLOWs for one workload add up, and so do the rules of its RequestAuthentications; api,
networking/v1alpha3/envoy_filter.proto: a patch may take away or change the filters that istiod makes of policies.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshinstall.checks.policies.reading import ALLOW, action, applies_with, is_dry_run, items, maps, meets_also, table, texts, word
from meshinstall.checks.policies.tokens import demands
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import plain
from meshinstall.model.identity import IdentityProvider
from meshinstall.model.policy_object import PolicyObject

# Names in one finding, and characters of a key.
_SHOWN, _KEYS_SHOWN = 3, 40
# What istiod makes of policies, as patches name it or its type.
_FILTERS = ("filters.http.rbac", "filters.network.rbac", "filters.http.jwt_authn", "filters.http.ext_authz", "filters.network.ext_authz")


@dataclass(frozen=True, slots=True)
class Foreign:
    """An object that somebody else made, and who."""

    policy: PolicyObject
    by: str


def wider(ours: Sequence[PolicyObject], others: Sequence[Foreign], providers: Iterable[IdentityProvider], root: str) -> Iterator[Finding]:
    """Each object of others that lets more in for a workload of ours; ``providers`` are those that the environment names itself."""
    access = [one for one in ours if one.kind in {"AuthorizationPolicy", "RequestAuthentication"} and not is_dry_run(one)]
    allows = [one for one in access if one.kind == "AuthorizationPolicy" and action(one) == ALLOW]
    by_token = [one for one in ours if one.kind == "RequestAuthentication" or (one.kind == "AuthorizationPolicy" and any(demands(one)))]
    known = [*map(_of_provider, providers), *(rule for one in ours for rule in _rules(one))]
    for other in others:
        if other.policy.kind == "AuthorizationPolicy":
            yield from _allow(other, [one for one in allows if applies_with(one, other.policy, root)])
        elif other.policy.kind == "EnvoyFilter":
            yield from _patches(other, [one for one in access if _is_patched(one, other.policy, root)])
        elif concerned := [one for one in by_token if applies_with(one, other.policy, root)]:
            yield from _accepts(other, known, concerned)


def _allow(other: Foreign, beside: Sequence[PolicyObject]) -> Iterator[Finding]:
    policy = other.policy
    if not beside or action(policy) != ALLOW or is_dry_run(policy) or not items(policy.spec.get("rules")):
        return
    title = f"{policy} allows more than the files of this environment: {other.by} made it, and ALLOWs for one workload add up"
    hint = "write what is meant into a file of policies/, and delete the object"
    yield Finding("PRE052", Severity.WARNING, plain(title), f"beside {_names(beside)}", str(policy), hint=hint)


def _accepts(other: Foreign, known: Sequence[Mapping[str, Any]], concerned: Sequence[PolicyObject]) -> Iterator[Finding]:
    told = list(dict.fromkeys(filter(None, (_more(rule, known) for rule in _rules(other.policy)))))
    if not told:
        return
    title = f"{other.policy} accepts tokens that no file of this environment does: {'; '.join(told[:_SHOWN])}"
    detail = f"{other.by} made it; it counts for workloads of {_names(concerned)}"
    hint = "add the issuer to identity of meshinstall.yaml if it is meant, or delete the object"
    yield Finding("PRE053", Severity.WARNING, plain(title), plain(detail), str(other.policy), hint=hint)


def _more(rule: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> str:
    """What a rule accepts and none of the known ones does; empty for nothing."""
    issuer, same = word(rule.get("issuer")), [one for one in known if one.get("issuer") == rule.get("issuer")]
    if not issuer:
        return "of any issuer that its keys sign"
    if not same:
        return f"of {issuer}"
    of_keys = [one for one in same if _keys(rule) in {"", _keys(one)}]
    if not of_keys:
        return f"of {issuer} that other keys sign ({_keys(rule)})"
    audiences = set(texts(rule.get("audiences")))
    if any(not texts(one.get("audiences")) or (audiences and audiences <= set(texts(one.get("audiences")))) for one in of_keys):
        return ""
    new = sorted(audiences.difference(*(texts(one.get("audiences")) for one in of_keys)))
    return f"of {issuer} for {', '.join(new[:_SHOWN]) if audiences else 'any service'}"


def _keys(rule: Mapping[str, Any]) -> str:
    """Where the keys are, or that they are written; empty for the issuer's own document. What is written counts alone."""
    return f"written in it: {word(rule.get('jwks'))[:_KEYS_SHOWN]}" if word(rule.get("jwks")) else word(rule.get("jwksUri"))


def _of_provider(provider: IdentityProvider) -> Mapping[str, Any]:
    return {"issuer": provider.issuer, "jwksUri": provider.keys, "audiences": list(provider.audiences)}


def _rules(policy: PolicyObject) -> Iterator[Mapping[str, Any]]:
    rules = maps(policy.spec.get("jwtRules"), ()) if policy.kind == "RequestAuthentication" else ()
    return (rule for _, rule in rules)


def _patches(other: Foreign, concerned: Sequence[PolicyObject]) -> Iterator[Finding]:
    """Patches that take away or change what enforces policies, or bring a way in beside it."""
    what = next((text for _, patch in maps(other.policy.spec.get("configPatches"), ()) if (text := _opened(patch))), "")
    if not (what and concerned):
        return
    title = f"{other.policy} may let in what policies refuse: {other.by} made it, and it {what}"
    hint = "write what is meant into a file of policies/, and delete the object"
    yield Finding("PRE060", Severity.WARNING, plain(title), f"it counts for workloads of {_names(concerned)}", str(other.policy), hint=hint)


def _opened(patch: Mapping[str, Any]) -> str:
    """What a patch does to the filters of policies; empty where it does not concern them."""
    operation, kind = word(table(patch.get("patch")).get("operation")), word(patch.get("applyTo"))
    if word(table(patch.get("match")).get("context")) == "SIDECAR_OUTBOUND":
        return ""
    # A filter of policies that a new one is put beside is only named there.
    named = next((name for name in _FILTERS if name in json.dumps(patch)), "") if operation in {"MERGE", "REMOVE", "REPLACE"} else ""
    if named:
        return f"changes {named} ({operation})"
    return f"changes {kind} ({operation})" if kind in {"LISTENER", "FILTER_CHAIN"} and operation in {"ADD", "REMOVE", "REPLACE"} else ""


def _is_patched(ours: PolicyObject, patching: PolicyObject, root: str) -> bool:
    """Whether there may be a pod for which both count."""
    if ours.namespace != patching.namespace and root not in {ours.namespace, patching.namespace}:
        return False
    labels = table(table(patching.spec.get("workloadSelector")).get("labels"))
    return meets_also(ours, labels)


def _names(policies: Sequence[PolicyObject]) -> str:
    more = f" and {len(policies) - _SHOWN} more" if len(policies) > _SHOWN else ""
    return f"{', '.join(map(str, policies[:_SHOWN]))}{more}"
