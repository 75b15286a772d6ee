"""What must hold before anything is touched; each finding has an anchor in docs/checks.md."""

import re
from collections.abc import Iterator
from datetime import date

from meshinstall import catalog
from meshinstall.checks.mtls.weaker_policies import weaker_policies
from meshinstall.checks.own_ca import own_ca
from meshinstall.checks.upgrades import told_of
from meshinstall.checks.words import first, word
from meshinstall.model.codes import CHECKS
from meshinstall.model.desired import Desired, MtlsMode
from meshinstall.model.facts import Facts, Inquiry
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import plain
from meshinstall.model.labels import REVISION, TAG
from meshinstall.model.ownership import HELM_RELEASE, is_ours, kept_by
from meshinstall.model.release import Component, Manifest, ReleaseRecord, without_digest

# Missing permissions, and nodes without room, that are spelled out.
_SHOWN = 5
_MINOR = re.compile(r"1\.(\d+)")


def preflight(desired: Desired, facts: Facts, today: date) -> tuple[Finding, ...]:
    """Judge the facts before a run; an error stops it unless it is allowed by name."""
    return (
        *_plaintext(desired, today),
        *_kubernetes(desired, facts),
        *_end_of_life(desired, today),
        *_namespaces(facts),
        *_foreign(desired, facts),
        *_leftover_crds(desired, facts),
        *_versions(desired, facts),
        *_orphans(desired, facts),
        *_orphan_tags(desired, facts),
        *weaker_policies(desired, facts),
        *own_ca(desired, facts, today),
    )


def support_of_target(desired: Desired, facts: Facts, today: date) -> tuple[Finding, ...]:
    """Whether what an upgrade leads to is supported, and on this Kubernetes, which alone is asked of ``facts``."""
    return (*_kubernetes(desired, facts), *_end_of_life(desired, today))


def _plaintext(desired: Desired, today: date) -> Iterator[Finding]:
    """That the environment itself wants plaintext let in; as a warning, unless it accepts that until a day which has not passed."""
    what, accepted = "workloads accept plaintext from anyone who reaches them", desired.acceptance
    for policy in desired.policies:
        mode = ((policy.manifest.get("spec") or {}).get("mtls") or {}).get("mode")
        if policy.manifest["kind"] != "PeerAuthentication" or mode == MtlsMode.STRICT:
            continue
        title, where = f"mesh-wide mTLS is {mode}", "PeerAuthentication default"
        if accepted is None:
            hint = "remove the line to return to STRICT; if it is planned, say until when, and why: accept: {until: DATE, reason: TEXT}"
            yield Finding("CFG001", Severity.WARNING, title, what, where, str(policy.origin), hint)
        elif accepted.holds(today):
            said = f"{title}, accepted until {accepted.until}"
            yield Finding("CFG001", Severity.INFO, said, accepted.reason, where, accepted.origin)
        else:
            said, hint = f"{title}, and was accepted only until {accepted.until}", "set mtls: STRICT, or agree on another day"
            yield Finding("CFG001", Severity.WARNING, said, f"{what}; accepted for: {accepted.reason}", where, accepted.origin, hint)


def _kubernetes(desired: Desired, facts: Facts) -> Iterator[Finding]:
    support = catalog.support(desired.istio_version)
    match = _MINOR.match(facts.kubernetes)
    if support is None or match is None:
        return
    supported = support.runs_on(int(match[1]))
    upper = f" to 1.{support.kubernetes_max}" if support.kubernetes_max else " and newer"
    span = f"Istio {support.minor} supports Kubernetes 1.{support.kubernetes_min}{upper}"
    if supported is False:
        yield Finding(
            "PRE001",
            Severity.ERROR,
            f"Kubernetes {facts.kubernetes} is not supported by Istio {desired.istio_version}",
            span,
            hint="choose a version of Istio for this cluster (--istio-version), or allow it: --allow kubernetes",
        )
    elif supported is None:
        detail = f"Kubernetes meets the minimum, 1.{support.kubernetes_min}; the maximum was not published by {catalog.TABLE_DATE}"
        yield Finding(
            "PRE002", Severity.INFO, f"it is not known whether Istio {support.minor} supports Kubernetes {facts.kubernetes}", detail
        )


