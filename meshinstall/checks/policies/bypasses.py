"""Rules that a client can pass by writing the same request in another way.

Sources: istio.io, Security Best Practices (path and case normalization, hosts with ports); CVE-2021-31920; CVE-2026-39350.
"""

from collections.abc import Iterator

from meshinstall.checks.policies.reading import ALLOW, CUSTOM, DENY, Policies, Rule, action, finding, items, rules, texts, word
from meshinstall.model.authz import Normalization
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio_version import istio_version
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

# The first patch of each minor in which a dot in serviceAccounts is a dot.
_FIXED = {(1, 27): 9, (1, 28): 6, (1, 29): 2}
_ACCOUNTS = ("serviceAccounts", "notServiceAccounts")


def passed_by(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Each text of an AuthorizationPolicy that another spelling of a request does not meet, or that another client meets."""
    # What a rule keeps out: a DENY and a CUSTOM what they name, an ALLOW what it excepts.
    named = {DENY: ("paths", "hosts"), CUSTOM: ("paths", "hosts"), ALLOW: ("notPaths", "notHosts")}.get(action(policy))
    for rule in rules(policy):
        if named:
            yield from _paths(policies, rule, named[0])
            yield from _endings(rule, named[0])
            yield from _hosts(rule, named[1])
        if _reads_dots_as_patterns(policies.version):
            yield from _accounts(policies.version, rule)


def _paths(policies: Policies, rule: Rule, name: str) -> Iterator[Finding]:
    if policies.normalization not in {Normalization.NONE, Normalization.BASE}:
        return
    for path, operation in rule.operations:
        for index, one in enumerate(texts(operation.get(name))):
            if one.startswith("/") and one.strip("/*{}"):
                title = f"/{one} passes {name} {one}: the mesh leaves slashes as they are sent, and many servers read two as one"
                hint = "allow the paths that are meant instead, or set meshConfig.pathNormalization.normalization: MERGE_SLASHES"
                yield finding("POL031", Severity.WARNING, (rule.policy, (*path, name, str(index))), title, hint)


def _endings(rule: Rule, name: str) -> Iterator[Finding]:
    """Many servers take another ending for the same page: of an exact path, and of all that is below one the path itself."""
    for path, operation in rule.operations:
        found = texts(operation.get(name))
        for index, one in enumerate(found):
            base = one.removesuffix("/*").rstrip("/")
            if not base.startswith("/") or "*" in base or "{" in base or _is_covered(base, found):
                continue
            if one == base and not {f"{one}/", f"{one}/*"} & set(found):
                title = f"{one}/ and {one};x pass {name} {one}, and so does {one.upper()} where the server takes it for the same"
            elif one != base and base not in found:
                title = f"{base} and {base};x pass {name} {one}, and many servers take them for the same"
            else:
                continue
            hint = f"allow the paths that are meant instead, or write {base}* in place of it"
            yield finding("POL040", Severity.WARNING, (rule.policy, (*path, name, str(index))), title, hint)


def _is_covered(base: str, found: list[str]) -> bool:
    """Whether an entry is for all that begins like a path, with the path itself."""
    return any(one.endswith("*") and base.startswith(one[:-1]) for one in found)


def _hosts(rule: Rule, name: str) -> Iterator[Finding]:
    for path, operation in rule.operations:
        found = texts(operation.get(name))
        for index, one in enumerate(found):
            if one and not one.endswith("*") and ":" not in one and f"{one}:*" not in found:
                title = f"a request to {one}:80 passes {name} {one}: the port that a client writes is a part of the host"
                yield finding("POL032", Severity.WARNING, (rule.policy, (*path, name, str(index))), title, f'write "{one}:*" beside it')


def _accounts(version: str, rule: Rule) -> Iterator[Finding]:
    named = [((*path, name), texts(source.get(name))) for path, source in rule.sources for name in _ACCOUNTS if items(source.get(name))]
    when = [part for part in rule.conditions if word(part[1].get("key")) == "source.serviceAccount"]
    named += [((*path, name), texts(part.get(name))) for path, part in when for name in ("values", "notValues")]
    for path, values in named:
        yield from _dots(version, rule, path, values)


def _dots(version: str, rule: Rule, path: KeyPath, values: list[str]) -> Iterator[Finding]:
    for index, one in enumerate(values):
        if "." in one:
            title = f"Istio {version} reads the dot in {one} as any character: other service accounts are meant too (CVE-2026-39350)"
            hint = "upgrade to 1.29.2, 1.28.6 or 1.27.9, or write principals, in which a dot is a dot"
            yield finding("POL033", Severity.ERROR, (rule.policy, (*path, str(index))), title, hint)


def _reads_dots_as_patterns(text: str) -> bool:
    version = istio_version(text)
    if version is None:
        return False
    line = (version.major, version.minor)
    return line < min(_FIXED) or version.patch < _FIXED.get(line, 0)
