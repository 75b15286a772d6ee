"""Rules that go by who calls, where a client may send plaintext and so be nobody.

Source: istio, pilot/pkg/security/authz/model/generator.go (identities come from a certificate alone), pilot/pkg/security/authn
(ComposePeerAuthentication; gateways take no PeerAuthentications), 1.31.
"""

from collections.abc import Iterator

from meshinstall.checks.policies.reading import (
    ALLOW,
    DENY,
    GATEWAY_LABELS,
    IDENTITIES,
    MODES,
    NOT_IDENTITIES,
    Policies,
    Rule,
    action,
    applies_with,
    finding,
    items,
    rules,
    selector,
    table,
    word,
)
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.policy_object import PolicyObject

_OPEN = MODES - {"STRICT"}


def without_identity(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Of an AuthorizationPolicy: sources that a client passes by sending plaintext.

    An ALLOW that excepts clients is named under STRICT too, which gateways do not take; a DENY where the mode is known and not STRICT.
    """
    kind = action(policy)
    for rule in rules(policy):
        if kind == ALLOW:
            yield from _allowed(rule)
        elif kind == DENY and is_strict(policies, policy) is False:
            yield from _not_denied(rule)


def _allowed(rule: Rule) -> Iterator[Finding]:
    """A client without a certificate is none of those that an ALLOW excepts."""
    for path, source in rule.sources:
        if any(items(source.get(name)) for name in (*IDENTITIES, "requestPrincipals")):
            continue
        for name in NOT_IDENTITIES:
            if items(source.get(name)):
                title = f"{name} in an ALLOW lets in every client that sends plaintext, for it has no identity at all"
                hint = 'add principals: ["*"] to this source, or allow those that are meant; PeerAuthentication STRICT also ends it'
                yield finding("POL005", Severity.WARNING, (rule.policy, (*path, name)), title, hint)


def _not_denied(rule: Rule) -> Iterator[Finding]:
    """Nor is it one of those that a DENY names; at gateways nobody from outside is."""
    if GATEWAY_LABELS & (selector(rule.policy) or {}).keys() or selector(rule.policy) is None:
        return
    for path, source in rule.sources:
        name = next((one for one in IDENTITIES if items(source.get(one))), "")
        if name:
            title = f"whoever this DENY names by {name} passes it by sending plaintext, which has no identity: these pods accept it"
            hint = "add a PeerAuthentication with mode STRICT, or deny notPrincipals of those who may call"
            yield finding("POL039", Severity.WARNING, (rule.policy, (*path, name)), title, hint)


def is_strict(policies: Policies, policy: PolicyObject) -> bool | None:
    """Whether the files, or the mode of the mesh where they say none, close every pod of a policy to plaintext; None: not known."""
    root, wanted = policies.root_namespace, selector(policy) or {}
    special, of_namespace, of_mesh = set[str](), set[str](), set[str]()
    covered = False
    for one in policies.near("PeerAuthentication", policy):
        if not applies_with(policy, one, root):
            continue
        mode, labels = word(table(one.spec.get("mtls")).get("mode")), selector(one) or {}
        if labels and one.namespace != root:
            ports = {word(table(port).get("mode")) for port in table(one.spec.get("portLevelMtls")).values()}
            special |= {mode, *ports}
            covered |= mode == "STRICT" and labels.items() <= wanted.items()
        elif not labels:
            (of_mesh if one.namespace == root else of_namespace).add(mode)
    if special & _OPEN:
        return False
    if covered:
        return True
    if policy.namespace == root and of_namespace & _OPEN:
        return False
    near = (set() if policy.namespace == root else of_namespace & MODES) or of_mesh & MODES
    return near == {"STRICT"} if near else policies.is_strict
