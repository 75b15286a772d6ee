"""Whether istiod can sign with the CA that the files name, and whether the proxies that are there would go on to trust each other."""

from collections.abc import Iterator
from datetime import date, timedelta

from meshinstall.checks.words import first
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import plain
from meshinstall.model.own_ca import CaChain, LostRoot, OwnCaFacts

# A new CA needs weeks to reach every proxy; the same days as CHK009.
_SOON = timedelta(days=60)
_SHOWN = 3
# Of a fingerprint: as many as people compare.
_DIGITS = 12
_PLUG_IN = "https://istio.io/latest/docs/tasks/security/cert-management/plugin-ca-cert/"


def own_ca(desired: Desired, facts: Facts, today: date) -> Iterator[Finding]:
    """Judge a CA before istiod starts with it; where the files name none, that proxies are left which would not trust a new one."""
    found = facts.own_ca
    # A restore brings the CA along, and compares it with what the mesh trusted.
    comes_along = desired.restored is not None and bool(desired.restored.opened)
    if facts.lost_root and not comes_along:
        yield _lost(facts.lost_root, desired.mesh_namespace)
    if found is None:
        return
    where = f"Secret {desired.mesh_namespace}/{found.wanted.secret}"
    if found.unread and found.chain is None:
        is_there = found.missing is not None
        title = f"the CA in {where} cannot be read" if is_there else f"the CA in {where} was not checked"
        severity = Severity.ERROR if is_there else Severity.WARNING
        yield Finding("PRE058", severity, title, plain(found.unread), where, found.wanted.origin, f"what it must hold: {_PLUG_IN}")
    elif found.missing is None and not comes_along:
        detail = "istiod would make a CA of its own, with a root that nobody else has"
        hint = f"create it before istiod starts: {_PLUG_IN}; or remove ca.secret"
        yield Finding("PRE058", Severity.ERROR, f"{where} does not exist", detail, where, found.wanted.origin, hint)
    elif found.missing:
        detail = "istiod starts only with all of them (or makes a CA of its own where it finds none)"
        hint = f"add them: {_PLUG_IN}"
        yield Finding("PRE058", Severity.ERROR, f"{where} lacks {', '.join(found.missing)}", detail, where, found.wanted.origin, hint)
    if found.chain is not None:
        if found.unread and not found.trusted:
            title, hint = f"{where} was not compared with the roots that the mesh has", "allow to list ConfigMaps in all namespaces"
            yield Finding("PRE059", Severity.WARNING, title, plain(found.unread), where, found.wanted.origin, hint)
        yield from _chain(found.chain, found, where, today)
        yield from _roots(found.chain, found, where, desired.mesh_namespace)


def _lost(found: LostRoot, namespace: str) -> Finding:
    number = sum(found.proxies.values())
    proxies = "one proxy that is there trusts" if number == 1 else f"{number} proxies that are there trust"
    title = f"{proxies} another root than istiod would have"
    spaces = first(sorted(map(plain, found.proxies)), _SHOWN)
    makes = (
        f"it would sign with {plain(found.secret)}"
        if found.secret
        else f"no Secret in {namespace} has a CA, so that istiod makes a new one"
    )
    detail = f"they are in {spaces}; {makes}, and they refuse everything that it signs"
    hint = (
        "put the Secret of the CA back first, such as from a snapshot (docs/disaster-recovery.md);"
        " or accept that, and restart these workloads afterwards: --allow new-root"
    )
    return Finding("PRE059", Severity.ERROR, title, detail, hint=hint)


def _chain(chain: CaChain, found: OwnCaFacts, where: str, today: date) -> Iterator[Finding]:
    if chain.flaws:
        detail = "; ".join(plain(flaw) for flaw in chain.flaws)
        hint = f"make it again: {_PLUG_IN}"
        yield Finding("PRE058", Severity.ERROR, f"workloads could not use the CA in {where}", detail, where, found.wanted.origin, hint)
    for one in chain.path:
        first_day, last_day = one.not_before.date(), one.not_after.date()
        subject = plain(one.subject)
        hint = "renew it; the root first, while proxies trust both"
        if last_day <= today or first_day > today:
            title = f"{subject} in {where} is valid from {first_day} to {last_day}"
            yield Finding("PRE058", Severity.ERROR, title, "no connection between proxies succeeds", where, found.wanted.origin, hint)
        elif last_day - today < _SOON:
            title = f"{subject} in {where} expires on {last_day}, in {(last_day - today).days} days"
            yield Finding("PRE058", Severity.WARNING, title, "", where, found.wanted.origin, hint)
        for domain in sorted({plain(uri.removeprefix("spiffe://").partition("/")[0]) for uri in one.uris if uri.startswith("spiffe://")}):
            if domain != found.wanted.trust_domain:
                title = f"{subject} in {where} names trust domain {domain}, and the mesh has {found.wanted.trust_domain}"
                detail, hint = "it may be the CA of another mesh", "compare it with meshConfig.trustDomain"
                yield Finding("PRE058", Severity.WARNING, title, detail, where, found.wanted.origin, hint)


def _roots(chain: CaChain, found: OwnCaFacts, where: str, namespace: str) -> Iterator[Finding]:
    """What breaks where the mesh has other roots: namespaces that istiod no longer serves keep old ones, so its own says what counts."""
    trusted = found.trusted
    now = set(trusted[namespace]) if namespace in trusted else {one for roots in trusted.values() for one in roots}
    if not chain.path or not now:
        return
    signed_by, kept = chain.path[-1].fingerprint, now & set(chain.roots)
    spaces = first(sorted(trusted), _SHOWN)
    if signed_by not in now:
        detail = f"proxies in {spaces} trust {_short(now)}; certificates that istiod signs from then on lead to {_short({signed_by})}"
        more = "" if kept else ", and new proxies trust none that is there"
        then = "connections between old and new proxies, virtual machines and other clusters of the mesh fail"
        hint = "put the old root beside the new one in the Secret's roots and sign with the old CA until every proxy has both"
        title = f"the mesh would get another root than it has, that of {where}"
        severity = Severity.ERROR
    elif now - kept:
        detail, more = f"proxies in {spaces} trust {_short(now - kept)} too, which {where} does not have", ""
        then = "certificates that lead there are refused by every proxy that has the roots of the Secret"
        hint = "see that no certificate leads there any more: meshinstall verify"
        title, severity = f"the mesh would lose a root that it has by {where}", Severity.WARNING
    else:
        return
    allow = "; or accept that, and restart istiod and every workload: --allow new-root" if severity is Severity.ERROR else ""
    yield Finding("PRE059", severity, title, f"{detail}{more}; {then}", where, found.wanted.origin, f"{hint}{allow}")


def _short(fingerprints: set[str]) -> str:
    return first(sorted(one[:_DIGITS] for one in fingerprints), _SHOWN)
