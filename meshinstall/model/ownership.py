"""Marks of ownership: labels and annotations of objects that meshinstall or Helm made, and the audit trail in Helm's history."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from meshinstall.model.desired import Desired
from meshinstall.model.foreign_text import plain
from meshinstall.model.paths import object_path
from meshinstall.model.plan import Plan
from meshinstall.model.release import ChartRef, Manifest, ReleaseKey, ReleaseRecord

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "meshinstall"
ENVIRONMENT = "meshinstall.dev/environment"
PROFILE = "meshinstall.dev/profile"
# On an object that a file of policies/ describes; its annotation says which file, without line and commit: those change with every commit.
POLICY = "meshinstall.dev/policy"
LAYERED = "layers"
SOURCE = "meshinstall.dev/source"
# What no file may write on its own object.
RESERVED = frozenset({MANAGED_BY, ENVIRONMENT, PROFILE, POLICY, SOURCE})
# A label: on the namespaces of a mesh that a restore made, and on the mesh's own, the start of its snapshot's digest.
RESTORED = "meshinstall.dev/restored-from"
# An annotation: the run that made an object which is there for a moment only.
HOLDER = "meshinstall.dev/holder"
# An annotation: on the Lease of a mesh, the namespace of its run's probes and its uid, as ``NAME/UID``.
PROBES = "meshinstall.dev/probes"
# On the scout of a gateway (engine/upgrade/scout.py) and on its pod: the name of the gateway's release.
SCOUT = "meshinstall.dev/scout"

# An annotation: on a workload, and on its pod template, for which target an upgrade restarted it. Not that of ``kubectl rollout restart``:
# engines that revert what kubectl writes would restart everything a second time.
RESTARTED_FOR = "meshinstall.dev/restarted-for"

# The name of the Lease that is a mesh's lock, and of the ConfigMap with the summary of its last run.
RUN_OBJECT = "meshinstall"

# On every object of a Helm release (helm: pkg/action/validate.go).
HELM_MANAGER = "Helm"
HELM_RELEASE = "meta.helm.sh/release-name"
HELM_NAMESPACE = "meta.helm.sh/release-namespace"

# What engines write on all that they keep (argoproj/argo-cd: common/common.go; fluxcd: helm-controller and kustomize-controller;
# sail-operator: ownerReferences).
ARGO, FLUX = "Argo CD", "Flux"
_ARGO_TRACKING = "argocd.argoproj.io/tracking-id"
_ARGO_INSTANCE = "argocd.argoproj.io/instance"
_FLUX = {"helm.toolkit.fluxcd.io": "HelmRelease", "kustomize.toolkit.fluxcd.io": "Kustomization"}
# All of them that an object carries: labels and annotations.
ENGINE_MARKS = {
    ARGO: (_ARGO_TRACKING, _ARGO_INSTANCE),
    FLUX: tuple(f"{group}/{part}" for group in _FLUX for part in ("name", "namespace")),
}
MARKS = (*ENGINE_MARKS[ARGO], *ENGINE_MARKS[FLUX])
_SAIL = ("Istio", "IstioRevision", "IstioCNI", "ZTunnel")

_ENVIRONMENT = re.compile(r"meshinstall: environment ([a-z0-9-]{1,63}),")
_DIGEST = re.compile(r"\bchart (sha256:[0-9a-f]{64})\b")


def lease_path(namespace: str) -> str:
    """Path of the lock of the mesh in ``namespace``."""
    return object_path("coordination.k8s.io/v1", "leases", namespace, RUN_OBJECT)


def summary_path(namespace: str) -> str:
    """Path of the summary of the last run of the mesh in ``namespace``."""
    return object_path("v1", "configmaps", namespace, RUN_OBJECT)


def audit_labels(desired: Desired) -> dict[str, str]:
    """Labels of everything that meshinstall itself makes: the audit trail in the cluster."""
    return {MANAGED_BY: MANAGER, ENVIRONMENT: desired.environment, PROFILE: desired.profile}


def policy_labels(desired: Desired) -> dict[str, str]:
    """Labels of an object that a file of policies/ describes."""
    return {**audit_labels(desired), POLICY: LAYERED}


def labelled(manifest: Manifest, labels: Mapping[str, str]) -> dict[str, Any]:
    """An object with labels beside its own."""
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, **({"labels": {**(metadata.get("labels") or {}), **labels}} if labels else {})}}


def is_ours(live: Manifest) -> bool:
    """Whether an object carries the label of what meshinstall makes."""
    return bool((live["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER)


def owner_of(metadata: Mapping[str, Any]) -> ReleaseKey | None:
    """The Helm release that an object belongs to, by its annotations; None without one."""
    notes = metadata.get("annotations") or {}
    return ReleaseKey(notes.get(HELM_NAMESPACE, ""), notes[HELM_RELEASE]) if HELM_RELEASE in notes else None


class Keeper(NamedTuple):
    """A GitOps engine's or an operator's own object that keeps others; ``namespace`` is empty where the mark does not say it."""

    engine: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """``Argo CD Application mesh``."""
        place = f"{plain(self.namespace)}/{plain(self.name)}" if self.namespace or self.engine == FLUX else plain(self.name)
        return f"{self.engine} {self.kind} {place}"


def keeper_of(live: Manifest) -> Keeper | None:
    """What keeps an object, by the marks that it carries; None where nothing does."""
    metadata = live["metadata"]
    labels, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if application := str(notes.get(_ARGO_TRACKING, "")).partition(":")[0] or labels.get(_ARGO_INSTANCE):
        return Keeper(ARGO, "Application", "", str(application))
    for group, kind in _FLUX.items():
        if name := labels.get(f"{group}/name"):
            return Keeper(FLUX, kind, str(labels.get(f"{group}/namespace", "")), str(name))
    owners = (one for one in metadata.get("ownerReferences") or () if one.get("kind") in _SAIL)
    return next((Keeper("the Sail operator's", one["kind"], "", str(one.get("name", ""))) for one in owners), None)


def kept_by(live: Manifest) -> str:
    """The GitOps engine or operator that keeps an object, and what of it: ``Argo CD Application mesh``; empty when none does."""
    keeper = keeper_of(live)
    return str(keeper) if keeper else ""


def release_description(plan: Plan, chart: ChartRef) -> str:
    """The audit trail that a run writes into Helm's own history; ``made_by_us`` and ``recorded_digest`` read it."""
    return f"meshinstall: environment {plan.environment}, profile {plan.profile}, chart {chart.digest}, plan {plan.digest}"


def made_by_us(record: ReleaseRecord) -> bool:
    """Whether a run of ours made the newest revision of a release."""
    return record.description.startswith("meshinstall:")


def recorded_environment(record: ReleaseRecord) -> str:
    """The environment that a run of ours wrote into a release's description; empty when helm alone made it."""
    match = _ENVIRONMENT.match(record.description)
    return match[1] if match else ""


def recorded_digest(record: ReleaseRecord) -> str:
    """The chart digest that a run of ours wrote into a release's description; empty when helm alone made it."""
    match = _DIGEST.search(record.description)
    return match[1] if match else ""
