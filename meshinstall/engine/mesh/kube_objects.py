"""Turns Kubernetes' objects into facts of a mesh; pure. An object that does not have the shape of the API raises ValueError."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

from meshinstall.engine.mesh import discovery, proxy_config
from meshinstall.engine.objects.json_fields import MalformedError, at, flag, number, rows, table, text, texts
from meshinstall.model.istio import DEFAULT_DOMAIN, DEFAULT_ROOT_NAMESPACE, ENVOY_ADMIN_PORT, ISTIOD_CONTAINER, image_tag
from meshinstall.model.labels import REVISION
from meshinstall.model.mesh import ClientRule, ControlPlane, ExternalService, Labelled, Mode, NamespaceFacts, PeerPolicy, Place, Port
from meshinstall.model.release import Manifest
from meshinstall.model.selectors import LabelSelector
from meshinstall.model.yaml_text import load

# The version in an image's tag, without what says how the image was made.
_VERSION = re.compile(r"\d+\.\d+\.\d+(-(alpha|beta|rc)\.\d+)?")


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """What of an istiod's mesh configuration decides mTLS; ``authorities`` are roots that it names beside its own, in PEM.

    ``admin_port`` is where its proxies' Envoys answer. ``discovery`` are its discoverySelectors, None where ``problem`` says why not.
    """

    root_namespace: str = DEFAULT_ROOT_NAMESPACE
    trust_domain: str = DEFAULT_DOMAIN
    trust_domain_aliases: tuple[str, ...] = ()
    auto_mtls: bool = True
    authorities: tuple[str, ...] = ()
    admin_port: int = ENVOY_ADMIN_PORT
    discovery: tuple[LabelSelector, ...] | None = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Istiod:
    """A Deployment of istiod; ``settings`` is the ConfigMap that holds its mesh configuration, ``ready`` whether any pod is.

    ``shared`` is a ConfigMap whose mesh configuration counts where the other is silent, empty without one. ``scoped``: it is sure to
    go by discoverySelectors for Istio's own objects.
    """

    place: Place
    revision: str
    version: str
    settings: str
    domain: str
    ready: bool
    shared: str = ""
    scoped: bool = True


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a Service; ``target`` is the number or the name of the pods' port."""

    number: int
    target: int | str
    protocol: str = "TCP"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A Service before the names of its targets are known; a headless one has no ``addresses``."""

    place: Place
    type: str = "ClusterIP"
    selector: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[ServicePort, ...] = ()
    addresses: tuple[str, ...] = ()


def place(item: Manifest) -> Place:
    """Where an object stands."""
    return Place(text(at(item, "metadata", "namespace")), text(at(item, "metadata", "name")))


def labels(item: Manifest) -> dict[str, str]:
    """The labels of an object."""
    return texts(at(item, "metadata", "labels"))


def created(item: Manifest) -> datetime:
    """When an object was made."""
    stamp = datetime.fromisoformat(text(at(item, "metadata", "creationTimestamp")))
    return stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)


def namespace(item: Manifest) -> NamespaceFacts:
    """A Namespace; its roots stand elsewhere."""
    return NamespaceFacts(place(item).name, labels(item), ending=bool(at(item, "metadata", "deletionTimestamp")))


def peer_policy(item: Manifest) -> PeerPolicy:
    """A PeerAuthentication (istio/api: security/v1beta1/peer_authentication.proto)."""
    spec = at(item, "spec")
    return PeerPolicy(
        place=place(item),
        created=created(item),
        mode=_mode(at(spec, "mtls")),
        selector=texts(at(spec, "selector", "matchLabels")),
        ports={int(port): _mode(mtls) for port, mtls in table(at(spec, "portLevelMtls")).items()},
        revision=_revision(item),
    )


def _revision(item: Manifest) -> str | None:
    return labels(item).get(REVISION)


def labelled(item: Manifest, kind: str) -> Labelled | None:
    """An object of a kind whose label names a revision."""
    revision = _revision(item)
    return None if revision is None else Labelled(kind, place(item), revision)


def _mode(mtls: Any) -> Mode:
    return Mode(text(at(mtls, "mode")) or Mode.UNSET)


def client_rule(item: Manifest) -> ClientRule:
    """A DestinationRule (istio/api: networking/v1alpha3/destination_rule.proto)."""
    spec = at(item, "spec")
    mode, ports = _tls(at(spec, "trafficPolicy"))
    return ClientRule(
        place=place(item),
        host=text(at(spec, "host")),
        created=created(item),
        mode=mode,
        ports=ports,
        subsets={text(at(subset, "name")): _tls(at(subset, "trafficPolicy")) for subset in rows(at(spec, "subsets"))},
        export_to=tuple(text(one) for one in rows(at(spec, "exportTo"))),
        selector=texts(at(spec, "workloadSelector", "matchLabels")),
        has_policy=at(spec, "trafficPolicy") is not None,
        revision=_revision(item),
    )


def _tls(policy: Any) -> tuple[str, dict[int, str]]:
    """The mode, and that of each port with settings of its own: those inherit nothing, and of two for one port the first counts."""
    ports: dict[int, str] = {}
    for one in rows(at(policy, "portLevelSettings")):
        ports.setdefault(number(at(one, "port", "number")), _client_mode(at(one, "tls")))
    return _client_mode(at(policy, "tls")), ports


def _client_mode(tls: Any) -> str:
    """Empty without TLS settings; in those the first mode of the API's list is the one that need not be said."""
    return "" if tls is None else text(at(tls, "mode")) or "DISABLE"


