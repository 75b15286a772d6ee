"""What policies say, read from files that may have any shape: what is not of its type reads as empty, for the schema names it."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from meshinstall.model.authz import Normalization
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import plain
from meshinstall.model.identity import IdentityProvider
from meshinstall.model.istio import DEFAULT_DOMAIN, DEFAULT_ROOT_NAMESPACE
from meshinstall.model.labels import GATEWAY_LABEL
from meshinstall.model.policy_kinds import SECURITY
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

ALLOW, DENY, CUSTOM = "ALLOW", "DENY", "CUSTOM"
# Labels that only gateways have: of the Gateway API, and of Istio's own chart.
GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
GATEWAY_LABELS = frozenset({GATEWAY_LABEL, GATEWAY_NAME})
_SERVICE = "Service"
_DRY_RUN = "istio.io/dry-run"
# What Go reads as true.
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_HIGHEST_PORT = 65535
# Fields that only requests of HTTP have (istio: pilot/pkg/security/authz/model).
# What a PeerAuthentication may say; UNSET is as if it said nothing.
MODES = frozenset({"STRICT", "PERMISSIVE", "DISABLE"})
# Fields of a source that go by the certificate of a client, and those that except some.
IDENTITIES = ("principals", "namespaces", "serviceAccounts", "trustDomains")
NOT_IDENTITIES = ("notPrincipals", "notNamespaces", "notServiceAccounts", "notTrustDomains")
HTTP_SOURCES = ("requestPrincipals", "notRequestPrincipals")
HTTP_OPERATIONS = ("hosts", "notHosts", "methods", "notMethods", "paths", "notPaths")
HTTP_KEYS = ("request.headers", "request.auth.")


class GatewayPods(NamedTuple):
    """The pods of a gateway as something names them; ``namespace`` is empty where it is not said."""

    name: str
    namespace: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Policies:
    """All that the files hold, and what is known of the mesh; ``providers`` is None where its configuration is not known.

    ``identity`` are those whose tokens count; without any, every issuer may be meant. ``version`` is Istio's, empty where it is not known.
    ``istiod`` are the values of its chart, ``gateways`` those of the environment, and ``is_strict`` is whether its mesh is, None where it
    is not known.
    """

    objects: tuple[PolicyObject, ...]
    root_namespace: str = DEFAULT_ROOT_NAMESPACE
    trust_domains: tuple[str, ...] = (DEFAULT_DOMAIN,)
    version: str = ""
    providers: tuple[str, ...] | None = None
    identity: tuple[IdentityProvider, ...] = ()
    normalization: Normalization = Normalization.BASE
    istiod: Mapping[str, Any] = field(default_factory=dict)
    gateways: tuple[GatewayPods, ...] = ()
    is_strict: bool | None = None

    # By group and kind, and the namespaces; made when first asked for, as each policy asks for those beside it.
    _by_kind: dict[tuple[str, str], list[PolicyObject]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _by_namespace: dict[str, dict[str, list[PolicyObject]]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _found: dict[tuple[str, ...], tuple[PolicyObject, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _namespaces: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def of(self, kind: str) -> Iterator[PolicyObject]:
        """Those of a kind of Istio's security, or Services; others have objects of the same kind, such as Linkerd's AuthorizationPolicy."""
        return self.of_group("" if kind == _SERVICE else SECURITY, kind)

    def of_group(self, group: str, kind: str) -> Iterator[PolicyObject]:
        """Those of a kind of any group, which is empty for the core of Kubernetes."""
        if not self._by_kind:
            for one in self.objects:
                self._by_kind.setdefault((one.group, one.kind), []).append(one)
        return iter(self._by_kind.get((group, kind), ()))

    def near(self, kind: str, policy: PolicyObject) -> Iterator[PolicyObject]:
        """Those of a kind that may count for pods of a policy: of its namespace and of the root namespace; all for a policy of that."""
        if policy.namespace == self.root_namespace:
            return self.of(kind)
        return self.within(kind, dict.fromkeys((policy.namespace, self.root_namespace)))

    def within(self, kind: str, namespaces: Iterable[str]) -> Iterator[PolicyObject]:
        """Those of a kind in some namespaces."""
        if kind not in self._by_namespace:
            found: dict[str, list[PolicyObject]] = {}
            for one in self.of(kind):
                found.setdefault(one.namespace, []).append(one)
            self._by_namespace[kind] = found
        return (one for name in namespaces for one in self._by_namespace[kind].get(name, ()))

    def once(self, name: tuple[str, ...], make: Callable[[], Iterable[PolicyObject]]) -> tuple[PolicyObject, ...]:
        """What ``make`` finds, asked for once."""
        if name not in self._found:
            self._found[name] = tuple(make())
        return self._found[name]

    def namespaces(self) -> Collection[str]:
        """Those of all objects."""
        if not self._namespaces:
            self._namespaces.update(one.namespace for one in self.objects)
        return self._namespaces


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of an AuthorizationPolicy."""

    policy: PolicyObject
    path: KeyPath
    sources: tuple[tuple[KeyPath, Mapping[str, Any]], ...]
    operations: tuple[tuple[KeyPath, Mapping[str, Any]], ...]
    conditions: tuple[tuple[KeyPath, Mapping[str, Any]], ...]

    @property
    def is_empty(self) -> bool:
        """Whether it matches everything."""
        return not (self.sources or self.operations or self.conditions)

    def http_fields(self) -> Iterator[tuple[KeyPath, str]]:
        """What only HTTP has: each place, and how people call it."""
        for names, parts in ((HTTP_SOURCES, self.sources), (HTTP_OPERATIONS, self.operations)):
            yield from (((*path, name), name) for path, part in parts for name in names if items(part.get(name)))
        keys = (((*path, "key"), word(part.get("key"))) for path, part in self.conditions)
        yield from ((path, key) for path, key in keys if key.startswith(HTTP_KEYS))

    def ports(self) -> frozenset[str]:
        """Ports that every one of its operations names; empty where one names none, or none is there."""
        named = [frozenset(texts(part.get("ports"))) for _, part in self.operations]
        return frozenset().union(*named) if named and all(named) else frozenset()


