"""Reads the addresses of a gateway, which an upgrade leaves as they are."""

from collections.abc import Mapping

from meshinstall.engine.objects.json_fields import at, rows, text
from meshinstall.engine.session import Session
from meshinstall.model.gate import GateCheck, GateOutcome
from meshinstall.model.ownership import owner_of
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest, ReleaseKey

Addresses = Mapping[str, tuple[str, ...]]


async def read_addresses(session: Session, release: ReleaseKey) -> Addresses:
    """By the name of each Service of a release: its uid, its addresses in the cluster and outside of it, and its ports on nodes."""
    services = [item async for item in session.kube.list(object_path("v1", "services", release.namespace))]
    return {text(at(one, "metadata", "name")): _of(one) for one in services if owner_of(one["metadata"]) == release}


def _of(service: Manifest) -> tuple[str, ...]:
    outside = [text(at(one, "ip")) or text(at(one, "hostname")) for one in rows(at(service, "status", "loadBalancer", "ingress"))]
    inside = [text(one) for one in rows(at(service, "spec", "clusterIPs"))]
    ports = [f"{at(one, 'port')}:{at(one, 'nodePort')}" for one in rows(at(service, "spec", "ports"))]
    return (text(at(service, "metadata", "uid")), *inside, *outside, *ports)


def same_addresses(before: Addresses, now: Addresses) -> GateCheck:
    """Whether every Service is the one that it was, at the same addresses; what a cloud or a chart added meanwhile is no change."""
    changed = [_changed(name, was, now.get(name, ())) for name, was in before.items() if not set(was) <= set(now.get(name, ()))]
    if changed:
        return GateCheck("addresses", GateOutcome.FAIL, "a Service of the gateway is not at the addresses where it was", tuple(changed))
    return GateCheck("addresses", GateOutcome.PASS, "the gateway's Services are the same, at the same addresses")


def _changed(name: str, was: tuple[str, ...], now: tuple[str, ...]) -> str:
    is_another = " (it was deleted and made again)" if now and was[0] != now[0] else ""
    return f"Service {name}: {_told(was)} → {_told(now)}{is_another}"


def _told(address: tuple[str, ...]) -> str:
    return ", ".join(address[1:]) or "gone"
