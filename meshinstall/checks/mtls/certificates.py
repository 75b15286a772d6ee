"""Judges the certificates of a mesh: identity, chain, validity, and the roots that proxies trust."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from meshinstall.checks.words import some, word
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio import ROOT_CERTIFICATE
from meshinstall.model.mesh import CertificateFacts, ControlPlane, MeshFacts, Place, Pod, Proxy
from meshinstall.model.verdict import Evidence, Outcome, Source

# istiod's agent renews when half of the life is over; what has less than a quarter left was not renewed.
_LEAST_LIFE = 0.25
# What a rotation by hand needs (linkerd's rule for its own authorities too).
_LEAST_AUTHORITY = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Trust:
    """The roots of the mesh by fingerprint, and which namespaces of it know which; ``known`` is empty when none could be read.

    ``planes`` are the roots in the namespace of each control plane.
    """

    known: frozenset[str]
    namespaces: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    certificates: Mapping[str, CertificateFacts] = field(default_factory=dict)
    planes: tuple[frozenset[str], ...] = ()

    @classmethod
    def of(cls, facts: MeshFacts, mesh: Iterable[str]) -> "Trust":
        """The roots are those of its authorities and those that istiod writes for itself; others may have written elsewhere."""
        homes = {plane.place.namespace for plane in facts.control_planes} & facts.namespaces.keys()
        planes = tuple(frozenset(facts.namespaces[name].roots) for name in sorted(homes))
        known = frozenset[str]().union(*planes) | {name for one in facts.authorities for name in (one.fingerprint, one.root) if name}
        trusted = (certificate for proxy in facts.proxies.values() for certificate in proxy.roots)
        named = {one.fingerprint: one for one in (*trusted, *facts.authorities)}
        there = sorted(name for name in set(mesh) & facts.namespaces.keys() if not facts.namespaces[name].ending)
        asked = () if "ConfigMap" in facts.unread else there
        return cls(known, {name: facts.namespaces[name].roots for name in asked}, named, planes)

    def strangers(self, root: str, home: str) -> tuple[str, ...]:
        """Namespaces of the mesh that have roots, but not this one of a pod in ``home``; not those of another control plane's root."""
        own = any(root in roots for roots in self.planes)
        others = {name for roots in self.planes if own and root not in roots for name in roots}
        without = (name for name, roots in self.namespaces.items() if roots and root not in roots)
        return tuple(name for name in without if name == home or not others.issuperset(self.namespaces[name]))


def identities(pod: Pod, plane: ControlPlane) -> frozenset[str]:
    """The SPIFFE names that a pod may have: one for each name of the trust domain."""
    domains = (plane.trust_domain, *plane.trust_domain_aliases)
    return frozenset(f"spiffe://{domain}/ns/{pod.place.namespace}/sa/{pod.service_account}" for domain in domains)


def certificate_evidence(pod: Pod, proxy: Proxy | None, plane: ControlPlane | None, trust: Trust, now: datetime) -> tuple[Evidence, ...]:
    """What a proxy's own certificates are worth."""
    if proxy is None or proxy.problem:
        # The finding is that of the proxy.
        return (_unproven("its proxy's certificates could not be read", ""),)
    if not proxy.certificates:
        return (_unproven("its proxy has no certificate", "MTL048"),)
    if plane is None or not trust.known:
        what = "the mesh's trust domain" if plane is None else "the mesh's own roots"
        return (*_times(proxy, trust, now), _unproven(f"{what} could not be read", "MTL048"))
    leaf = proxy.certificates[0]
    found = (
        *_times(proxy, trust, now),
        *_identity(leaf, identities(pod, plane)),
        *_root(leaf, trust, pod.place.namespace),
        *_foreign(proxy, trust),
    )
    text = f"its certificate names {', '.join(leaf.uris)} and leads to the mesh's root"
    return found or (Evidence(Source.CERTIFICATE, Outcome.PASS, text),)


def _times(proxy: Proxy, trust: Trust, now: datetime) -> Iterator[Evidence]:
    root = trust.certificates.get(proxy.certificates[0].root)
    for certificate in (*proxy.certificates, *([root] if root else ())):
        is_leaf = certificate is proxy.certificates[0]
        what, code = ("its certificate", "MTL040") if is_leaf else (f"the CA certificate {certificate.subject}", "MTL049")
        if now >= certificate.not_after:
            yield _failed(f"{what} has expired", code)
        elif now < certificate.not_before:
            yield _failed(f"{what} is not valid yet, by this machine's clock", code)


def _identity(leaf: CertificateFacts, expected: frozenset[str]) -> Iterator[Evidence]:
    if len(leaf.uris) != 1 or leaf.uris[0] not in expected:
        yield _failed(f"its certificate names {', '.join(leaf.uris) or 'no identity'}; expected {min(expected)}", "MTL042")