def action(policy: PolicyObject) -> str:
    """ALLOW where it says none."""
    return word(policy.spec.get("action")) or ALLOW


def is_dry_run(policy: PolicyObject) -> bool:
    """Whether a policy only counts what it would do."""
    return word(policy.annotations.get(_DRY_RUN)) in _TRUE


def rules(policy: PolicyObject) -> Iterator[Rule]:
    """Its rules, each with its place."""
    for path, rule in maps(policy.spec.get("rules"), ("spec", "rules")):
        sources = tuple(_under(rule, path, "from", "source"))
        operations = tuple(_under(rule, path, "to", "operation"))
        yield Rule(policy, path, sources, operations, tuple(maps(rule.get("when"), (*path, "when"))))


def _under(rule: Mapping[str, Any], path: KeyPath, outer: str, inner: str) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    for at, one in maps(rule.get(outer), (*path, outer)):
        yield (*at, inner), table(one.get(inner))


def selector(policy: PolicyObject) -> Mapping[str, str] | None:
    """Labels of the pods that it selects, empty for all; None where it is attached to something else."""
    if policy.spec.get("targetRef") or policy.spec.get("targetRefs"):
        return None
    found = table(table(policy.spec.get("selector")).get("matchLabels"))
    return {name: word(value) for name, value in found.items()}


def targets(policy: PolicyObject) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    """What it is attached to, each with its place; the older targetRef counts where there are no targetRefs."""
    if items(policy.spec.get("targetRefs")):
        yield from maps(policy.spec.get("targetRefs"), ("spec", "targetRefs"))
    elif policy.spec.get("targetRef"):
        yield ("spec", "targetRef"), table(policy.spec.get("targetRef"))


def meets(wanted: Mapping[str, str], labels: Mapping[str, Any]) -> bool:
    """Whether something with these labels is selected."""
    return all(labels.get(name) == value for name, value in wanted.items())


def applies_with(one: PolicyObject, other: PolicyObject, root: str) -> bool:
    """Whether there may be a pod that both select: in one namespace, or of the whole mesh, and without labels that exclude each other."""
    if one.namespace != other.namespace and root not in {one.namespace, other.namespace}:
        return False
    second = selector(other)
    return second is None or meets_also(one, second)


def meets_also(policy: PolicyObject, labels: Mapping[str, Any]) -> bool:
    """Whether there may be a pod with these labels that a policy is for."""
    wanted = selector(policy)
    return wanted is None or all(labels.get(name, value) == value for name, value in wanted.items())


def finding(code: str, severity: Severity, where: tuple[PolicyObject, KeyPath], title: str, hint: str) -> Finding:
    """What is wrong with a policy at a place; texts of the file are shown without control characters."""
    policy, path = where
    line, column = policy.place(path)
    return Finding(code, severity, plain(title), "", str(policy), f"{policy.source}:{line}:{column}", plain(hint))


def table(value: Any) -> Mapping[str, Any]:
    """A map."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """A list."""
    return value if isinstance(value, list) else []


def word(value: Any) -> str:
    """A text; the number of a port as one."""
    return str(value) if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)) else ""


def port_number(text: str) -> int | None:
    """The port that a text names, from 0 to 65535 as Istio takes them; None for any other text."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) and int(text) <= _HIGHEST_PORT else None


def texts(value: Any) -> list[str]:
    """Texts of a list."""
    return [word(one) for one in items(value)]


def maps(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    """Maps of a list, each with its place; null is an empty one."""
    return (((*path, str(index)), table(one)) for index, one in enumerate(items(value)))
