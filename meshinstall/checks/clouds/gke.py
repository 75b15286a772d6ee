"""Preflight checks of a GKE cluster, before Istio is installed on it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from meshinstall.model.cluster import CloudCluster, EndpointKind
from meshinstall.model.desired import Desired, Release
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio import WEBHOOK_PORT
from meshinstall.model.release import Component, Manifest

# The network tag that GKE gives every node, and its own firewall rules name; istio.io has one of those extended.
_NODES = re.compile(r"gke-[a-z0-9-]+-node")
# Words of a fleet's service mesh feature for a control plane that Google runs (gkehub.v1 MembershipSpec.Mesh).
_MANAGED = frozenset({"MANAGEMENT_AUTOMATIC"})
_RUNNING = frozenset({"ACTIVE", "PROVISIONING", "DEGRADED"})
# How far nodes may be behind their control plane (kubernetes.io: version skew policy).
_SKEW = 3
_MINOR = re.compile(r"1\.(\d+)\.")
# Load balancers (Google: About LoadBalancer Services, LoadBalancer Service parameters): classes, annotations, and versions from which on
# there are classes, subsetting is always on, and a Service without a word gets a backend service.
_EXTERNAL, _INTERNAL = "networking.gke.io/l4-regional-external", "networking.gke.io/l4-regional-internal"
_BACKEND_SERVICE = "cloud.google.com/l4-rbs"
_TYPES = ("networking.gke.io/load-balancer-type", "cloud.google.com/load-balancer-type")
_CLASSES_FROM, _SUBSETTING_FROM, _BACKEND_SERVICE_FROM = (33, 1, 1779000), (36, 0, 0), (37, 0, 0)
_BUILD = re.compile(r"1\.(\d+)\.(\d+)(?:-gke\.(\d+))?")


def judge(cluster: CloudCluster, nodes: Sequence[Manifest], desired: Desired) -> tuple[Finding, ...]:
    """Judge what ``inspect`` found; an error stops a run. Without ``nodes`` the cluster may be out of reach."""
    return (
        *_status(cluster),
        *_conditions(cluster),
        *_pools(cluster),
        *_reach(cluster, nodes),
        *_webhook(cluster),
        *_autopilot(cluster, desired),
        *_windows(cluster, nodes),
        *_managed_mesh(cluster),
        *_versions(cluster),
        *_load_balancers(cluster, desired),
        *_unread(cluster),
    )


def _status(cluster: CloudCluster) -> Iterator[Finding]:
    said = str(cluster.details.get("statusMessage", ""))
    watch = f"gcloud container operations list {_where(cluster)}"
    if not cluster.ready:
        yield Finding(
            "GKE001", Severity.ERROR, f"the cluster is {cluster.status}", said, cluster.name, hint=f"list its operations: {watch}"
        )
    elif cluster.status != "RUNNING":
        title = f"the cluster is {cluster.status}: its API server or nodes may restart during the run"
        yield Finding("GKE002", Severity.WARNING, title, said, cluster.name, hint=f"wait until it is done: {watch}")


def _conditions(cluster: CloudCluster) -> Iterator[Finding]:
    for each in _maps(cluster.details.get("conditions")):
        code = str(each.get("canonicalCode") or each.get("code") or "UNKNOWN")
        hint = f"gcloud container clusters describe {cluster.name} {_where(cluster)} --format='yaml(conditions)'"
        yield Finding("GKE003", Severity.WARNING, f"GKE reports {code}", str(each.get("message", "")), cluster.name, hint=hint)


def _pools(cluster: CloudCluster) -> Iterator[Finding]:
    for pool in _maps(cluster.details.get("nodePools")):
        if (status := str(pool.get("status", "RUNNING"))) != "RUNNING":
            name = str(pool.get("name"))
            hint = f"gcloud container node-pools describe {name} --cluster={cluster.name} {_where(cluster)}"
            yield Finding(
                "GKE004",
                Severity.WARNING,
                f"node pool {name} is {status}",
                str(pool.get("statusMessage", "")),
                f"node pool {name}",
                hint=hint,
            )


def _reach(cluster: CloudCluster, nodes: Sequence[Manifest]) -> Iterator[Finding]:
    """Why an API server may not answer; when its nodes were read it did."""
    if nodes or cluster.endpoint is None:
        return
    update = f"gcloud container clusters update {cluster.name} {_where(cluster)}"
    match cluster.endpoint.kind:
        case EndpointKind.DNS:
            title = "the DNS endpoint requires the permission container.clusters.connect"
            hint = "give the caller container.clusters.connect (docs/clouds/gke/role.yaml has all permissions)"
        case EndpointKind.PUBLIC if allowed := _authorized(cluster):
            title = f"the public address accepts only authorised networks: {', '.join(allowed)}"
            hint = f"add this machine's address: {update} --enable-master-authorized-networks --master-authorized-networks=CIDR,..."
        case EndpointKind.PRIVATE:
            title = "the private address is reachable only from the cluster's network"
            hint = f"run from within that network or over its VPN; or open the DNS endpoint: {update} --enable-dns-access"
        case EndpointKind.CONNECT_GATEWAY:
            title = "the Connect Gateway requires its own permissions, and RBAC for the caller's e-mail address"
            hint = "give the caller roles/gkehub.gatewayAdmin and roles/gkehub.viewer in the fleet's project"
        case _:
            return
    yield Finding("GKE005", Severity.WARNING, title, object=cluster.name, hint=hint)


def _authorized(cluster: CloudCluster) -> list[str]:
    networks = cluster.details.get("masterAuthorizedNetworksConfig")
    if not isinstance(networks, Mapping) or not networks.get("enabled"):
        return []
    return [str(each.get("cidrBlock", "")) for each in _maps(networks.get("cidrBlocks"))] or ["none"]


def _webhook(cluster: CloudCluster) -> Iterator[Finding]:
    """Private nodes admit the control plane on 443 and 10250; istiod's webhook is on 15017 (istio.io: Platform setup, GKE)."""
    private = cluster.details.get("privateClusterConfig")
    private = private if isinstance(private, Mapping) else {}
    pools = _maps(cluster.details.get("nodePools"))
    if not (private.get("enablePrivateNodes") or any(pool.get("enablePrivateNodes") for pool in pools)):
        return
    source = str(private.get("masterIpv4CidrBlock", ""))
    if not source:
        title = f"NOT PROVEN: whether the control plane reaches istiod's webhook on private nodes, TCP {WEBHOOK_PORT}"
        detail = "this cluster's control plane has no address range that a firewall rule could name; up checks it after istiod has started"
        yield Finding("GKE006", Severity.WARNING, title, detail, cluster.name)
        return
    rules = cluster.details.get("firewall")
    if rules is None:
        # Said with the permission among what could not be read.
        return
    tags = [{str(tag) for tag in pool.get("tags") or ()} for pool in pools] or [set()]
    if not all(any(_admits(rule, source, own) for rule in _maps(rules)) for own in tags):
        title = f"no firewall rule lets the control plane ({source}) reach istiod's webhook on private nodes, TCP {WEBHOOK_PORT}"
        network = str((cluster.details.get("networkConfig") or {}).get("network", "")).rpartition("/")[2] or "NETWORK"
        targets = f" --target-tags={','.join(sorted(set().union(*tags)))}" if all(tags) else ""
        hint = (
            f"gcloud compute firewall-rules create {cluster.name}-istiod-webhook --project={_network_project(cluster)} --network={network}"
            f" --direction=INGRESS --source-ranges={source} --allow=tcp:{WEBHOOK_PORT}{targets}"
        )
        yield Finding(
            "GKE007", Severity.ERROR, title, "every pod that asks for a sidecar would wait and start without one, or not at all", hint=hint
        )


