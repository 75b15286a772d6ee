"""Keys of issuers that istiod cannot get, or that are out of date one day.

Sources: istio, pilot/pkg/model/jwks_resolver.go (istiod fetches keys, by the system's authorities and /cacerts/extra.pem; on failure it
gives proxies a key that no token fits), pilot/pkg/features/pilot.go, pilot/pkg/security/authn/policy_applier.go; the chart's values, 1.31.
"""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from meshinstall.checks.policies.reading import Policies, finding, items, maps, table, texts, word
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.identity import IdentityKind, kind_of
from meshinstall.model.policy_kinds import NETWORKING
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

# Names that no public authority signs (RFC 2606, 6761, 6762, 8375; ICANN on .internal), and those that clusters use.
_PRIVATE = (".svc", ".local", ".internal", ".lan", ".corp", ".home.arpa", ".intranet", ".private", ".localhost")
_AUTHORITY, _UNVERIFIED = "jwksResolverExtraRootCA", "JWKS_RESOLVER_INSECURE_SKIP_VERIFY"
_BLOCKED, _BY_PROXY = "BLOCKED_CIDRS_IN_JWKS_URIS", "PILOT_JWT_ENABLE_REMOTE_JWKS"
_PROXIES = ("envoy", "hybrid", "true")
_NO_KEY = "every token is refused"


def keys_out_of_reach(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Of a RequestAuthentication: keys that istiod does not get, and copies of keys."""
    for path, rule in maps(policy.spec.get("jwtRules"), ("spec", "jwtRules")):
        uri = word(rule.get("jwksUri"))
        if word(rule.get("jwks")):
            if word(rule.get("issuer")) not in {one.issuer for one in policies.identity}:
                yield from _copied(policy, path, word(rule.get("issuer")), uri)
        else:
            # Without an address istiod asks the issuer's discovery document.
            yield from _fetched(policies, policy, (*path, "jwksUri" if uri else "issuer"), uri or word(rule.get("issuer")))


def _copied(policy: PolicyObject, path: KeyPath, issuer: str, uri: str) -> Iterator[Finding]:
    """Providers that many use change their keys by themselves; of any other issuer only its own address tells that it publishes them."""
    if uri or kind_of(issuer) is not IdentityKind.GENERIC:
        title = f"these are a copy of the keys of {issuer or uri}: when it changes them, {_NO_KEY}; one that it withdrew is good here"
        hint = "remove jwks: istiod then gets the keys from jwksUri, or from the issuer's discovery document"
        yield finding("POL047", Severity.WARNING, (policy, (*path, "jwks")), title, hint)


def _fetched(policies: Policies, policy: PolicyObject, place: KeyPath, uri: str) -> Iterator[Finding]:
    host, values, env = _host(uri), policies.istiod, table(policies.istiod.get("env"))
    if not host:
        return
    by_proxy = word(env.get(_BY_PROXY)) if not isinstance(env.get(_BY_PROXY), bool) else str(env[_BY_PROXY]).lower()
    where = (policy, place)
    if by_proxy == "envoy" and not _is_known(policies, host):
        title = f"proxies get the keys themselves ({_BY_PROXY}: envoy), and no ServiceEntry of these files has {host}: {_NO_KEY}"
        yield finding("POL048", Severity.WARNING, where, title, f"add a ServiceEntry with the host {host}, or set {_BY_PROXY}: hybrid")
    if by_proxy in _PROXIES and (by_proxy == "envoy" or _is_known(policies, host)):
        return
    if block := _blocks(host, word(env.get(_BLOCKED))):
        title = f"istiod does not ask {host}: it is in {block} of {_BLOCKED}, and {_NO_KEY}"
        yield finding("POL048", Severity.WARNING, where, title, "write an address that istiod may ask, or take the block out")
    elif _is_private(host) and uri.startswith("https://") and not values.get(_AUTHORITY) and str(env.get(_UNVERIFIED)).lower() != "true":
        title = f"no public authority signs a certificate for {host}, and istiod has no other: if it does not trust it, {_NO_KEY}"
        hint = f"give istiod the authority's certificate: values of istiod, {_AUTHORITY}; --env reads them"
        yield finding("POL048", Severity.WARNING, where, title, hint)


def _host(uri: str) -> str:
    try:
        return (urlsplit(uri).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE)


def _blocks(host: str, said: str) -> str:
    """The block of addresses in which an address is; a name may lead anywhere."""
    for one in said.split(","):
        try:
            if ip_address(host) in ip_network(one.strip(), strict=False):
                return one.strip()
        except ValueError:
            continue
    return ""


def _is_known(policies: Policies, host: str) -> bool:
    """Whether proxies may have a cluster for a host: of a Service, which may be anywhere, or of a ServiceEntry of these files."""
    inside = "." not in host or host.endswith((".svc", ".cluster.local")) or ".svc." in host
    entries = policies.of_group(NETWORKING, "ServiceEntry")
    return inside or any(host in texts(one.spec.get("hosts")) for one in entries if items(one.spec.get("hosts")))
