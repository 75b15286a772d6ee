"""Preflight checks of an AKS cluster, before Istio is installed on it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshinstall import catalog
from meshinstall.checks.words import word
from meshinstall.model.cluster import CloudCluster
from meshinstall.model.desired import Desired, Release
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.release import Component, Manifest

_MINOR = re.compile(r"1\.(\d+)")
# Kubelets may be this many minors behind the API server (kubernetes.io: Version Skew Policy).
_SKEW = 3
_ENFORCER = "admissions.enforcer/disabled"
# The last change of a cluster came to nothing; what ran before mostly still runs.
_BROKEN = frozenset({"Failed", "Canceled"})
_LONG_TERM = "AKSLongTermSupport"


def judge(cluster: CloudCluster, nodes: Sequence[Manifest], desired: Desired) -> tuple[Finding, ...]:
    """Findings, errors first; ``nodes`` is empty where the API server did not let us ask."""
    aks = _Aks(cluster)
    found = (
        *_state(aks),
        *_reach(aks),
        *_let_in(aks, nodes),
        *_managed_mesh(aks),
        *_automatic(aks, desired),
        *_enforcer(desired),
        *_pools(aks, desired),
        *_nodes(aks, nodes),
        *_version(aks),
        *_accounts(aks),
        *_data_plane(aks, desired),
        *_unread(aks),
    )
    return tuple(sorted(found, key=lambda finding: finding.severity is not Severity.ERROR))


class _Aks:
    """A cluster with the words that ``az`` needs to name it."""

    def __init__(self, cluster: CloudCluster) -> None:
        self.cluster = cluster
        self.details: Mapping[str, Any] = cluster.details
        self.id = str(cluster.details.get("id", ""))
        group = self.id.partition("/resourceGroups/")[2].partition("/")[0]
        self.flags = f"--name {cluster.name} --resource-group {group or 'GROUP'}"
        self.pool_flags = f"--cluster-name {cluster.name} --resource-group {group or 'GROUP'}"
        self.pools: Sequence[Mapping[str, str]] = cluster.details.get("agentPoolProfiles", ())

    def finding(self, code: str, severity: Severity, title: str, detail: str = "", hint: str = "") -> Finding:
        return Finding(code, severity, title, detail, f"AKS cluster {self.cluster.name}", hint=hint)


def _state(aks: _Aks) -> Iterator[Finding]:
    power, state = aks.details.get("powerState", ""), aks.details.get("provisioningState", "")
    wait = f"wait until it is done: az aks wait --custom \"provisioningState=='Succeeded'\" {aks.flags}"
    if power not in {"", "Running"}:
        yield aks.finding("AKS001", Severity.ERROR, f"the cluster is {power.lower()}", hint=f"start it: az aks start {aks.flags}")
    elif not aks.cluster.ready:
        yield aks.finding("AKS001", Severity.ERROR, f"the cluster is {state.lower()}", "it has no API server now", wait)
    elif state in _BROKEN:
        title, hint = f"the last change of the cluster is {state}", f"repair it: az aks update {aks.flags}"
        yield aks.finding("AKS002", Severity.WARNING, title, "what ran before mostly still runs", hint)
    elif state not in {"", "Succeeded"}:
        title = f"the cluster is being changed ({state})"
        yield aks.finding("AKS002", Severity.WARNING, title, "pods may move while Istio is installed", wait)


def _reach(aks: _Aks) -> Iterator[Finding]:
    way = aks.details.get("reachable", "")
    if way not in {"no address", "no answer"}:
        return
    fails = "does not resolve" if way == "no address" else "does not answer"
    server = aks.cluster.endpoint.server if aks.cluster.endpoint else "its API server"
    invoke = "az aks command invoke is turned off too" if aks.details.get("disableRunCommand") else _invoke(aks)
    if aks.details.get("enablePrivateCluster"):
        missing = "the private DNS zone is not linked to this network" if way == "no address" else "there is no route to its network"
        title = f"the cluster is private and {server} {fails} from here: {missing}"
        public = (
            f"its public name {aks.details['fqdn']} resolves everywhere (--endpoint public); "
            if way == "no address" and _has_public_name(aks, server)
            else ""
        )
        hint = f"{public}run this from a machine in its network, or connect by VPN, ExpressRoute or peering; {invoke}"
    elif ranges := aks.details.get("authorizedIPRanges"):
        title = f"{server} {fails} from here; only {', '.join(ranges)} may connect"
        hint = f"allow this machine: az aks update {aks.flags} --api-server-authorized-ip-ranges {','.join(ranges)},YOUR_ADDRESS"
    else:
        title = f"{server} {fails} from here"
        hint = f"check DNS, the proxy (HTTPS_PROXY) and the firewall; {invoke}"
    yield aks.finding("AKS003", Severity.ERROR, title, hint=hint)


def _has_public_name(aks: _Aks, server: str) -> bool:
    """Whether the private cluster has a second name, in public DNS, that is not used now; it leads to the same private address."""
    fqdn = aks.details.get("fqdn", "")
    return bool(aks.details.get("enablePrivateClusterPublicFQDN") and fqdn and fqdn not in server)


def _invoke(aks: _Aks) -> str:
    return f'check the cluster from inside: az aks command invoke {aks.flags} --command "kubectl get nodes"'


def _let_in(aks: _Aks, nodes: Sequence[Manifest]) -> Iterator[Finding]:
    """The API server is there and tells us nothing: who it lets in is for Entra ID, Azure RBAC or the cluster to say."""
    if nodes or aks.details.get("reachable") != "yes":
        return
    if aks.details.get("enableAzureRBAC"):
        role, who = "Azure Kubernetes Service RBAC Cluster Admin", aks.details.get("callerObjectId") or "OBJECT_ID"
        hint = f'az role assignment create --assignee {who} --role "{role}" --scope {aks.id}'
    else:
        user = aks.details.get("callerInCluster")
        whom = f"--user {word(user)}" if user else "--user OBJECT_ID (for a user of the cluster's own tenant the UPN)"
        hint = (
            f"kubectl create clusterrolebinding meshinstall --clusterrole cluster-admin {whom}, "
            f"run by a member of the admin groups: az aks show {aks.flags} --query aadProfile.adminGroupObjectIDs"
        )
    tenant = aks.details.get("tenantID")
    own = f": --tenant {word(tenant)}" if tenant else ": --tenant"
    detail = f"401: the token is of another tenant than the cluster's{own}; 403: the caller has no role in the cluster"
    yield aks.finding("AKS004", Severity.WARNING, "the API server shows the caller no node", detail, hint)


def _managed_mesh(aks: _Aks) -> Iterator[Finding]:
    if aks.details.get("serviceMeshMode") == "Istio":
        detail = "two control planes overwrite each other's webhooks, CRDs and gateways; the add-on's is in namespace aks-istio-system"
        hint = f"disable it first: az aks mesh disable {aks.flags}"
        yield aks.finding("AKS005", Severity.ERROR, "the AKS service mesh add-on (Istio) is on", detail, hint)
    if aks.details.get("appRoutingIstio") == "Enabled":
        title = "application routing runs an Istio of AKS's own for Gateways of class approuting-istio"
        detail = "its control plane in namespace aks-istio-system does not start beside Istio's CRDs: those Gateways would stop working"
        hint = f"move its Gateways to another class, then disable it: az aks approuting gateway istio disable {aks.flags}"
        yield aks.finding("AKS017", Severity.ERROR, title, detail, hint)


def _automatic(aks: _Aks, desired: Desired) -> Iterator[Finding]:
    """Deployment safeguards enforce the baseline of the Pod Security Standards, except in namespaces that the cluster excludes."""
    if aks.details.get("skuName", "").lower() != "automatic":
        return
    on_nodes = [release for release in desired.releases if release.component in {Component.CNI, Component.ZTUNNEL}]
    if on_nodes:
        what = f"the hostPath volumes and capabilities of {' and '.join(release.component for release in on_nodes)}"
        spaces = ",".join(sorted({release.key.namespace for release in on_nodes}))
        where, then = f"--excluded-ns {spaces}", "repeat the namespaces that are excluded already"
    else:
        what = "NET_ADMIN, which the first container of every pod with a sidecar needs"
        where, then = "--excluded-ns NAMESPACE,...", "with every namespace that has sidecars; or use a profile with istio-cni"
    title = f"AKS Automatic refuses {what}"
    hint = f"az aks safeguards update {aks.flags} {where}: {then}; az aks safeguards show {aks.flags} lists what is excluded"
    detail = "its deployment safeguards refuse such pods, except in excluded namespaces; Azure does not show those with the cluster"
    yield aks.finding("AKS018", Severity.WARNING, title, detail, hint)


def _enforcer(desired: Desired) -> Iterator[Finding]:
    for release in desired.releases:
        if release.component is Component.ISTIOD and not _opted_out(release):
            yield Finding(
                "AKS006",
                Severity.WARNING,
                "the AKS admissions enforcer may change the injector's webhook",
                "it takes over the webhook's namespaceSelector, and each later upgrade conflicts with it",
                f"release {release.key}",
                hint=f'set sidecarInjectorWebhookAnnotations: {{"{_ENFORCER}": "true"}} for istiod',
            )
    for namespace in desired.namespaces:
        if "control-plane" in namespace.labels:
            title = f"namespace {namespace.name} has the label control-plane: AKS excludes it from injection"
            hint = "remove the label from the configuration; Istio does not need it"
            yield Finding(
                "AKS007", Severity.ERROR, title, "its gateways would start without a proxy", f"Namespace {namespace.name}", hint=hint
            )


def _opted_out(release: Release) -> bool:
    annotations = release.values.merged().get("sidecarInjectorWebhookAnnotations")
    return isinstance(annotations, Mapping) and str(annotations.get(_ENFORCER)).lower() == "true"


def _pools(aks: _Aks, desired: Desired) -> Iterator[Finding]:
    support = catalog.support(desired.istio_version)
    oldest = max(_minor(aks.cluster.version) - _SKEW, support.kubernetes_min if support else 0)
    for pool in aks.pools:
        name, state = pool["name"], pool["provisioningState"]
        now, wanted = pool["currentOrchestratorVersion"], pool["orchestratorVersion"]
        if pool["powerState"] not in {"", "Running"}:
            continue
        if state in _BROKEN:
            hint = f"inspect it: az aks nodepool show --nodepool-name {name} {aks.pool_flags}"
            yield aks.finding("AKS008", Severity.WARNING, f"the last change of node pool {name} is {state}", hint=hint)
        # A pool that was asked for by its minor keeps that as what is wanted (ManagedClusterAgentPoolProfile.orchestratorVersion).
        elif (moves := bool(now and wanted and not f"{now}.".startswith(f"{wanted}."))) or state not in {"", "Succeeded"}:
            title = f"node pool {name} is being changed ({state}{f', {now} to {wanted}' if moves else ''})"
            hint = f"wait until it is done: az aks nodepool wait --updated --nodepool-name {name} {aks.pool_flags}"
            yield aks.finding("AKS008", Severity.WARNING, title, "pods move while Istio is installed", hint)
        if 0 < _minor(now) < oldest:
            hint = f"az aks nodepool upgrade --nodepool-name {name} {aks.pool_flags} --kubernetes-version {aks.cluster.version}"
            yield aks.finding("AKS009", Severity.WARNING, f"node pool {name} runs Kubernetes {now}, older than 1.{oldest}", hint=hint)


def _nodes(aks: _Aks, nodes: Sequence[Manifest]) -> Iterator[Finding]:
    """Nodes on which nothing of Istio runs; what the nodes themselves say counts beside what Azure says of the pools."""
    windows = {pool["name"] for pool in aks.pools if pool["osType"].lower() == "windows"}
    virtual: set[str] = {"virtual-node-aci-linux"} if aks.details.get("virtualNodes") else set()
    for node in nodes:
        labels = (node.get("metadata") or {}).get("labels") or {}
        if labels.get("kubernetes.io/os") == "windows":
            windows.add(str(labels.get("kubernetes.azure.com/agentpool", node["metadata"]["name"])))
        if labels.get("type") == "virtual-kubelet":
            virtual.add(str(node["metadata"]["name"]))
    if windows:
        title = f"Windows nodes: {', '.join(sorted(windows))}; their pods cannot be in the mesh"
        hint = "with STRICT mTLS they reach no pod of the mesh: keep the workloads that they call out, or allow plaintext for single ports"
        yield aks.finding("AKS010", Severity.WARNING, title, "Istio has no proxy for Windows", hint)
    if virtual:
        title = f"virtual nodes: {', '.join(sorted(virtual))}; their pods cannot be in the mesh"
        hint = f"keep pods of the mesh away from them, or: az aks disable-addons --addons virtual-node {aks.flags}"
        yield aks.finding("AKS011", Severity.WARNING, title, "container instances allow no redirection of traffic and no DaemonSets", hint)


def _version(aks: _Aks) -> Iterator[Finding]:
    supported: Mapping[str, Sequence[str]] | None = aks.details.get("supportedVersions")
    minor = f"1.{_minor(aks.cluster.version)}"
    if supported is None or not _minor(aks.cluster.version):
        return
    plans = supported.get(minor, ())
    plan = aks.details.get("supportPlan") or "KubernetesOfficial"
    if plan in plans:
        return
    there = ", ".join(sorted(one for one, has in supported.items() if plan in has)) or "nothing"
    detail = f"AKS supports {there} in {aks.cluster.location} under {plan}"
    sold = f"az aks update {aks.flags} --tier premium --k8s-support-plan {_LONG_TERM}"
    longer = f", or take long-term support: {sold}" if _LONG_TERM in plans else ""
    hint = f"az aks get-upgrades {aks.flags} lists the versions to upgrade to{longer}"
    yield aks.finding("AKS012", Severity.WARNING, f"Kubernetes {aks.cluster.version} is past its standard support on AKS", detail, hint)


def _accounts(aks: _Aks) -> Iterator[Finding]:
    if aks.details.get("entra") is False:
        detail = "everybody with the permission listClusterUserCredential gets one administrator certificate, which cannot be revoked"
        yield aks.finding(
            "AKS013", Severity.WARNING, "the cluster does not use Entra ID", detail, f"az aks update {aks.flags} --enable-aad"
        )
    elif "provisioningState" in aks.details and aks.details["provisioningState"] and not aks.details.get("disableLocalAccounts"):
        hint = f"az aks update {aks.flags} --disable-local-accounts"
        yield aks.finding("AKS014", Severity.INFO, "local accounts are on beside Entra ID", "meshinstall does not use them", hint)


def _data_plane(aks: _Aks, desired: Desired) -> Iterator[Finding]:
    if aks.details.get("networkDataplane") == "cilium" and any(release.component is Component.CNI for release in desired.releases):
        detail = "Cilium must leave room for another CNI plugin (cni.exclusive=false), and AKS does not show whether it does"
        hint = "after up: kubectl logs -n istio-system ds/istio-cni-node; a profile without istio-cni avoids the question"
        yield aks.finding("AKS015", Severity.WARNING, "NOT PROVEN: whether istio-cni works beside Azure's Cilium", detail, hint)


def _unread(aks: _Aks) -> Iterator[Finding]:
    for what, unread in aks.cluster.unread.items():
        table = "docs/clouds/aks.md has what Azure's refusals mean"
        hint = f"give the caller {unread.permission}; docs/clouds/aks/role.json has all permissions" if unread.permission else table
        yield aks.finding("AKS016", Severity.WARNING, f"NOT PROVEN: {what} could not be read", str(unread), hint)


def _minor(version: str) -> int:
    """36 of 1.36.3; 0 of what is no version."""
    match = _MINOR.match(version)
    return int(match[1]) if match else 0