def _admits(rule: Mapping[str, Any], source: str, tags: set[str]) -> bool:
    """Whether a rule opens the webhook's port to all of ``source`` on a pool with ``tags``.

    A target that cannot be compared counts as one of the nodes', and so does the tag that GKE itself gives them: the API does not
    tell it, and ``source`` belongs to this cluster alone.
    """
    if rule.get("disabled") or rule.get("direction", "INGRESS") != "INGRESS":
        return False
    targets = {str(tag) for tag in rule.get("targetTags") or ()}
    if targets and tags and not targets & tags and not any(_NODES.fullmatch(target) for target in targets):
        return False
    return any(_covers(each, source) for each in rule.get("sourceRanges") or ()) and any(
        _opens(each) for each in _maps(rule.get("allowed"))
    )


def _covers(wide: object, narrow: str) -> bool:
    try:
        outer, inner = ip_network(str(wide)), ip_network(narrow)
    except ValueError:
        return False
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _opens(allowed: Mapping[str, Any]) -> bool:
    if str(allowed.get("IPProtocol")) not in {"tcp", "6", "all"}:
        return False
    ports = allowed.get("ports") or ["0-65535"]
    return any(_within(str(span)) for span in ports)


def _within(span: str) -> bool:
    low, _, high = span.partition("-")
    return low.isdecimal() and (high or low).isdecimal() and int(low) <= WEBHOOK_PORT <= int(high or low)


