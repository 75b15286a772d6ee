"""The endpoints of a GKE cluster's API server, and the choice among them."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from meshinstall.errors import ClusterError, UsageError
from meshinstall.model.cluster import Endpoint, EndpointKind

Json = Mapping[str, Any]

# An address or a name; nothing that could turn an https URL into another.
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_MEMBERSHIP = re.compile(r"//gkehub\.[a-z.-]+/(projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/memberships/[a-z0-9-]+)")
# Why an endpoint is missing, and the command that enables it.
_CLOSED = {
    EndpointKind.DNS: (
        "its DNS endpoint accepts no traffic from outside Google Cloud",
        "gcloud container clusters update {name} --location={location} --project={project} --enable-dns-access",
    ),
    EndpointKind.PUBLIC: (
        "it has no public address",
        "gcloud container clusters update {name} --location={location} --project={project} --enable-ip-access --no-enable-private-endpoint",
    ),
    EndpointKind.PRIVATE: ("it has no private address", "leave --endpoint out"),
    EndpointKind.CONNECT_GATEWAY: (
        "it is not in a fleet",
        "gcloud container clusters update {name} --location={location} --project={project} --enable-fleet",
    ),
}


def ways(cluster: Json) -> dict[EndpointKind, str]:
    """The hosts of the API server, the preferred one first; for the Connect Gateway the name of the membership.

    The order: DNS (no network between, IAM in front), public address, private address, Connect Gateway.
    """
    control = _map(cluster, "controlPlaneEndpointsConfig")
    dns, ip = _map(control, "dnsEndpointConfig"), _map(control, "ipEndpointsConfig")
    private = _map(cluster, "privateClusterConfig")
    found = {}
    if dns.get("allowExternalTraffic") is True:
        found[EndpointKind.DNS] = dns.get("endpoint")
    if ip.get("enabled") is not False:
        if not private.get("enablePrivateEndpoint") and ip.get("enablePublicEndpoint", True):
            found[EndpointKind.PUBLIC] = ip.get("publicEndpoint") or private.get("publicEndpoint") or cluster.get("endpoint")
        found[EndpointKind.PRIVATE] = ip.get("privateEndpoint") or private.get("privateEndpoint")
    if match := _MEMBERSHIP.fullmatch(str(_map(cluster, "fleet").get("membership", ""))):
        found[EndpointKind.CONNECT_GATEWAY] = match[1]
    return {kind: str(host) for kind, host in found.items() if host}


def gateway_service(membership: str) -> str:
    """The Connect Gateway of a membership's location (cloud.google.com: Connect Gateway, Python sample); without googleapis.com."""
    location = membership.split("/")[3]
    return "connectgateway" if location == "global" else f"{location}-connectgateway"


def choose(cluster: Json, wanted: str, project: str) -> tuple[EndpointKind, str] | None:
    """The endpoint ``wanted`` or the preferred one; None while there is none. Raises UsageError for a missing endpoint."""
    found = ways(cluster)
    if not wanted:
        return next(iter(found.items()), None)
    if wanted not in tuple(EndpointKind):
        raise UsageError(f"--endpoint {wanted!r} is not valid", f"use one of {', '.join(EndpointKind)}")
    kind = EndpointKind(wanted)
    if kind not in found:
        why, fix = _CLOSED[kind]
        name, location = cluster.get("name", ""), cluster.get("location", "")
        raise UsageError(
            f"cluster {name} cannot be reached by its {kind} endpoint: {why}", fix.format(name=name, location=location, project=project)
        )
    return kind, found[kind]


def endpoint(cluster: Json, kind: EndpointKind, host: str) -> Endpoint:
    """An address of the cluster as an Endpoint; raises ClusterError for an invalid address or certificate."""
    if not _HOST.fullmatch(host):
        raise ClusterError(
            f"Google's {kind} endpoint of the cluster is not a valid address", "check that no proxy answers in Google's place"
        )
    # The DNS endpoint shows a certificate that the public authorities vouch for.
    return Endpoint(f"https://{host}", None if kind is EndpointKind.DNS else _authority(cluster), kind)


def _authority(cluster: Json) -> bytes:
    text = _map(cluster, "masterAuth").get("clusterCaCertificate", "")
    try:
        pem = base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        pem = b""
    if not pem.startswith(b"-----BEGIN CERTIFICATE-----"):
        raise ClusterError(
            "Google returned no certificate authority for the cluster's API server", "check that no proxy answers in Google's place"
        )
    return pem


def _map(of: Json, key: str) -> Json:
    found = of.get(key)
    return found if isinstance(found, Mapping) else {}
