"""A plan: what will be done, why, and where each changed value comes from."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from meshinstall.model.diff import Consequence, ObjectChange
from meshinstall.model.facts import ObjectKey
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.release import ChartRef, Component, Manifest, ReleaseKey
from meshinstall.model.trial import Trial


class Action(StrEnum):
    """What a step does."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    UNINSTALL = "uninstall"
    APPLY = "apply"
    DELETE = "delete"
    WAIT = "wait"
    KEEP = "keep"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class Change:
    """One value that will change; ``path`` is dotted, ``origin`` is the layer's file:line.

    None in ``before`` is absent or null; None in ``after`` is null where there
    is an origin, and "no longer set" where there is none.
    """

    path: str
    before: Any
    after: Any
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Undo:
    """A field of a live object that goes back without helm, by its path; it must still be ``before`` then.

    None in ``before`` is no such field, in ``after`` it removes it. ``scales``: it is the number of pods.
    """

    key: ObjectKey
    path: tuple[Any, ...]
    before: Any
    after: Any
    scales: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do; ``needs`` are names of steps that come before."""

    name: str
    action: Action
    reasons: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def is_pending(self) -> bool:
        """Whether anything is to be done."""
        return self.action is not Action.KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStep(Step):
    """A namespace or a policy to apply or to delete.

    ``patch`` makes what is there what it should be where applying cannot, as fields that others added stay then; it holds the
    resourceVersion of what was planned.
    """

    manifest: Manifest
    patch: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepStep(Step):
    """What istiod put into every namespace and no chart owns, to delete; ``objects`` are with their uids."""

    objects: tuple[tuple[ObjectKey, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStep(Step):
    """A Helm release to install, upgrade, wait for or uninstall.

    ``revision`` is the release's when it was planned, 0 when there was none.
    ``repair``: the last helm run was interrupted, so its record is marked failed first.
    ``editors``: field managers that edited its objects, whose edits go back. ``undo`` are put back before helm runs, if it runs.
    ``images`` say where what its images are pulled from was written: ``global.hub (meshinstall.yaml:4)``.
    ``holds``: it is done when one pod of the new template is Ready, while those of before still serve.
    """

    release: ReleaseKey
    component: Component
    chart: ChartRef
    values: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 0
    repair: bool = False
    editors: tuple[str, ...] = ()
    undo: tuple[Undo, ...] = ()
    images: tuple[str, ...] = ()
    holds: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """The one cluster that a plan is for: where it is, its API server, and the uid of its namespace kube-system, which no other has.

    ``place`` has what names it to its cloud: region, project, resource group, subscription. ``uid`` is empty where that may not be read.
    """

    cloud: str
    cluster: str
    place: Mapping[str, str]
    server: str
    uid: str

    def __str__(self) -> str:
        """For people."""
        where = ", ".join(f"{name} {value}" for name, value in self.place.items() if value)
        parts = (f"{self.cloud} {self.cluster}", where, self.server, f"kube-system {self.uid}" if self.uid else "")
        return ", ".join(part for part in parts if part)


# Fields that older plans, and their digests, do not have.
_NEWER = frozenset({"patch", "undo", "holds"})
# Fields that only say something.
_WORDS = frozenset({"reasons", "images"})


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in an order that can be run from first to last, and what is worth knowing before.

    ``trials`` say how far each object that changes was tried, ``diff`` what changes in it, ``summary`` what that means.
    ``target`` is the cluster that was looked at. ``istio_choice`` says why it is this Istio where only a minor is written.
    """

    environment: str
    cluster: str
    profile: str
    istio_version: str
    mesh_namespace: str
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...] = ()
    trials: tuple[Trial, ...] = ()
    diff: tuple[ObjectChange, ...] = ()
    summary: tuple[Consequence, ...] = ()
    target: Target | None = None
    istio_choice: str = ""

    @property
    def pending(self) -> tuple[Step, ...]:
        """Steps that do something."""
        return tuple(step for step in self.steps if step.is_pending)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.pending

    @property
    def is_applied(self) -> bool:
        """Whether everything is as it is to be, or becomes so by itself: there is at most something to wait for."""
        return all(step.action is Action.WAIT for step in self.pending)

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """Findings that stop a run."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` over everything the plan does, and to which cluster; findings and wording of reasons left out."""
        steps = [_digested(step) for step in self.steps]
        body: dict[str, Any] = {"environment": self.environment, "cluster": self.cluster, "profile": self.profile, "steps": steps}
        if self.target:
            body["target"] = asdict(self.target)
        return "sha256:" + hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()


def _digested(step: Step) -> dict[str, Any]:
    return {key: value for key, value in asdict(step).items() if key not in _WORDS and (value or key not in _NEWER)}