def _autopilot(cluster: CloudCluster, desired: Desired) -> Iterator[Finding]:
    autopilot = cluster.details.get("autopilot")
    if not isinstance(autopilot, Mapping) or not autopilot.get("enabled"):
        return
    if node := next((each for each in desired.releases if each.component in {Component.CNI, Component.ZTUNNEL}), None):
        title = f"Autopilot refuses {node.component}, which changes its node"
        hint = "use a profile without it (--profile default), or a Standard cluster"
        yield Finding("GKE008", Severity.ERROR, title, object=str(node.key), hint=hint)
        return
    policy = autopilot.get("workloadPolicyConfig")
    if not (isinstance(policy, Mapping) and policy.get("allowNetAdmin")):
        title = "Autopilot refuses NET_ADMIN, which the first container of every pod with a sidecar needs"
        hint = f"gcloud container clusters update {cluster.name} {_where(cluster)} --workload-policies=allow-net-admin"
        yield Finding("GKE009", Severity.ERROR, title, "no pod with a sidecar would start", cluster.name, hint=hint)


def _windows(cluster: CloudCluster, nodes: Sequence[Manifest]) -> Iterator[Finding]:
    pools = [str(each.get("name")) for each in _maps(cluster.details.get("nodePools")) if "WINDOWS" in str(each.get("imageType")).upper()]
    labels = [(node.get("metadata") or {}).get("labels") or {} for node in nodes]
    count = sum(each.get("kubernetes.io/os") == "windows" for each in labels)
    if pools or count:
        title = f"the cluster has Windows nodes ({', '.join(pools) or count}): pods on them stay outside the mesh"
        hint = "taint them, and leave their namespaces without the label istio-injection"
        yield Finding("GKE010", Severity.WARNING, title, "with STRICT mTLS such pods cannot call those in the mesh", hint=hint)


def _managed_mesh(cluster: CloudCluster) -> Iterator[Finding]:
    mesh = cluster.details.get("mesh")
    if not isinstance(mesh, Mapping):
        return
    if mesh.get("management") in _MANAGED or mesh.get("controlPlane") in _RUNNING:
        membership = str((cluster.details.get("fleet") or {}).get("membership", "")).rpartition("/")[2]
        title = "the fleet manages a mesh in this cluster (Cloud Service Mesh)"
        hint = f"gcloud container fleet mesh update --management=manual --memberships={membership}; then remove its control plane"
        yield Finding(
            "GKE011", Severity.ERROR, title, "two control planes overwrite each other's webhooks and policies", cluster.name, hint=hint
        )


def _versions(cluster: CloudCluster) -> Iterator[Finding]:
    offered = cluster.details.get("versions")
    master = _minor(cluster.version)
    if isinstance(offered, Mapping) and master is not None:
        valid = {_minor(str(each)) for each in offered.get("validMasterVersions") or ()}
        if valid and master not in valid:
            release = cluster.details.get("releaseChannel")
            channel = str(release.get("channel", "") if isinstance(release, Mapping) else "") or "none"
            title = f"GKE no longer offers Kubernetes 1.{master}: its standard support is over (release channel {channel})"
            hint = f"gcloud container clusters upgrade {cluster.name} {_where(cluster)} --master"
            yield Finding("GKE012", Severity.WARNING, title, f"control plane {cluster.version}", cluster.name, hint=hint)
    for pool in _maps(cluster.details.get("nodePools")):
        node = _minor(str(pool.get("version", "")))
        if master is not None and node is not None and master - node > _SKEW:
            name = str(pool.get("name"))
            title = f"node pool {name} is {master - node} minor versions behind its control plane"
            hint = f"gcloud container clusters upgrade {cluster.name} {_where(cluster)} --node-pool={name}"
            yield Finding("GKE013", Severity.WARNING, title, f"nodes {pool.get('version')}", f"node pool {name}", hint=hint)


