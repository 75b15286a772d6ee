"""What changes of the mesh configuration and of the injector mean, by what istiod reads of both sides, defaults included; pure.

Sources: istio: pkg/config/mesh/mesh.go (DefaultMeshConfig, ApplyMeshConfig), pilot/pkg/security/authn/utils/utils.go.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.checks.ownership import counted
from meshinstall.checks.words import first
from meshinstall.engine.mesh.kube_objects import MeshSettings, mesh_settings
from meshinstall.engine.mesh.redirection import ranges
from meshinstall.engine.objects.json_fields import at, rows, table, text
from meshinstall.engine.plan.compare import exact
from meshinstall.engine.rehearsal.sides import Sides
from meshinstall.engine.rehearsal.wording import EVERYWHERE, from_to, is_within, networks, word
from meshinstall.model.diff import Concern, Concerned, Consequence
from meshinstall.model.foreign_text import plain
from meshinstall.model.yaml_text import load

# Names of objects that are told.
NAMED = 6
# By name or by number, as protobuf takes either. A policy without a mode has the first one, no policy at all another.
_REGISTRY_ONLY = ("REGISTRY_ONLY", 0, None)
_OPEN = "ALLOW_ANY"
_NEWEST_TLS, _USUAL_TLS = "TLSV1_3", "TLSV1_2"
_NEWEST_NUMBER = 2
# Lists of the TLS that proxies speak with each other.
_LISTS = {("cipherSuites", "cipher_suites"): "cipher suites", ("ecdhCurves", "ecdh_curves"): "curves"}
# What else decides who trusts whom, whatever the values are.
_OTHERS = {
    ("caCertificates", "ca_certificates"): "the certificates of CAs that the mesh trusts change",
    ("discoverySelectors", "discovery_selectors"): "istiod watches other namespaces: in those that it leaves out no policy counts",
    ("pathNormalization", "path_normalization"): "proxies normalize paths otherwise before policies compare them",
    ("tlsDefaults", "tls_defaults"): "TLS that is not mTLS of the mesh gets other versions, cipher suites or curves",
}
_ALL = "*"
_PROXY = "global.proxy"


def configuration(sides: Sides, concerned: Concerned) -> Iterator[Consequence]:
    """What the mesh configuration of a ConfigMap means."""
    if _text_of(sides.before, "mesh") == _text_of(sides.after, "mesh"):
        return
    try:
        before, after = mesh_settings(sides.before), mesh_settings(sides.after)
        old, new = _document(sides.before, "mesh"), _document(sides.after, "mesh")
        found = [*_domains(before, after, concerned), *_roots(before, after), *_traffic(before, after, old, new), *_tls(old, new)]
        found += [Consequence(Concern.ACCESS, told) for names, told in _OTHERS.items() if [*exact(_get(new, *names), _get(old, *names))]]
    except ValueError as error:
        found = [Consequence(Concern.ACCESS, f"the mesh configuration changes and cannot be read: {plain(error)}")]
    yield from found


def injection(sides: Sides) -> Iterator[Consequence]:
    """What the values of the injector mean for traffic of pods that start from then on."""
    if _text_of(sides.before, "values") == _text_of(sides.after, "values"):
        return
    try:
        old, new = (table(at(_document(one, "values"), "global", "proxy")) for one in sides)
        found = [*_bypasses(old, new), *_by_default(old, new)]
    except ValueError as error:
        found = [Consequence(Concern.ACCESS, f"the injector's values change and cannot be read: {plain(error)}")]
    yield from found


def _by_default(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Consequence]:
    before, after = (text(one.get("autoInject")) or "enabled" for one in (old, new))
    if before != after:
        weaker = after == "disabled"
        told = f"pods that start from then on get a proxy {'only where they ask for one' if weaker else 'where their namespace asks'}"
        yield _ranked(f"{told}: {_PROXY}.autoInject {from_to(before, after)}", weaker=weaker)


def given_up_domains(sides: Sides) -> tuple[str, ...]:
    """Trust domains that the mesh has, as its own or as aliases, and will not have; the own one first."""
    try:
        before, after = mesh_settings(sides.before), mesh_settings(sides.after)
    except ValueError:
        return ()
    return _given_up(before, after)


def _given_up(before: MeshSettings, after: MeshSettings) -> tuple[str, ...]:
    stay = {after.trust_domain, *after.trust_domain_aliases}
    return tuple(one for one in dict.fromkeys((before.trust_domain, *before.trust_domain_aliases)) if one not in stay)


def _domains(before: MeshSettings, after: MeshSettings, concerned: Concerned) -> Iterator[Consequence]:
    gone = _given_up(before, after)
    if before.trust_domain != after.trust_domain:
        told = f"the trust domain changes, {from_to(before.trust_domain, after.trust_domain)}: all identities change"
        yield Consequence(Concern.ACCESS, f"{told}; {_old(before, concerned) if before.trust_domain in gone else _STAYS}")
    if aliases := [one for one in gone if one != before.trust_domain]:
        yield Consequence(
            Concern.ACCESS,
            f"identities of {'trust domain' if len(aliases) == 1 else 'trust domains'} {', '.join(map(word, aliases))} are refused: "
            f"taken out of meshConfig.trustDomainAliases",
        )
    which = "the old trust domain" if before.trust_domain in gone and len(gone) == 1 else "a trust domain that is given up"
    if gone and concerned.naming:
        yield Consequence(Concern.ACCESS, f"these name {which} and match nothing then: {first(concerned.naming, NAMED)}")
    elif gone and concerned.unknown:
        yield Consequence(Concern.ACCESS, f"cannot tell which policies name {which}: {concerned.unknown[0]}")


_STAYS = "the old one stays as an alias"


def _old(before: MeshSettings, concerned: Concerned) -> str:
    return (
        "clients may refuse servers whose certificates are not renewed yet, for up to a day"
        f"{f' ({counted(concerned.proxies)})' if concerned.proxies else ''}; "
        f"keep the old one beside it: meshConfig.trustDomainAliases: [{word(before.trust_domain)}]"
    )


def _roots(before: MeshSettings, after: MeshSettings) -> Iterator[Consequence]:
    old, new = before.root_namespace, after.root_namespace
    if old != new:
        told = f"policies of {word(new)} count for the whole mesh, those of {word(old)} for their own namespace only"
        yield Consequence(Concern.ACCESS, f"the root namespace changes, {from_to(old, new)}: {told}")


def _traffic(before: MeshSettings, after: MeshSettings, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Consequence]:
    if before.auto_mtls != after.auto_mtls:
        told = f"proxies {'use' if after.auto_mtls else 'no longer use'} mTLS where no DestinationRule asks for it"
        yield _ranked(told, weaker=not after.auto_mtls)
    closed = [_is_closed(one) for one in (old, new)]
    if closed[0] != closed[1]:
        told = f"workloads {'may no longer call' if closed[1] else 'may call'} hosts that the mesh does not know"
        yield _ranked(told, weaker=not closed[1])


def _is_closed(mesh: Mapping[str, Any]) -> bool:
    policy = _get(mesh, "outboundTrafficPolicy", "outbound_traffic_policy")
    return policy is not None and table(policy).get("mode") in _REGISTRY_ONLY


def _tls(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Consequence]:
    """Of the mTLS between proxies: the lowest version; lists, where nothing is the proxies' own choice."""
    before, after = (table(_get(one, "meshMTLS", "mesh_mTLS")) for one in (old, new))
    lowest = [_lowest(one) for one in (before, after)]
    if lowest[0] != lowest[1]:
        yield _ranked(f"the lowest TLS version of the mesh's mTLS changes: {from_to(*lowest)}", weaker=lowest[1] == _USUAL_TLS)
    for names, told in _LISTS.items():
        some, others = (tuple(text(item) for item in rows(_get(one, *names))) for one in (before, after))
        if set(some) == set(others):
            continue
        sentence = f"the {told} of the mesh's mTLS change: {from_to(', '.join(some) or None, ', '.join(others) or None)}"
        if some and others and (set(some) < set(others) or set(others) < set(some)):
            yield _ranked(sentence, weaker=len(set(others)) > len(set(some)))
        else:
            yield Consequence(Concern.ACCESS, sentence)