def external_service(item: Manifest) -> ExternalService | None:
    """A ServiceEntry, None when it adds to the mesh; external is the default (istio/api: networking/v1alpha3/service_entry.proto)."""
    spec = at(item, "spec")
    if text(at(spec, "location")) == "MESH_INTERNAL":
        return None
    hosts = tuple(text(host) for host in rows(at(spec, "hosts")))
    return ExternalService(place(item), hosts, tuple(_external_port(port) for port in rows(at(spec, "ports"))), _revision(item))


def _external_port(port: Any) -> Port:
    return Port(number(at(port, "number")), text(at(port, "name")), text(at(port, "protocol")) or "TCP")


def service(item: Manifest) -> Service:
    """A Service; one that only names a host outside selects nothing."""
    spec = at(item, "spec")
    kind = text(at(spec, "type")) or "ClusterIP"
    selector = {} if kind == "ExternalName" else texts(at(spec, "selector"))
    named = [text(one) for one in rows(at(spec, "clusterIPs"))] or [text(at(spec, "clusterIP"))]
    addresses = tuple(one for one in named if one not in {"", "None"})
    return Service(place(item), kind, selector, tuple(_service_port(port) for port in rows(at(spec, "ports"))), addresses)


def _service_port(port: Any) -> ServicePort:
    own, target = number(at(port, "port")), at(port, "targetPort")
    return ServicePort(
        own, target if isinstance(target, str) else number(target) or own, text(at(port, "protocol")) or "TCP", text(at(port, "name"))
    )


class Slice(NamedTuple):
    """Endpoints of a Service: addresses, and ports by their names; who writes it need not be Kubernetes."""

    service: Place
    addresses: tuple[str, ...]
    ports: Mapping[str, int]


def endpoint_slice(item: Manifest) -> Slice | None:
    """An EndpointSlice (kubernetes: api/discovery/v1), None when it is of no Service."""
    name = labels(item).get("kubernetes.io/service-name")
    if not name:
        return None
    addresses = tuple(text(one) for end in rows(at(item, "endpoints")) for one in rows(at(end, "addresses")))
    ports = {text(at(one, "name")): number(at(one, "port")) for one in rows(at(item, "ports")) if at(one, "protocol") in {None, "", "TCP"}}
    return Slice(Place(place(item).namespace, name), addresses, ports)