def _load_balancers(cluster: CloudCluster, desired: Desired) -> Iterator[Finding]:
    """What keeps a gateway without an address, or gives it another load balancer than is meant; no change of its Service mends it later."""
    for release in desired.releases:
        service = release.values.merged().get("service") or {}
        if (
            release.component is Component.GATEWAY
            and isinstance(service, Mapping)
            and service.get("type", "LoadBalancer") == "LoadBalancer"
        ):
            asked, notes = str(service.get("loadBalancerClass") or ""), service.get("annotations")
            yield from _load_balancer(cluster, release, asked, notes if isinstance(notes, Mapping) else {})


def _load_balancer(cluster: CloudCluster, release: Release, asked: str, notes: Mapping[str, Any]) -> Iterator[Finding]:
    build = _build(cluster.version)
    inside = any(str(notes.get(name)).lower() == "internal" for name in _TYPES)
    update = f"gcloud container clusters update {cluster.name} {_where(cluster)}"
    name = str(release.key)
    if asked not in {"", _EXTERNAL, _INTERNAL}:
        # Somebody else's controller.
        return
    addons = cluster.details.get("addonsConfig")
    balancing = addons.get("httpLoadBalancing") if isinstance(addons, Mapping) else None
    if isinstance(balancing, Mapping) and balancing.get("disabled") and (asked or not inside):
        title = f"the add-on HttpLoadBalancing is off, which makes the load balancer of {name}"
        hint = f"{update} --update-addons=HttpLoadBalancing=ENABLED"
        yield Finding("GKE015", Severity.ERROR, title, "its Service would get no address", name, hint=hint)
    if asked and build and build < _CLASSES_FROM:
        title = f"no controller of this cluster answers to loadBalancerClass {asked}"
        hint = f"leave it out of {release.key.name}.service: the annotation {_BACKEND_SERVICE} is enough; or upgrade to 1.33.1-gke.1779000"
        yield Finding("GKE016", Severity.ERROR, title, f"control plane {cluster.version}", name, hint=hint)
    elif asked == _INTERNAL and build and build < _SUBSETTING_FROM and not _subsetting(cluster):
        title = f"loadBalancerClass {asked} needs GKE subsetting, which is off"
        yield Finding(
            "GKE016", Severity.ERROR, title, "its Service would get no address", name, hint=f"{update} --enable-l4-ilb-subsetting"
        )
    if asked == _EXTERNAL and inside:
        title = f"{name} asks for an internal load balancer, and for {asked}"
        hint = f"take one of the two out of {release.key.name}.service, before the Service exists: the class cannot be changed later"
        yield Finding("GKE017", Severity.WARNING, title, "it may be reachable from the internet", name, hint=hint)
    outdated = build and build < _BACKEND_SERVICE_FROM and not (asked or inside or notes.get(_BACKEND_SERVICE) == "enabled")
    if outdated:
        title = f"{name} gets a load balancer with a target pool, which Google no longer recommends"
        hint = f"set {release.key.name}.service.annotations {_BACKEND_SERVICE}: enabled, before the Service exists"
        yield Finding("GKE017", Severity.WARNING, title, "an annotation that is added later does not replace it", name, hint=hint)


def _subsetting(cluster: CloudCluster) -> bool:
    network = cluster.details.get("networkConfig")
    return isinstance(network, Mapping) and bool(network.get("enableL4ilbSubsetting"))


def _build(version: str) -> tuple[int, int, int] | None:
    match = _BUILD.match(version)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def _minor(version: str) -> int | None:
    match = _MINOR.match(version)
    return int(match[1]) if match else None


def _unread(cluster: CloudCluster) -> Iterator[Finding]:
    for what, unread in cluster.unread.items():
        table = "docs/clouds/gke.md ends with a table of Google's refusals; then run the command again"
        hint = f"give the caller {unread.permission} (docs/clouds/gke/role.yaml has all permissions)" if unread.permission else table
        yield Finding("GKE014", Severity.WARNING, f"NOT PROVEN: {what}", str(unread), cluster.name, hint=hint)


def _where(cluster: CloudCluster) -> str:
    return f"--location={cluster.location} --project={cluster.details.get('project', '')}"


def _network_project(cluster: CloudCluster) -> str:
    match = re.search(r"projects/([^/]+)/", str((cluster.details.get("networkConfig") or {}).get("network", "")))
    return match[1] if match else str(cluster.details.get("project", ""))


def _maps(found: object) -> list[Mapping[str, Any]]:
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, (list, tuple)) else []