def _root(leaf: CertificateFacts, trust: Trust, home: str) -> Iterator[Evidence]:
    if leaf.root not in trust.known:
        yield _failed("its certificate does not lead to a root of the mesh", "MTL043")
        return
    # What other namespaces hold is theirs to write, and says nothing about this pod.
    if home in trust.strangers(leaf.root, home):
        yield _failed(f"its root is not in the {ROOT_CERTIFICATE} of {home}", "MTL047")
    if not trust.namespaces.get(home, (leaf.root,)):
        yield _unproven(f"{home} has no {ROOT_CERTIFICATE}", "MTL047")
    if not trust.namespaces:
        yield _unproven("the roots of the namespaces could not be read", "MTL048")


def _foreign(proxy: Proxy, trust: Trust) -> Iterator[Evidence]:
    chains = (*proxy.inbound, *(chain for one in proxy.held for chain in one.chains))
    roots = {one.fingerprint for one in proxy.roots} | {root for chain in chains for root in chain.roots}
    for root in sorted(roots - trust.known):
        named = trust.certificates.get(root)
        name = named.subject if named else f"SHA-256 {root[:16]}"
        yield _failed(f"its proxy trusts {name}, which is not a CA of the mesh", "MTL044")


def certificate_findings(facts: MeshFacts, trust: Trust) -> Iterator[Finding]:
    """What breaks nothing today."""
    yield from _late(facts)
    for authority in sorted(authorities(facts), key=lambda one: one.not_after):
        left = authority.not_after - facts.now
        if timedelta() < left < _LEAST_AUTHORITY:
            title = f"the CA certificate {authority.subject} expires in {left.days} days"
            hint = "replace it while proxies trust both: https://istio.io/latest/docs/tasks/security/cert-management/plugin-ca-cert/"
            yield Finding("MTL045", Severity.WARNING, title, f"on {authority.not_after:%Y-%m-%d %H:%M} UTC", authority.subject, hint=hint)
    roots = sorted({name for roots in trust.namespaces.values() for name in roots if name in trust.known})
    if len(roots) > 1:
        subjects = sorted(trust.certificates[root].subject if root in trust.certificates else root[:16] for root in roots)
        hint = "finish the rotation: remove the old root when no certificate leads to it any more"
        yield Finding(
            "MTL046",
            Severity.WARNING,
            f"the mesh trusts {len(roots)} roots",
            f"{some(subjects)}; this is right only while a root is replaced",
            hint=hint,
        )


def _late(facts: MeshFacts) -> Iterator[Finding]:
    late = sorted(place for place, proxy in facts.proxies.items() if proxy.certificates and _is_late(proxy.certificates[0], facts.now))
    if late:
        namespace, pod = map(word, late[0])
        title = f"{len(late)} {'certificate was' if len(late) == 1 else 'certificates were'} not renewed in time"
        hint = f"find why: kubectl logs -n {namespace} {pod} -c istio-proxy | grep -i -e sds -e cert"
        yield Finding("MTL041", Severity.WARNING, title, f"less than a quarter of the lifetime is left: {some(map(str, late))}", hint=hint)


def _is_late(leaf: CertificateFacts, now: datetime) -> bool:
    left = leaf.not_after - now
    return timedelta() < left < (leaf.not_after - leaf.not_before) * _LEAST_LIFE


def authorities(facts: MeshFacts) -> list[CertificateFacts]:
    """Every authority that was seen, once: the mesh's own, and what proxies hold and trust."""
    held = (one for proxy in facts.proxies.values() for one in (*proxy.roots, *proxy.certificates[1:]))
    return list({one.fingerprint: one for one in (*held, *facts.authorities) if one.is_authority}.values())


def shown(facts: MeshFacts, trust: Trust, pods: Iterable[Pod]) -> tuple[tuple[str, CertificateFacts], ...]:
    """Certificates by their holder: all authorities, and of each workload of ``pods`` the one that ends first."""
    first: dict[tuple[str, str], tuple[Place, CertificateFacts]] = {}
    for pod in pods:
        proxy = facts.proxies.get(pod.place)
        if proxy and proxy.certificates:
            key, leaf = (pod.place.namespace, pod.workload), proxy.certificates[0]
            if key not in first or leaf.not_after < first[key][1].not_after:
                first[key] = pod.place, leaf
    above = [(_rank(one, trust), one) for one in authorities(facts)]
    leaves = [(str(place), leaf) for place, leaf in first.values()]
    return tuple(sorted((*above, *leaves), key=lambda pair: (pair[1].not_after, pair[0], pair[1].fingerprint)))


def _rank(authority: CertificateFacts, trust: Trust) -> str:
    if authority.root not in {"", authority.fingerprint}:
        return "intermediate"
    return "root" if authority.fingerprint in trust.known else "root that is not the mesh's"


def _failed(text: str, code: str) -> Evidence:
    return Evidence(Source.CERTIFICATE, Outcome.FAIL, text, code=code)


def _unproven(text: str, code: str) -> Evidence:
    return Evidence(Source.CERTIFICATE, Outcome.NOT_PROVEN, text, code=code)
