"""What a change of a Service means: for its address, and for who may reach it; pure.

Sources: AWS Load Balancer Controller (guide/service/annotations), cloud-provider-azure (topics/loadbalancer), GKE (LoadBalancer
Service parameters), k8s.io/cloud-provider (service/helpers: source ranges).
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

from meshinstall.checks.words import first
from meshinstall.config.exposure import AWS, AZURE, GKE
from meshinstall.engine.objects.json_fields import MalformedError, at, rows, table, text
from meshinstall.engine.rehearsal.mesh_meaning import NAMED
from meshinstall.engine.rehearsal.sides import Sides
from meshinstall.engine.rehearsal.wording import EVERYWHERE, Network, from_to, is_within, networks
from meshinstall.model.diff import Concern, Concerned, Consequence
from meshinstall.model.facts import ObjectKey
from meshinstall.model.foreign_text import plain
from meshinstall.model.release import Manifest

_BALANCED = "LoadBalancer"
EXPOSED = frozenset({_BALANCED, "NodePort"})
# What Kubernetes makes an address by; a change of any other field leaves it.
_FIELDS = ("type", "clusterIP", "clusterIPs", "loadBalancerIP", "loadBalancerClass", "externalIPs", "ipFamilies", "ipFamilyPolicy")
_NOTE, _GOOGLE = "service.beta.kubernetes.io/", "cloud.google.com/"
# What clouds make an address by, besides what makes it internal; tags, timeouts, probes and certificates are not here.
_ANNOTATIONS = (
    *(f"{AWS}{name}" for name in ("type", "name", "subnets", "eip-allocations", "private-ipv4-addresses", "ipv6-addresses")),
    f"{AWS}ip-address-type",
    *(f"{AZURE}{name}" for name in ("internal-subnet", "ipv4", "ipv6", "resource-group", "mode", "configurations")),
    *(f"{_NOTE}azure-{name}" for name in ("pip-name", "pip-name-ipv6", "pip-prefix-id", "pip-prefix-id-ipv6", "pip-ip-tags")),
    *(f"{_NOTE}azure-{name}" for name in ("dns-label-name", "additional-public-ips")),
    *(f"{GKE}{name}" for name in ("load-balancer-ip-addresses", "load-balancer-subnet", "internal-load-balancer-subnet", "network-tier")),
    *(f"{_GOOGLE}{name}" for name in ("network-tier", "l4-rbs")),
)
_SCHEME, _OLD_AWS = f"{AWS}scheme", f"{AWS}internal"
# What makes a load balancer internal, with the words for it.
_INTERNAL = {
    f"{GKE}load-balancer-type": ("internal",),
    f"{_GOOGLE}load-balancer-type": ("internal",),
    f"{AZURE}internal": ("true",),
    _SCHEME: ("internal",),
    _OLD_AWS: ("true", "0.0.0.0/0"),
}
_RANGES = (f"{_NOTE}load-balancer-source-ranges", f"{_NOTE}azure-allowed-ip-ranges")


class _Reach(IntEnum):
    """From where a load balancer can be reached; without an annotation that is the cloud's choice, on most of them the internet."""

    INTERNAL = 0
    UNSET = 1
    PUBLIC = 2


def service(key: ObjectKey, sides: Sides, concerned: Concerned) -> Iterator[Consequence]:
    """What a Service that stays means when it changes."""
    yield from _exposure(key, sides)
    yield from _sources(key, sides)
    if told := ", ".join(f"{path} {from_to(before, after)}" for path, before, after in _addressing(sides)):
        hosts = concerned.hosts.get(key, ())
        behind = f"; hosts behind it: {first(hosts, NAMED)}" if hosts else _unknown(concerned)
        what = f"{key} loses its external address" if _loses(sides) else f"the address of {key} may change"
        yield Consequence(Concern.ADDRESS, f"{what}{now(sides.before)}: {told}{behind}")


def changes_address(sides: Sides) -> bool:
    """Whether the address of a Service may change; not of one that the API server refuses."""
    try:
        return any(_addressing(sides))
    except MalformedError:
        return False


def kind_of(live: Manifest) -> str:
    """The type of a Service."""
    return text(at(live, "spec", "type")) or "ClusterIP"


def now(live: Manifest) -> str:
    """The addresses that a Service has, in parentheses."""
    entries = rows(at(live, "status", "loadBalancer", "ingress"))
    found = [plain(entry.get("ip") or entry.get("hostname")) for entry in entries if isinstance(entry, dict)]
    return f" (now {', '.join(found)})" if found else ""


