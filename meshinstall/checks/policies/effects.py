"""Rules that have another effect than they seem to have.

Sources: istio, pilot/pkg/security/authz/builder and model (order, HTTP fields on TCP), pkg/config/validation; istio.io, Security Best
Practices.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from meshinstall.checks.policies.reading import (
    ALLOW,
    CUSTOM,
    DENY,
    GATEWAY_LABELS,
    HTTP_SOURCES,
    IDENTITIES,
    NOT_IDENTITIES,
    Policies,
    Rule,
    action,
    applies_with,
    finding,
    items,
    maps,
    meets,
    port_number,
    rules,
    selector,
    table,
    texts,
    word,
)
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.policy_object import PolicyObject

# Protocols of a Service's port that Envoy reads as HTTP (istio: pkg/config/protocol); no name at all is found out by looking.
_HTTP = ("http", "http2", "https-proxy", "grpc", "grpc-web")
# Names in one finding.
_SHOWN = 3

# What a CUSTOM may not go by (istio: pkg/config/validation).
_CALLERS = (*IDENTITIES, HTTP_SOURCES[0], *NOT_IDENTITIES, HTTP_SOURCES[1])
_IDENTITY_KEYS = ("source.principal", "source.namespace", "source.serviceAccount", "source.trustDomain", "request.auth.")


def other_effects(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Each rule of an AuthorizationPolicy that allows or denies something else."""
    yield from _scope(policies, policy)
    for rule in rules(policy):
        yield from _of_rule(policies, rule)


def _of_rule(policies: Policies, rule: Rule) -> Iterator[Finding]:
    kind, fields = action(rule.policy), tuple(rule.http_fields())
    known = _ports(policies, rule.policy)
    tcp = sorted((number for number, is_http in known.items() if not is_http and number in (rule.ports() or known)), key=int)
    if kind == DENY and fields and (tcp or not (known or rule.ports())):
        which = f"port {', '.join(tcp)}" if tcp else "every port that is not HTTP"
        title = f"this DENY blocks {which} of the workload too: istiod leaves {fields[0][1]} out there, and what is left matches more"
        hint = "name the HTTP ports of the container in to.operation.ports"
        yield finding("POL003", Severity.ERROR if tcp else Severity.WARNING, (rule.policy, fields[0][0]), title, hint)
    if kind == ALLOW and fields and tcp:
        title = f"this ALLOW lets nothing through port {', '.join(tcp)}: istiod leaves a rule with {fields[0][1]} out there"
        hint = "write a rule of its own for that port, with principals and ports alone"
        yield finding("POL004", Severity.ERROR, (rule.policy, fields[0][0]), title, hint)
    yield from _service_ports(policies, rule)


