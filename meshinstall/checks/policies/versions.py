"""Rules that the Istio of an environment does not know, or reads otherwise than Istio does today.

Sources: istio.io, security bulletins ISTIO-SECURITY-2021-005, 2021-008, 2022-001; istio, releasenotes/notes.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from meshinstall.checks.policies.reading import ALLOW, CUSTOM, DENY, Policies, Rule, action, finding, items, rules, word
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio_version import IstioVersion, istio_version
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

Minor = tuple[int, int]


class Fault(NamedTuple):
    """A fault of Istio: the patch of each minor that has the fix, what it does, the fields by action, and the first minor that has it."""

    name: str
    fixed: Mapping[Minor, int]
    effect: str
    fields: Mapping[str, tuple[str, ...]]
    since: Minor = (1, 0)

    def is_in(self, version: IstioVersion) -> bool:
        """Whether a version has it."""
        line = (version.major, version.minor)
        return line >= self.since and (line < min(self.fixed) or version.patch < self.fixed.get(line, 0))

    @property
    def fixes(self) -> str:
        """The versions with the fix, in words."""
        return ", ".join(f"{major}.{minor}.{patch}" for (major, minor), patch in self.fixed.items())


_PATHS = {DENY: ("paths",), CUSTOM: ("paths",), ALLOW: ("notPaths",)}
_HOSTS = {DENY: ("hosts",), CUSTOM: ("hosts",), ALLOW: ("notHosts",)}
_EITHER = dict.fromkeys((ALLOW, DENY, CUSTOM), ("hosts", "notHosts"))
_FAULTS = (
    Fault("CVE-2021-31920", {(1, 8): 6, (1, 9): 5}, "//admin and /%2Fadmin are not /admin, and nothing normalizes them", _PATHS),
    Fault("CVE-2021-39156", {(1, 9): 8, (1, 10): 4, (1, 11): 1}, "a path with #fragment passes it", _PATHS),
    Fault("CVE-2021-39155", {(1, 9): 8, (1, 10): 4, (1, 11): 1}, "a host in capital letters passes it", _HOSTS),
    Fault("CVE-2022-21679", {(1, 12): 2}, "a proxy of 1.11 takes every host for the named one", _EITHER, since=(1, 12)),
)
# The minor that brought a field or a key; an older API server drops a field, an older istiod refuses a key.
_CAME: Mapping[str, Minor] = {
    **dict.fromkeys(("trustDomains", "notTrustDomains", "source.trustDomain"), (1, 31)),
    **dict.fromkeys(("serviceAccounts", "notServiceAccounts", "source.serviceAccount"), (1, 25)),
}


def by_version(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Of an AuthorizationPolicy: what the Istio of the environment does with it; nothing where its version is not known."""
    version = istio_version(policies.version)
    if version is None:
        return
    for rule in rules(policy):
        yield from _faulty(version, rule)
        yield from _unknown(version, rule)


def _faulty(version: IstioVersion, rule: Rule) -> Iterator[Finding]:
    for fault in _FAULTS:
        names = fault.fields.get(action(rule.policy), ()) if fault.is_in(version) else ()
        for path, operation in rule.operations:
            for name in names:
                if items(operation.get(name)):
                    title = f"{name} in this {action(rule.policy)} is not safe with Istio {version}: {fault.effect} ({fault.name})"
                    yield finding("POL041", Severity.ERROR, (rule.policy, (*path, name)), title, f"upgrade; fixed in {fault.fixes}")


def _unknown(version: IstioVersion, rule: Rule) -> Iterator[Finding]:
    for path, name in _named(rule):
        came = _CAME.get(name)
        if came and (version.major, version.minor) < came:
            minor = ".".join(map(str, came))
            title = f"Istio {version} does not know {name}, new in {minor}: it refuses the policy, or drops the field and matches more"
            yield finding("POL042", Severity.ERROR, (rule.policy, path), title, "write principals or namespaces, or upgrade")


def _named(rule: Rule) -> Iterator[tuple[KeyPath, str]]:
    for path, source in rule.sources:
        yield from (((*path, name), name) for name in source if items(source.get(name)))
    yield from (((*path, "key"), word(part.get("key"))) for path, part in rule.conditions)
