"""Lists objects of kinds that are CRDs: in the newest version that the cluster serves, as a list in an unknown version would look empty."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from meshinstall.engine.mesh.reader import Asker, Wanted
from meshinstall.engine.objects.json_fields import at, rows, text
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest

_Fact = TypeVar("_Fact")


class Kind(NamedTuple):
    """A kind, of which several are ``many``; the newest of ``versions`` first, which an older Istio does not serve."""

    many: str
    plural: str
    group: str
    versions: tuple[str, ...]


_NETWORKING, _ALL = "networking.istio.io", ("v1", "v1beta1", "v1alpha3")
PEER_AUTHENTICATIONS = Kind("PeerAuthentications", "peerauthentications", "security.istio.io", ("v1", "v1beta1"))
AUTHORIZATION_POLICIES = Kind("AuthorizationPolicies", "authorizationpolicies", "security.istio.io", ("v1", "v1beta1"))
GATEWAYS = Kind("Gateways", "gateways", _NETWORKING, _ALL)
DESTINATION_RULES = Kind("DestinationRules", "destinationrules", _NETWORKING, _ALL)
SERVICE_ENTRIES = Kind("ServiceEntries", "serviceentries", _NETWORKING, _ALL)
WORKLOAD_ENTRIES = Kind("WorkloadEntries", "workloadentries", _NETWORKING, _ALL)
VIRTUAL_SERVICES = Kind("VirtualServices", "virtualservices", _NETWORKING, _ALL)
SIDECARS = Kind("Sidecars", "sidecars", _NETWORKING, _ALL)
ENVOY_FILTERS = Kind("EnvoyFilters", "envoyfilters", _NETWORKING, ("v1alpha3",))
BACKEND_TLS_POLICIES = Kind("BackendTLSPolicies", "backendtlspolicies", "gateway.networking.k8s.io", ("v1", "v1alpha3"))


async def istio_facts(asker: Asker, kind: Kind, read: Callable[[Manifest], _Fact | None], *, optional: bool = False) -> list[_Fact]:
    """What ``read`` makes of each object; a kind that the cluster does not know is a gap unless it is ``optional``."""
    for version in kind.versions:
        api = f"{kind.group}/{version}"
        if kind.plural in (await asker.one(f"API {api}", f"/apis/{api}", _resources) or ()):
            return await asker.facts(Wanted(kind.many, object_path(api, kind.plural)), read)
    if not optional:
        asker.miss(kind.many, "could not be listed: the cluster does not know the kind")
    return []


def _resources(answer: Manifest) -> frozenset[str]:
    return frozenset(text(at(one, "name")) for one in rows(at(answer, "resources")))