def _scope(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    kind, is_all = action(policy), selector(policy) == {}
    if kind in {DENY, CUSTOM} and not items(policy.spec.get("rules")):
        title = f"a {kind} without rules is refused by istiod: it would never match"
        yield finding("POL006", Severity.ERROR, (policy, ("spec", "action")), title, "add rules; [{}] matches every request")
    if kind == ALLOW and is_all and policy.namespace == policies.root_namespace and _is_for_all(policy):
        title = f"this ALLOW is in {policy.namespace}: it lets every request to every workload of the mesh through, gateways too"
        hint = "put it into the namespace that is meant; to deny by default, leave rules out"
        yield finding("POL007", Severity.ERROR, (policy, ("spec", "rules")), title, hint)
    elif kind == ALLOW and _is_for_all(policy):
        yield from _open(policies, policy)
    elif kind == ALLOW and is_all and policy.namespace == policies.root_namespace and items(policy.spec.get("rules")):
        title = (
            f"this ALLOW is in {policy.namespace}: from now on every workload of the mesh denies what no ALLOW lets through, gateways too"
        )
        hint = "give it a selector, or put it into the namespace that is meant; if it is meant, allow the clients of gateways as well"
        yield finding("POL008", Severity.WARNING, (policy, ("spec", "rules")), title, hint)
    if kind == CUSTOM:
        yield from _custom(policies, policy)


def _open(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """An ALLOW that lets everybody in."""
    others = (
        one
        for one in policies.near("AuthorizationPolicy", policy)
        if one is not policy and action(one) == ALLOW and items(one.spec.get("rules"))
    )
    # No more are looked for than are named: all others of thousands would be, for each.
    idle = list(islice((str(one) for one in others if applies_with(policy, one, policies.root_namespace)), _SHOWN))
    empty = next(rule.path for rule in rules(policy) if rule.is_empty)
    title = "an empty rule lets every request in, also from clients without an identity"
    title = f"{title}; beside it {', '.join(idle)} changes nothing" if idle else title
    hint = "write who may call; leave rules out to let nobody in (spec: {})"
    yield finding("POL027", Severity.WARNING, (policy, empty), title, hint)


def _custom(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    provider = word(table(policy.spec.get("provider")).get("name"))
    if policies.providers is not None and provider not in policies.providers:
        title = (
            f"the provider {provider or '(none)'} is not in meshConfig.extensionProviders: this CUSTOM denies every request that it matches"
        )
        hint = f"known: {', '.join(policies.providers) or 'none'}"
        yield finding("POL009", Severity.ERROR, (policy, ("spec", "provider", "name")), title, hint)
    for rule in rules(policy):
        sources = [((*path, name), name) for path, source in rule.sources for name in _CALLERS if items(source.get(name))]
        keys = [
            ((*path, "key"), word(part.get("key"))) for path, part in rule.conditions if word(part.get("key")).startswith(_IDENTITY_KEYS)
        ]
        for path, name in (*sources, *keys):
            title = f"a CUSTOM with {name} is refused by istiod: it cannot tell callers apart"
            hint = "tell requests apart by hosts, paths, methods, ports or addresses, and let the provider look at who calls"
            yield finding("POL029", Severity.ERROR, (policy, path), title, hint)


def _is_for_all(policy: PolicyObject) -> bool:
    return any(rule.is_empty for rule in rules(policy))


def _ports(policies: Policies, policy: PolicyObject) -> dict[str, bool]:
    """Ports of the containers that the policy is for, as Services in the same files say; whether each is HTTP."""
    found: dict[str, bool] = {}
    # At a gateway its Gateways' servers say what is HTTP, and not its Service.
    for service in (one for one in _services(policies, policy) if not GATEWAY_LABELS & table(one.spec.get("selector")).keys()):
        for _, port in maps(service.spec.get("ports"), ()):
            number = word(port.get("targetPort")) or word(port.get("port"))
            if port_number(number) and (protocol := _protocol(port)):
                found[number] = found.get(number, True) and protocol in _HTTP
    return found


def _services(policies: Policies, policy: PolicyObject) -> Iterator[PolicyObject]:
    """Services for pods that the policy certainly selects."""
    wanted = selector(policy)
    for service in policies.within("Service", (policy.namespace,)):
        labels = table(service.spec.get("selector"))
        if wanted is not None and labels and meets(wanted, labels):
            yield service


def _protocol(port: Mapping[str, Any]) -> str:
    """What a port of a Service says of its protocol; empty where the proxy finds it out."""
    said = word(port.get("appProtocol")) or word(port.get("name"))
    known = (*_HTTP, "tcp", "tls", "https", "mongo", "mysql", "redis", "udp")
    return next((one for one in sorted(known, key=len, reverse=True) if said == one or said.startswith(f"{one}-")), "")


def _service_ports(policies: Policies, rule: Rule) -> Iterator[Finding]:
    """A port of the Service where the container has another."""
    services = list(_services(policies, rule.policy))
    ports = [port for service in services for _, port in maps(service.spec.get("ports"), ())]
    inside = {word(port.get("targetPort")) or word(port.get("port")) for port in ports}
    moved = {word(port.get("port")): word(port.get("targetPort")) for port in ports if port.get("targetPort")}
    for path, operation in rule.operations:
        for name in ("ports", "notPorts"):
            for index, one in enumerate(texts(operation.get(name))):
                if one in moved and one not in inside and moved[one].isdecimal():
                    title = f"port {one} is the Service's: the container listens on {moved[one]}, which this rule does not mean"
                    yield finding("POL010", Severity.ERROR, (rule.policy, (*path, name, str(index))), title, f"write {moved[one]}")