def _loses(sides: Sides) -> bool:
    """Whether the cloud takes the load balancer away, and its address with it."""
    return _is_balanced(sides.before) and not _is_balanced(sides.after)


def _addressing(sides: Sides) -> Iterator[tuple[str, Any, Any]]:
    """Whatever an address is made by that changes: where, before and after."""
    old, new = (table(at(one, "spec")) for one in sides)
    for name in _FIELDS:
        before, after = old.get(name) or None, new.get(name) or None
        if name == "type":
            before, after = kind_of(sides.before), kind_of(sides.after)
        if before != after:
            yield f"spec.{name}", before, after
    if not any(_is_balanced(one) for one in sides):
        return
    reaches = _reach(sides.before) != _reach(sides.after)
    notes, others = _annotations(sides.before), _annotations(sides.after)
    for name in (*_ANNOTATIONS, *(_INTERNAL if reaches else ())):
        before, after = notes.get(name) or None, others.get(name) or None
        if before != after:
            yield f"metadata.annotations.{name}", before, after


def _exposure(key: ObjectKey, sides: Sides) -> Iterator[Consequence]:
    if not _is_balanced(sides.after):
        return
    if not _is_balanced(sides.before):
        if _reach(sides.after) > _Reach.INTERNAL:
            yield Consequence(Concern.WEAKER, f"{key} gets a load balancer that may be public: nothing makes it internal")
        return
    before, after = _reach(sides.before), _reach(sides.after)
    notes, others = _annotations(sides.before), _annotations(sides.after)
    noted = [(name, notes.get(name), others.get(name)) for name in _INTERNAL]
    told = ", ".join(f"{name} {from_to(old, new)}" for name, old, new in noted if old != new)
    if after is _Reach.INTERNAL and before is not after:
        yield Consequence(Concern.STRONGER, f"{key} becomes internal: {told}")
    elif after > before:
        # Without an annotation it depends on AWS' controller.
        unsure = any(name in {_SCHEME, _OLD_AWS} for name, old, new in noted if old != new) and _Reach.UNSET in {before, after}
        yield Consequence(Concern.WEAKER, f"{key} {'may become' if unsure else 'becomes'} public: {told}")


def _sources(key: ObjectKey, sides: Sides) -> Iterator[Consequence]:
    if not all(_is_balanced(one) for one in sides):
        return
    before, after = (_listed(one) for one in sides)
    told = f"loadBalancerSourceRanges {from_to(', '.join(before) or None, ', '.join(after) or None)}"
    try:
        old, new = (_allowed(one, listed) for one, listed in zip(sides, (before, after), strict=True))
    except ValueError:
        if before != after:
            yield Consequence(Concern.ACCESS, f"other addresses may reach {key}: {told}")
        return
    if not is_within(new, old):
        all_of_them = any(one.prefixlen == 0 for one in new)
        yield Consequence(Concern.WEAKER, f"{'all' if all_of_them else 'more'} addresses may reach {key}: {told}")
    if not is_within(old, new):
        yield Consequence(Concern.STRONGER, f"some addresses may no longer reach {key}: {told}")


def _allowed(manifest: Manifest, listed: tuple[str, ...]) -> tuple[Network, ...]:
    """From where clients may come, of the families that the Service has; nothing listed is everywhere."""
    families = rows(at(manifest, "spec", "ipFamilies")) or ["IPv4"]
    return tuple(one for one in networks(listed or EVERYWHERE) if f"IPv{one.version}" in families)


def _listed(manifest: Manifest) -> tuple[str, ...]:
    """The field counts, and the annotations only without it."""
    if ranges := rows(at(manifest, "spec", "loadBalancerSourceRanges")):
        return tuple(map(str, ranges))
    notes = _annotations(manifest)
    return tuple(one.strip() for name in _RANGES for one in notes.get(name, "").split(",") if one.strip())


def _reach(manifest: Manifest) -> _Reach:
    notes = _annotations(manifest)
    if any(notes.get(name, "").strip().lower() in words for name, words in _INTERNAL.items()):
        return _Reach.INTERNAL
    return _Reach.PUBLIC if notes.get(_SCHEME) == "internet-facing" else _Reach.UNSET


def _annotations(manifest: Manifest) -> dict[str, str]:
    return {name: str(value) for name, value in table(at(manifest, "metadata", "annotations")).items()}


def _is_balanced(manifest: Manifest) -> bool:
    return kind_of(manifest) == _BALANCED


def _unknown(concerned: Concerned) -> str:
    return f"; cannot tell whom that concerns: {concerned.unknown[0]}" if concerned.unknown else ""