def _end_of_life(desired: Desired, today: date) -> Iterator[Finding]:
    support = catalog.support(desired.istio_version)
    if support is None:
        yield Finding(
            "PRE009", Severity.INFO, f"this version of meshinstall does not know how long Istio {desired.istio_version} is supported"
        )
    elif support.ended(today):
        title = f"Istio {support.minor} is out of support since {support.end_of_life}"
        yield Finding("PRE008", Severity.ERROR, title, hint="choose a newer version (--istio-version), or allow it: --allow eol")


def _namespaces(facts: Facts) -> Iterator[Finding]:
    for name, namespace in facts.namespaces.items():
        if namespace and (namespace.get("status") or {}).get("phase") == "Terminating":
            yield Finding(
                "PRE003",
                Severity.ERROR,
                f"namespace {name} is being deleted",
                _held_by(namespace),
                f"Namespace {name}",
                hint=f"wait until it is gone: kubectl wait --for=delete namespace/{name}",
            )


def _held_by(namespace: Manifest) -> str:
    conditions = (namespace.get("status") or {}).get("conditions") or ()
    return "; ".join(condition["message"] for condition in conditions if condition.get("status") == "True" and condition.get("message"))


def _orphans(desired: Desired, facts: Facts) -> Iterator[Finding]:
    told = {plane.release for plane in told_of(desired, facts)}
    for record in facts.orphans:
        if record.key in told:
            continue
        title = f"the configuration no longer contains release {record.key}, which meshinstall installed"
        hint = f"remove it: helm uninstall {record.key.name} -n {record.key.namespace}"
        yield Finding("PRE013", Severity.WARNING, title, "up does not change or remove it", f"release {record.key}", hint=hint)


