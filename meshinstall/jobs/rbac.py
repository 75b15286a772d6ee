"""The rights of a job's account: what a run asks for, by the API server's own log, and what else it has, with the reason."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from meshinstall.jobs.terms import NAME
from meshinstall.model.istio import ROOT_CERTIFICATE
from meshinstall.model.release import Manifest

_RBAC = "rbac.authorization.k8s.io"


class Where(StrEnum):
    """Where a right holds: in the cluster, in each namespace of the mesh, or in each namespace whose workloads are restarted."""

    CLUSTER = "cluster"
    MESH = "mesh"
    WORKLOADS = "workloads"


@dataclass(frozen=True, slots=True)
class Grant:
    """Verbs on a resource: ``used`` were seen in the log, ``spare`` were not, and ``why`` says what they are for.

    With ``names`` it holds for objects of these names alone.
    """

    where: Where
    group: str
    resource: str
    used: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()
    why: str = ""
    names: tuple[str, ...] = ()

    @property
    def verbs(self) -> list[str]:
        """All of them, in order."""
        return sorted({*self.used, *self.spare})


_MADE = "server-side apply makes what is not there yet, which the log has as `patch`"
_HELM = f"{_MADE}; helm deletes what a newer chart no longer has"
_CRD = "where its CRD is there"
_SAME = "a night ends with a plan, which compares policies with the files"
# A dry run needs the right to write.
_DEFAULTS = f"{_SAME}, by a dry run where the API server itself adds fields; {_CRD}"
_ROOTS = (ROOT_CERTIFICATE,)
_ADMISSION, _NETWORKING, _SECURITY = "admissionregistration.k8s.io", "networking.istio.io", "security.istio.io"
_GATEWAY_API, _AUTOSCALING = "gateway.networking.k8s.io", "autoscaling"
_LISTED: Mapping[str, tuple[str, ...]] = {
    "apps": ("daemonsets", "deployments", "statefulsets"),
    "discovery.k8s.io": ("endpointslices",),
    "extensions.istio.io": ("trafficextensions", "wasmplugins"),
}
# Those that files of policies may describe.
_COMPARED: Mapping[str, tuple[str, ...]] = {
    _NETWORKING: (
        "destinationrules",
        "gateways",
        "proxyconfigs",
        "serviceentries",
        "virtualservices",
        "workloadentries",
        "workloadgroups",
    ),
    _SECURITY: ("authorizationpolicies", "peerauthentications", "requestauthentications"),
    "telemetry.istio.io": ("telemetries",),
}

_OTHER_ROUTES = ("backendtlspolicies", "gateways", "grpcroutes", "referencegrants", "tcproutes", "tlsroutes", "udproutes")

GRANTS: tuple[Grant, ...] = (
    Grant(Where.CLUSTER, "", "namespaces", used=("create", "delete", "get", "list", "patch")),
    Grant(Where.CLUSTER, "", "nodes", used=("list",)),
    # Probes have a namespace with a new name each time, and RBAC has no patterns.
    Grant(Where.CLUSTER, "", "pods", used=("create", "delete", "get", "list")),
    Grant(
        Where.CLUSTER,
        "",
        "pods/portforward",
        used=("get",),
        spare=("create",),
        why="newer API servers ask for `create` where a connection by WebSocket is opened, which the log has as `get`",
    ),
    Grant(Where.CLUSTER, "", "serviceaccounts", used=("create",)),
    Grant(Where.CLUSTER, "", "services", used=("list",)),
    Grant(Where.CLUSTER, "", "configmaps", used=("get", "list"), names=_ROOTS),
    Grant(Where.CLUSTER, "policy", "poddisruptionbudgets", used=("list",)),
    *(Grant(Where.CLUSTER, group, resource, used=("list",)) for group, names in _LISTED.items() for resource in names),
    *(
        Grant(Where.CLUSTER, group, resource, used=("list",), spare=("get",), why=_SAME)
        for group, names in _COMPARED.items()
        for resource in names
    ),
    Grant(Where.CLUSTER, _NETWORKING, "envoyfilters", used=("create", "list"), spare=("get",), why=_SAME),
    Grant(Where.CLUSTER, _NETWORKING, "sidecars", used=("create", "list"), spare=("get",), why=_SAME),
    Grant(Where.CLUSTER, _GATEWAY_API, "httproutes", used=("list",), spare=("get", "patch"), why=_DEFAULTS),
    *(Grant(Where.CLUSTER, _GATEWAY_API, resource, spare=("get", "list", "patch"), why=_DEFAULTS) for resource in _OTHER_ROUTES),
    Grant(Where.CLUSTER, "networking.k8s.io", "ingressclasses", spare=("list",), why="load balancers of EKS (EKS018)"),
    Grant(Where.CLUSTER, "apiregistration.k8s.io", "apiservices", spare=("list",), why="asked where a port fails in `verify`, for its fix"),
    Grant(Where.CLUSTER, "apiextensions.k8s.io", "customresourcedefinitions", used=("get", "list", "patch"), spare=("create",), why=_MADE),
    Grant(
        Where.CLUSTER, _ADMISSION, "mutatingwebhookconfigurations", used=("delete", "get", "list", "patch"), spare=("create",), why=_MADE
    ),
    Grant(
        Where.CLUSTER, _ADMISSION, "validatingwebhookconfigurations", used=("delete", "get", "list", "patch"), spare=("create",), why=_MADE
    ),
    Grant(
        Where.CLUSTER,
        _RBAC,
        "clusterroles",
        used=("delete", "get", "list", "patch"),
        spare=("bind", "create", "escalate"),
        why=f"{_MADE}; `escalate` and `bind` are asked by the API server itself, when the rights of istiod are written",
    ),
    Grant(Where.CLUSTER, _RBAC, "clusterrolebindings", used=("delete", "get", "list", "patch"), spare=("create",), why=_MADE),
    Grant(Where.MESH, "", "configmaps", used=("delete", "get", "list", "patch"), spare=("create",), why=_MADE),
    Grant(
        Where.MESH,
        "",
        "secrets",
        used=("create", "delete", "get", "list", "update"),
        spare=("patch",),
        why="helm repairs a record that an interrupted run left; the keys of the mesh are beside them",
    ),
    Grant(Where.MESH, "", "serviceaccounts", used=("delete", "get", "list", "patch"), spare=("create",), why=_MADE),
    Grant(Where.MESH, "", "services", used=("delete", "get", "list", "patch"), spare=("create",), why=_MADE),
    Grant(Where.MESH, "", "pods", used=("patch",)),
    Grant(Where.MESH, "", "events", spare=("list",), why="why pods of a DaemonSet or a ReplicaSet are refused"),
    Grant(Where.MESH, "apps", "deployments", used=("create", "delete", "get", "list", "patch")),
    Grant(
        Where.MESH,
        "apps",
        "deployments/scale",
        spare=("patch",),
        why="replicas that somebody changed are put back; without it the Deployment itself is patched",
    ),
    Grant(Where.MESH, "apps", "daemonsets", spare=("create", "delete", "get", "list", "patch"), why="node agents of an ambient mesh"),
    Grant(Where.MESH, "apps", "replicasets", used=("list",)),
    Grant(Where.MESH, _AUTOSCALING, "horizontalpodautoscalers", used=("delete", "get", "list", "patch"), spare=("create",), why=_MADE),
    Grant(Where.MESH, "policy", "poddisruptionbudgets", used=("get", "list", "patch"), spare=("create", "delete"), why=_HELM),
    Grant(
        Where.MESH,
        _RBAC,
        "roles",
        used=("delete", "get", "list", "patch"),
        spare=("bind", "create", "escalate"),
        why=f"{_MADE}; `escalate` and `bind` as for clusterroles",
    ),
    Grant(Where.MESH, _RBAC, "rolebindings", used=("delete", "get", "list", "patch"), spare=("create",), why=_MADE),
    Grant(Where.MESH, "coordination.k8s.io", "leases", used=("create", "delete", "get", "list", "patch")),
    Grant(Where.MESH, _NETWORKING, "gateways", used=("create",)),
    Grant(Where.MESH, _SECURITY, "peerauthentications", used=("get", "patch"), spare=("create",), why=_MADE),
    *(
        Grant(
            Where.WORKLOADS, "apps", kind, spare=("get", "patch"), why="a restart: of the tag `canary`, and of workloads that have a wave"
        )
        for kind in ("daemonsets", "deployments", "statefulsets")
    ),
    Grant(Where.WORKLOADS, "apps", "replicasets", spare=("list",), why="why a restarted workload is not ready"),
    Grant(Where.WORKLOADS, "", "events", spare=("list",), why="why a restarted workload is not ready"),
    Grant(Where.WORKLOADS, "apps", "controllerrevisions", spare=("list",), why="whether the restart of a workload in a wave was reverted"),
    Grant(Where.WORKLOADS, "", "pods/eviction", spare=("create",), why="workloads in a wave that no restart rolls, such as OnDelete"),
)


def rights(subject: Mapping[str, str], mesh: Iterable[str], workloads: Iterable[str]) -> Iterator[Manifest]:
    """Roles and their bindings for a subject of RBAC."""
    yield from _pair("ClusterRole", {"name": NAME}, Where.CLUSTER, subject)
    for namespace in sorted(set(mesh)):
        yield from _pair("Role", {"name": NAME, "namespace": namespace}, Where.MESH, subject)
    for namespace in sorted(set(workloads)):
        yield from _pair("Role", {"name": f"{NAME}-workloads", "namespace": namespace}, Where.WORKLOADS, subject)


def _pair(kind: str, metadata: Mapping[str, str], where: Where, subject: Mapping[str, str]) -> Iterator[Manifest]:
    version, about = f"{_RBAC}/v1", {**metadata, "labels": {"app.kubernetes.io/name": NAME}}
    yield {"apiVersion": version, "kind": kind, "metadata": about, "rules": list(_rules(where))}
    role = {"apiGroup": _RBAC, "kind": kind, "name": metadata["name"]}
    yield {"apiVersion": version, "kind": f"{kind}Binding", "metadata": about, "roleRef": role, "subjects": [dict(subject)]}


def _rules(where: Where) -> Iterator[dict[str, list[str]]]:
    """One rule for resources of a group that have the same verbs and names."""
    found: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for grant in GRANTS:
        if grant.where is where:
            found.setdefault((grant.group, tuple(grant.verbs), grant.names), []).append(grant.resource)
    for (group, verbs, names), resources in found.items():
        named = {"resourceNames": list(names)} if names else {}
        yield {"apiGroups": [group], "resources": sorted(resources), **named, "verbs": list(verbs)}
