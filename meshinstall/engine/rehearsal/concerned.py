"""Asks the cluster whom a changed address or trust domain concerns: hosts behind a gateway, objects that name a domain, proxies."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from meshinstall.engine.mesh.istio_kinds import AUTHORIZATION_POLICIES, DESTINATION_RULES, GATEWAYS, SERVICE_ENTRIES, istio_facts
from meshinstall.engine.mesh.kube_objects import place
from meshinstall.engine.mesh.reader import Asker, Wanted
from meshinstall.engine.objects.json_fields import at, rows, text
from meshinstall.engine.observe.users import users
from meshinstall.engine.rehearsal.meaning import both
from meshinstall.engine.rehearsal.mesh_meaning import given_up_domains
from meshinstall.engine.rehearsal.service_meaning import changes_address
from meshinstall.engine.rehearsal.sides import AllSides
from meshinstall.model.desired import Desired
from meshinstall.model.diff import Concerned, ObjectChange, Verb
from meshinstall.model.facts import Facts, ObjectKey
from meshinstall.model.foreign_text import plain
from meshinstall.model.istio import DEFAULT_DOMAIN
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

_Labels = Mapping[str, str]
# Objects with identities in them.
_NAMING = {"DestinationRule": DESTINATION_RULES, "ServiceEntry": SERVICE_ENTRIES, "AuthorizationPolicy": AUTHORIZATION_POLICIES}


async def ask_concerned(diff: Iterable[ObjectChange], facts: Facts, desired: Desired, kube: Kube, sides: AllSides) -> Concerned:
    """Ask only where such a change is planned; raises UnauthorizedError and UnreachableError alone."""
    changed = {change.key: both(change, facts, sides) for change in diff if change.verb is Verb.CHANGE}
    asker = Asker(kube)
    hosts = await _hosts([key for key, one in changed.items() if key.kind == "Service" and changes_address(one)], facts, asker)
    found = [given_up_domains(one) for key, one in changed.items() if key.kind == "ConfigMap"]
    domains = frozenset(domain for some in found for domain in some)
    if not domains:
        return Concerned(hosts, unknown=tuple(asker.gaps))
    pods = await users(kube, desired)
    naming = await _all_naming(domains, asker)
    return Concerned(hosts, tuple(sorted(naming)), pods.proxied if pods else {}, tuple(asker.gaps))


async def _all_naming(domains: frozenset[str], asker: Asker) -> list[str]:
    """Objects with an identity of one of the trust domains, by kind and name."""
    found: list[str] = []
    for name, kind in _NAMING.items():
        # In a policy the default one points to whatever the trust domain is (istio: pilot/pkg/security/trustdomain/bundle.go).
        wanted = domains - {DEFAULT_DOMAIN} if kind is AUTHORIZATION_POLICIES else domains
        if wanted:
            found += [f"{name} {one}" for one in await istio_facts(asker, kind, partial(_naming, domains=wanted))]
    return found


def _naming(item: Manifest, domains: frozenset[str]) -> str | None:
    """The object's name, if a text in it is an identity of one of the trust domains."""
    begins = tuple(text for domain in domains for text in (f"{domain}/", f"spiffe://{domain}/"))
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