def _lowest(tls: Mapping[str, Any]) -> str:
    return _NEWEST_TLS if _get(tls, "minProtocolVersion", "min_protocol_version") in (_NEWEST_TLS, _NEWEST_NUMBER) else _USUAL_TLS


def _bypasses(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Consequence]:
    for name in ("excludeInboundPorts", "excludeOutboundPorts", "excludeIPRanges"):
        yield from _of_list(name, _listed(old, name, ""), _listed(new, name, ""), weaker_when_longer=True)
    for name in ("includeInboundPorts", "includeIPRanges"):
        yield from _of_list(name, _listed(old, name, _ALL), _listed(new, name, _ALL), weaker_when_longer=False)
    # They count beside the networks; where those are all of them, they say nothing.
    if _ALL not in (_listed(old, "includeIPRanges", _ALL), _listed(new, "includeIPRanges", _ALL)):
        name = "includeOutboundPorts"
        yield from _of_list(name, _listed(old, name, ""), _listed(new, name, ""), weaker_when_longer=False)


def _of_list(name: str, before: str, after: str, *, weaker_when_longer: bool) -> Iterator[Consequence]:
    fits = _networks_fit if name.endswith("Ranges") else _ports_fit
    longer, shorter = not fits(after, before), not fits(before, after)
    told = f"{_PROXY}.{name} {from_to(before or None, after or None)}"
    if longer if weaker_when_longer else shorter:
        yield Consequence(Concern.WEAKER, f"more traffic of pods that start from then on bypasses their proxies, mTLS and policies: {told}")
    if shorter if weaker_when_longer else longer:
        yield Consequence(Concern.STRONGER, f"more traffic of pods that start from then on passes their proxies: {told}")


def _listed(proxy: Mapping[str, Any], name: str, default: str) -> str:
    """Text, or a number where a value is a single port."""
    value = proxy.get(name)
    return default if value is None else str(value).strip()


def _ports_fit(some: str, others: str) -> bool:
    """Whether ports are among others."""
    return _ports(some) <= _ports(others)


def _ports(listed: str) -> frozenset[int]:
    whole = "1:" if listed == _ALL else listed
    return frozenset(port for one in ranges(whole) for port in range(max(one.first, 1), min(one.last, 65535) + 1))


def _networks_fit(some: str, others: str) -> bool:
    """Whether networks are among others; as they are written where one is not a network."""
    if some == others:
        return True
    try:
        return is_within(*(networks(EVERYWHERE if listed == _ALL else listed.split(",")) for listed in (some, others)))
    except ValueError:
        return {one.strip() for one in some.split(",")} <= {one.strip() for one in others.split(",")}


def _ranked(told: str, *, weaker: bool) -> Consequence:
    return Consequence(Concern.WEAKER if weaker else Concern.STRONGER, told)


def _get(document: Mapping[str, Any], *names: str) -> Any:
    """A field in either of its spellings."""
    return next((document[name] for name in names if document.get(name) is not None), None)


def _text_of(config_map: Mapping[str, Any], name: str) -> str:
    return text(at(config_map, "data", name))


def _document(config_map: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return table(load(_text_of(config_map, name), aliases=False))