def _orphan_tags(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Tags that were taken out of the configuration: namespaces may still name them, and would get no proxies."""
    if told_of(desired, facts):
        # They belong to the other istiod.
        return
    for key, live in sorted(facts.tags.items()):
        tag = plain(live["metadata"]["labels"][TAG])
        if key.kind == "MutatingWebhookConfiguration" and is_ours(live) and tag not in desired.tags:
            title = f"the configuration no longer contains tag {tag}, which meshinstall made"
            hint = (
                f"see whether a namespace uses it: kubectl get namespaces -l {REVISION}={word(tag)}; then: istioctl tag remove {word(tag)}"
            )
            yield Finding("PRE013", Severity.WARNING, title, "up does not change or remove it", str(key), hint=hint)


def _foreign(desired: Desired, facts: Facts) -> Iterator[Finding]:
    ours = {release.key.name for release in desired.releases if release.component is Component.ISTIOD}
    told = {plane.name for plane in told_of(desired, facts)}
    for plane in facts.control_planes:
        metadata = plane["metadata"]
        place = f"{metadata['namespace']}/{metadata['name']}"
        owner = (metadata.get("annotations") or {}).get(HELM_RELEASE, "")
        if owner in ours and metadata["namespace"] == desired.mesh_namespace:
            continue
        if metadata["namespace"] == desired.mesh_namespace and (kept_by(plane) or plain(place) in told):
            continue
        yield Finding(
            "PRE004",
            Severity.ERROR,
            f"the cluster has another control plane: {place}, {_installer(plane, owner)}",
            "two control planes of one revision overwrite each other's webhooks and policies",
            f"Deployment {place}",
            hint="remove it first, or install beside it: --allow foreign",
        )
    for crd in _applied_crds(desired, facts):
        owner = (crd["metadata"].get("annotations") or {}).get(HELM_RELEASE, "")
        if owner not in {release.key.name for release in desired.releases} and not kept_by(crd):
            yield _foreign_crd(crd, owner)
            return


def _applied_crds(desired: Desired, facts: Facts) -> Iterator[Manifest]:
    """CRDs that the base chart applies; all of Istio's where the list for this minor is not known."""
    applied = catalog.CRDS.get(catalog.minor_of(desired.istio_version))
    return (crd for name, crd in facts.crds.items() if applied is None or name in applied)


def _leftover_crds(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """CRDs of another Istio, such as that of the old operator: no chart touches them."""
    applied = catalog.CRDS.get(catalog.minor_of(desired.istio_version))
    left = sorted(name for name in facts.crds if applied is not None and name not in applied)
    if left:
        title = f"Istio {desired.istio_version} does not use CRDs that are in the cluster: {first(left, _SHOWN)}"
        hint = f"see whether anything uses them: kubectl get {word(left[0])} -A; deleting a CRD deletes its objects"
        yield Finding("PRE026", Severity.INFO, title, "up does not change or remove them", hint=hint)


def _foreign_crd(crd: Manifest, owner: str) -> Finding:
    name = crd["metadata"]["name"]
    return Finding(
        "PRE005",
        Severity.ERROR,
        f"Istio's CRDs belong to {f'Helm release {owner}' if owner else 'no Helm release'}",
        f"for example {name}; helm refuses to change objects of another owner",
        f"CustomResourceDefinition {name}",
        hint="let their owner upgrade them, or give them to release istio-base with kubectl annotate and kubectl label",
    )


def _installer(plane: Manifest, owner: str) -> str:
    labels = plane["metadata"].get("labels") or {}
    if plane["metadata"]["namespace"] == "aks-istio-system":
        # The add-on names its Deployments by their revision, application routing has one without.
        is_addon = plane["metadata"]["name"].startswith("istiod-asm-")
        return "the AKS service mesh add-on" if is_addon else "the Istio of AKS's application routing (Gateways of class approuting-istio)"
    if engine := kept_by(plane):
        return f"kept by {engine}"
    # Istio's charts carry the labels of istioctl themselves: what helm installed has its name too.
    if owner:
        return f"installed by Helm release {plain(owner)}"
    is_istioctl = labels.get("operator.istio.io/component") or "install.operator.istio.io/owning-resource" in labels
    return "installed by istioctl" if is_istioctl else "of unknown origin"


def _versions(desired: Desired, facts: Facts) -> Iterator[Finding]:
    istiod = desired.istiod
    record = facts.releases.get(istiod.key) if istiod else None
    if istiod and record:
        yield from _step_between(record, facts.charts.get(istiod.chart.name, istiod.chart).version)


def _step_between(record: ReleaseRecord, version: str) -> Iterator[Finding]:
    """Istio's upgrade rule: in place, one minor at a time, never back (istio.io: Upgrade in place)."""
    from packaging.version import InvalidVersion, Version

    try:
        before, after = Version(without_digest(record.version)), Version(without_digest(version))
    except InvalidVersion:
        return
    if after < before:
        hint = "an older control plane may not understand newer proxies; allow it: --allow downgrade"
        yield Finding("PRE006", Severity.ERROR, f"Istio {before} would be downgraded to {after}", object=f"release {record.key}", hint=hint)
    elif (after.major, after.minor) > (before.major, before.minor + 1):
        hint = f"upgrade to {before.major}.{before.minor + 1} first, or allow it: --allow skip-minor"
        title = f"Istio {before} to {after} skips {after.minor - before.minor - 1} minor versions"
        yield Finding("PRE007", Severity.ERROR, title, object=f"release {record.key}", hint=hint)


def before_changes(inquiry: Inquiry) -> tuple[Finding, ...]:
    """Judge what is asked only because something is to be changed."""
    found = []
    if inquiry.denied:
        asks = [str(ask) for ask in inquiry.denied]
        title = f"missing permissions: {first(asks, _SHOWN)}"
        hint = f"ask an administrator for them, or use another --context; check one: kubectl auth can-i {asks[0].replace(' in ', ' -n ')}"
        found.append(Finding("PRE010", Severity.ERROR, title, hint=hint))
    elif not inquiry.schedulable:
        found.append(Finding("PRE011", Severity.ERROR, "no node is Ready and schedulable", hint="kubectl get nodes shows why"))
    for short in inquiry.shortages:
        title = f"{short.pods} pod{'s' if short.pods > 1 else ''} of {short.release} may not fit on any node: each requests {short.each}"
        more = f" and {len(short.free) - _SHOWN} more nodes" if len(short.free) > _SHOWN else ""
        free = (
            f"free on the nodes: {'; '.join(short.free[:_SHOWN])}{more}"
            if short.free
            else "every node has a taint that these pods do not tolerate"
        )
        hint = f"add nodes, or lower {short.release.name}.resources.requests; an autoscaler may add a node"
        found.append(Finding("PRE014", Severity.WARNING, title, free, f"release {short.release}", hint=hint))
    for secret in (*inquiry.missing_secrets, *inquiry.future_secrets):
        hint = "create it (kubectl create secret docker-registry), or change images.pullSecrets"
        # In a namespace that the run itself makes it may come by another way.
        severity = Severity.WARNING if secret in inquiry.future_secrets else Severity.ERROR
        found.append(
            Finding("PRE012", severity, f"pull secret {secret} does not exist", "images cannot be pulled without it", secret, hint=hint)
        )
    return tuple(found)


# The name that --allow takes for each finding that may be overruled.
ALLOWABLE = {check.code: check.allow for check in CHECKS.values() if check.allow}
