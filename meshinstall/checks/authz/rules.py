"""The rules of AuthorizationPolicies that are for one workload, ready to be asked.

Source: istio, pilot/pkg/security/authz/builder and model, pilot/pkg/model/authorization.go and policyattachment.go (1.31).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.checks.authz import conditions
from meshinstall.checks.authz.conditions import LeftOutError, Scope, Test, tests
from meshinstall.checks.authz.seen import Seen, every, some
from meshinstall.checks.policies.reading import ALLOW, Policies, Rule, action, is_dry_run, meets, rules, selector, texts, word
from meshinstall.model.authz import Workload
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

_SOURCES = {
    "principals": conditions.PRINCIPAL,
    "requestPrincipals": conditions.REQUEST_PRINCIPAL,
    "serviceAccounts": conditions.SERVICE_ACCOUNT,
    "trustDomains": conditions.TRUST_DOMAIN,
    "namespaces": conditions.NAMESPACE,
    "remoteIpBlocks": conditions.REMOTE_IP,
    "ipBlocks": conditions.SOURCE_IP,
}
_OPERATIONS = {"hosts": conditions.HOST, "methods": conditions.METHOD, "paths": conditions.PATH, "ports": conditions.PORT}
_OF_DESTINATIONS = (conditions.DESTINATION_IP, conditions.PORT, conditions.SERVER_NAME, conditions.FILTER)

# Tests of which all hold.
All = tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """A rule as Envoy has it: some source and some operation hold."""

    rule: Rule
    sources: tuple[All, ...]
    operations: tuple[All, ...]

    def matches(self, seen: Seen) -> bool:
        """Whether it is for a request; raises UnknownError where nothing that is known decides."""
        return every((self.operations, self.sources), lambda choices: holds_somewhere(choices, seen))


@dataclass(frozen=True, slots=True)
class Action:
    """All policies of one action for a workload, and those of their rules that Istio makes something of."""

    policies: tuple[PolicyObject, ...]
    rules: tuple[Made, ...]


def holds_somewhere(choices: tuple[All, ...], seen: Seen) -> bool:
    """Whether all tests of one of the choices hold; raises UnknownError."""
    return some(choices, lambda choice: every(choice, lambda test: test.holds(seen)))


@dataclass(frozen=True, slots=True)
class Placed:
    """Objects of one kind by namespace, each with its selector; read once for all workloads. ``attached`` are those with targetRefs."""

    root_namespace: str
    by_namespace: Mapping[str, tuple[tuple[Mapping[str, str], PolicyObject], ...]]
    attached: tuple[PolicyObject, ...]

    @classmethod
    def of(cls, policies: Policies, kind: str) -> "Placed":
        """All objects of a kind, those of a namespace by name."""
        found: dict[str, list[tuple[Mapping[str, str], PolicyObject]]] = {}
        attached: list[PolicyObject] = []
        for one in sorted(policies.of(kind), key=lambda one: one.name):
            if (wanted := selector(one)) is None:
                attached.append(one)
            else:
                found.setdefault(one.namespace, []).append((wanted, one))
        return cls(policies.root_namespace, {namespace: tuple(some) for namespace, some in found.items()}, tuple(attached))

    def selecting(self, workload: Workload) -> tuple[PolicyObject, ...]:
        """Those whose selector is met: of the root namespace, then of the workload's."""
        homes = dict.fromkeys((self.root_namespace, workload.namespace))
        some = (pair for home in homes for pair in self.by_namespace.get(home, ()))
        return tuple(one for wanted, one in some if meets(wanted, workload.labels))

    def near(self, workload: Workload) -> tuple[PolicyObject, ...]:
        """All of the root namespace and of the workload's, whatever they are for."""
        homes = dict.fromkeys((self.root_namespace, workload.namespace))
        return (*(one for home in homes for _, one in self.by_namespace.get(home, ())), *self.attached_near(workload))

    def attached_near(self, workload: Workload) -> tuple[PolicyObject, ...]:
        """Those with targetRefs that may be for a waypoint of the workload: a sidecar does not have them."""
        return tuple(one for one in self.attached if one.namespace in {self.root_namespace, workload.namespace})


def made(found: Iterable[PolicyObject], wanted: str, domains: tuple[str, ...], *, is_tcp: bool) -> Action:
    """The policies of an action that are enforced, for HTTP or for TCP."""
    enforced = tuple(one for one in found if action(one) == wanted and not is_dry_run(one))
    return Action(enforced, tuple(_rules(enforced, domains, is_tcp=is_tcp)))


def _rules(policies: Iterable[PolicyObject], domains: tuple[str, ...], *, is_tcp: bool) -> Iterator[Made]:
    for policy in policies:
        scope = Scope(policy.namespace, domains, is_tcp, is_allow=action(policy) == ALLOW)
        for rule in rules(policy):
            try:
                yield _made(rule, scope)
            except LeftOutError:
                continue


def _made(rule: Rule, scope: Scope) -> Made:
    when = [(word(part.get("key")), part) for _, part in rule.conditions]
    # Those of operations are no keys of conditions.
    if any(key in {conditions.HOST, conditions.METHOD, conditions.PATH} for key, _ in when):
        raise LeftOutError
    of_destination = [one for one in when if one[0].startswith(_OF_DESTINATIONS)]
    of_source = [one for one in when if not one[0].startswith(_OF_DESTINATIONS)]
    return Made(
        rule,
        _choices(rule.sources, _SOURCES, _conditions(of_source, scope), scope),
        _choices(rule.operations, _OPERATIONS, _conditions(of_destination, scope), scope),
    )


def _conditions(when: Iterable[tuple[str, Mapping[str, Any]]], scope: Scope) -> All:
    return tuple(test for key, part in when for test in tests(key, texts(part.get("values")), texts(part.get("notValues")), scope))


def _choices(parts: tuple[tuple[KeyPath, Mapping[str, Any]], ...], fields: Mapping[str, str], always: All, scope: Scope) -> tuple[All, ...]:
    """Each source or operation with the conditions; the conditions alone where there is none."""
    return tuple((*_fields(part, fields, scope), *always) for _, part in parts) or (always,)


def _fields(part: Mapping[str, Any], fields: Mapping[str, str], scope: Scope) -> Iterator[Test]:
    for name, key in fields.items():
        yield from tests(key, texts(part.get(name)), texts(part.get(f"not{name[0].upper()}{name[1:]}")), scope)
