"""Marks of ownership: labels and annotations of objects that meshinstall or Helm made, and the audit trail in Helm's history."""

import re
from collections.abc import Mapping
from typing import Any

from meshinstall.model.desired import Desired
from meshinstall.model.plan import Plan
from meshinstall.model.release import ChartRef, Manifest, ReleaseKey, ReleaseRecord

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "meshinstall"
ENVIRONMENT = "meshinstall.dev/environment"
PROFILE = "meshinstall.dev/profile"

# On every object of a Helm release (helm: pkg/action/validate.go).
HELM_MANAGER = "Helm"
HELM_RELEASE = "meta.helm.sh/release-name"
HELM_NAMESPACE = "meta.helm.sh/release-namespace"

_DIGEST = re.compile(r"\bchart (sha256:[0-9a-f]{64})\b")


def audit_labels(desired: Desired) -> dict[str, str]:
    """Labels of everything that meshinstall itself makes: the audit trail in the cluster."""
    return {MANAGED_BY: MANAGER, ENVIRONMENT: desired.environment, PROFILE: desired.profile}


def is_ours(live: Manifest) -> bool:
    """Whether an object carries the label of what meshinstall makes."""
    return bool((live["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER)


def owner_of(metadata: Mapping[str, Any]) -> ReleaseKey | None:
    """The Helm release that an object belongs to, by its annotations; None without one."""
    notes = metadata.get("annotations") or {}
    return ReleaseKey(notes.get(HELM_NAMESPACE, ""), notes[HELM_RELEASE]) if HELM_RELEASE in notes else None


def release_description(plan: Plan, chart: ChartRef) -> str:
    """The audit trail that a run writes into Helm's own history; ``made_by_us`` and ``recorded_digest`` read it."""
    return f"meshinstall: environment {plan.environment}, profile {plan.profile}, chart {chart.digest}, plan {plan.digest}"


def made_by_us(record: ReleaseRecord) -> bool:
    """Whether a run of ours made the newest revision of a release."""
    return record.description.startswith("meshinstall:")


def recorded_digest(record: ReleaseRecord) -> str:
    """The chart digest that a run of ours wrote into a release's description; empty when helm alone made it."""
    match = _DIGEST.search(record.description)
    return match[1] if match else ""
