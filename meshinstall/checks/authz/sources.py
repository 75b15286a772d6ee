"""Who calls: identities and addresses.

Source: istio, pilot/pkg/security/authz/model/generator.go and pilot/pkg/security/trustdomain/bundle.go (1.31).
"""

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network

from meshinstall.checks.authz.texts import Match, between, matching
from meshinstall.model.istio import DEFAULT_DOMAIN

SCHEME = "spiffe://"
# trust-domain, "ns", namespace, "sa", service account.
_PARTS = 5


def principal(pattern: str) -> Match:
    """Compare with a certificate's name; a client without one has the name "", which nothing matches."""
    return matching(pattern, SCHEME)


def namespace(pattern: str) -> Match:
    """Whether the identity is of a namespace; each * in it is any text."""
    return between(pattern, "/ns/", "/")


def service_account(account: str) -> Match:
    """Whether the identity is a service account, NAMESPACE/NAME; nothing in it is a pattern."""
    space, _, name = account.partition("/")
    wanted = re.compile(rf"{SCHEME}.+/ns/{re.escape(space)}/(.+/|)sa/{re.escape(name)}(/.+)?")
    return lambda identity: wanted.fullmatch(identity) is not None


def trust_domain(pattern: str) -> Match:
    """Whether the identity is of a trust domain; one * in it is any text without a slash."""
    if pattern == "*":
        return lambda identity: identity.startswith(SCHEME)
    if "*" not in pattern:
        return lambda identity: identity.startswith(f"{SCHEME}{pattern}/")
    before, _, after = pattern.partition("*")
    wanted = re.compile(rf"{SCHEME}{re.escape(before)}[^/]*{re.escape(after)}/.*")
    return lambda identity: wanted.fullmatch(identity) is not None


def address(block: str) -> Match | None:
    """Whether an address is in a block or is that address; None for what is neither."""
    if not re.fullmatch(r"[0-9a-fA-F.:]+(/(0|[1-9][0-9]{0,2}))?", block):
        return None
    try:
        network = ip_network(block, strict=False)
    except ValueError:
        return None
    return lambda text: ip_address(text) in network


def with_aliases(principals: Iterable[str], domains: tuple[str, ...]) -> Iterator[str]:
    """Principals of the mesh's own trust domain under each of its names; ``domains`` are the trust domain and its aliases."""
    for one in principals:
        domain, *rest = one.split("/")
        if len(rest) != _PARTS - 1 or domain == "*" or not (domain == DEFAULT_DOMAIN or _is_known(domain, domains)):
            yield one
            continue
        for other in domains:
            is_pattern = domain.startswith("*") and other.endswith(domain[1:])
            yield one if is_pattern else "/".join((other, *rest))


def _is_known(domain: str, domains: tuple[str, ...]) -> bool:
    """Whether a domain is one of the mesh; either may be a pattern (istio: trustdomain/util.go, stringMatch)."""
    return any(one in {domain, "*"} or _fits(domain, one) or _fits(one, domain) for one in domains)


def _fits(text: str, pattern: str) -> bool:
    at_end, at_start = pattern.endswith("*"), pattern.startswith("*")
    return (at_end and text.startswith(pattern[:-1])) or (at_start and text.endswith(pattern[1:]))


def expanded(domains: Iterable[str], known: tuple[str, ...]) -> Iterator[str]:
    """Trust domains of a rule; one of the mesh's own stands for all of them."""
    for one in domains:
        yield from known if one in known else (one,)
