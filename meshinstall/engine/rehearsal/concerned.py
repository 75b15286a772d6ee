"""Asks the cluster whom a changed address or trust domain concerns: hosts behind a gateway, objects that name a domain, proxies."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from meshinstall.engine.mesh.istio_kinds import AUTHORIZATION_POLICIES, DESTINATION_RULES, GATEWAYS, istio_facts
from meshinstall.engine.mesh.kube_objects import place
from meshinstall.engine.mesh.reader import Asker, Wanted
from meshinstall.engine.objects.json_fields import at, rows, text
from meshinstall.engine.observe.users import users
from meshinstall.engine.rehearsal.meaning import changes_address, given_up_domain
from meshinstall.model.desired import Desired
from meshinstall.model.diff import Concerned, ObjectChange
from meshinstall.model.facts import Facts, ObjectKey
from meshinstall.model.foreign_text import plain
from meshinstall.model.istio import DEFAULT_DOMAIN
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

_Labels = Mapping[str, str]


async def ask_concerned(diff: Iterable[ObjectChange], facts: Facts, desired: Desired, kube: Kube) -> Concerned:
    """Ask only where such a change is planned; raises UnauthorizedError and UnreachableError alone."""
    changes = tuple(diff)
    asker = Asker(kube)
    hosts = await _hosts([change.key for change in changes if changes_address(change)], facts, asker)
    domain = given_up_domain(changes)
    if not domain:
        return Concerned(hosts, unknown=tuple(asker.gaps))
    found = await users(kube, desired)
    naming = [f"DestinationRule {one}" for one in await istio_facts(asker, DESTINATION_RULES, lambda item: _naming(item, domain))]
    # In a policy it points to whatever the trust domain is (istio: pilot/pkg/security/trustdomain/bundle.go).
    if domain != DEFAULT_DOMAIN:
        policies = await istio_facts(asker, AUTHORIZATION_POLICIES, lambda item: _naming(item, domain))
        naming += [f"AuthorizationPolicy {one}" for one in policies]
    return Concerned(hosts, tuple(sorted(naming)), found.proxied if found else {}, tuple(asker.gaps))


def _naming(item: Manifest, domain: str) -> str | None:
    """The object's name, if a text in it is an identity of a trust domain."""
    begins = (f"{domain}/", f"spiffe://{domain}/")
    return plain(place(item)) if any(one.startswith(begins) for one in _texts(item.get("spec"))) else None


def _texts(found: Any) -> Iterator[str]:
    waiting = [found]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


async def _hosts(services: Sequence[ObjectKey], facts: Facts, asker: Asker) -> dict[ObjectKey, tuple[str, ...]]:
    """What Gateways serve on the pods of each Service; a Gateway selects pods by their labels, in any namespace."""
    if not services:
        return {}
    gateways = await istio_facts(asker, GATEWAYS, lambda item: (_selector(at(item, "spec", "selector")), tuple(_served(item))))
    found = {}
    for key in services:
        selector = _selector(at(facts.live.get(key), "spec", "selector"))
        labels = ",".join(f"{name}={value}" for name, value in sorted(selector.items()))
        path = object_path("v1", "pods", key.namespace)
        pods = await asker.facts(Wanted("Pods", path, labels, slim=True), _labels) if labels else []
        served = [host for wanted, hosts in gateways for host in hosts if any(wanted.items() <= pod.items() for pod in pods)]
        found[key] = tuple(dict.fromkeys(served))
    return found


def _labels(pod: Manifest) -> _Labels:
    return _selector(at(pod, "metadata", "labels"))


def _selector(found: Any) -> _Labels:
    return {str(name): text(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _served(gateway: Manifest) -> Iterator[str]:
    """The hosts of its servers, without the namespace whose routes may use them."""
    for server in rows(at(gateway, "spec", "servers")):
        yield from (plain(text(host).rpartition("/")[2]) for host in rows(at(server, "hosts")))