def istiod(deployment: Manifest) -> Istiod | None:
    """A Deployment of istiod, None when it runs something else; without a revision it is the one that is called default."""
    containers = rows(at(deployment, "spec", "template", "spec", "containers"))
    container = next((one for one in containers if at(one, "name") == ISTIOD_CONTAINER), None)
    if container is None:
        # Anybody may call an application so.
        return None
    revision = labels(deployment).get(REVISION) or "default"
    # istio: pilot/pkg/bootstrap/configcontroller.go.
    settings = "istio" if revision == "default" else f"istio-{revision}"
    args = [text(one) for one in rows(at(container, "args"))]
    env = {text(at(one, "name")): text(at(one, "value")) for one in rows(at(container, "env"))}
    # The image's tag tells what runs, the label what was installed.
    tag = _VERSION.match(image_tag(text(at(container, "image"))))
    version = tag[0] if tag else labels(deployment).get("app.kubernetes.io/version", "")
    return Istiod(
        place=place(deployment),
        revision=revision,
        version=version,
        settings=settings,
        domain=dict(pairwise(args)).get("--domain") or DEFAULT_DOMAIN,
        ready=bool(number(at(deployment, "status", "readyReplicas"))),
        shared=env.get("SHARED_MESH_CONFIG", ""),
        scoped=discovery.is_scoped(version, env),
    )


def control_plane(istiod: Istiod, settings: MeshSettings) -> ControlPlane:
    """An istiod with what it was told."""
    return ControlPlane(
        place=istiod.place,
        revision=istiod.revision,
        version=istiod.version,
        root_namespace=settings.root_namespace,
        trust_domain=settings.trust_domain,
        trust_domain_aliases=settings.trust_domain_aliases,
        auto_mtls=settings.auto_mtls,
        domain=istiod.domain,
        discovery=settings.discovery,
    )


def mesh_settings(config_map: Manifest, shared: Manifest | None = None) -> MeshSettings:
    """The mesh configuration in an istiod's ConfigMap, which takes both spellings of a field, over that of ``shared``.

    Each field of the first replaces the other's; aliases add up (istio: pilot/pkg/bootstrap/mesh.go, ApplyMeshConfig in pkg/config/mesh).
    """
    documents = [_yaml(text(at(one, "data", "mesh"))) for one in (config_map, shared)]

    def each(name: str) -> list[Any]:
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
        return [document.get(name, document.get(snake)) for document in documents]

    def get(name: str) -> Any:
        return next((value for value in each(name) if value is not None), None)

    try:
        watched, problem = discovery.selectors(get("discoverySelectors")), ""
    except MalformedError as error:
        watched, problem = None, str(error)
    auto = get("enableAutoMtls")
    return MeshSettings(
        root_namespace=text(get("rootNamespace")) or DEFAULT_ROOT_NAMESPACE,
        trust_domain=text(get("trustDomain")) or DEFAULT_DOMAIN,
        trust_domain_aliases=tuple(dict.fromkeys(text(one) for given in each("trustDomainAliases") for one in rows(given))),
        auto_mtls=True if auto is None else flag(auto),
        authorities=tuple(filter(None, (text(at(one, "pem")) for one in rows(get("caCertificates"))))),
        admin_port=proxy_config.port(get("defaultConfig")) or ENVOY_ADMIN_PORT,
        discovery=watched,
        problem=problem,
    )


def checked_settings(config_map: Manifest) -> Manifest:
    """The same ConfigMap when its mesh configuration can be parsed."""
    mesh_settings(config_map)
    return config_map


def _yaml(document: str) -> Mapping[str, Any]:
    try:
        return table(load(document, aliases=False))
    except MalformedError:
        raise
    except ValueError as error:
        raise MalformedError(str(error)) from error
