"""What a Kustomization or a HelmRelease of Flux says of itself, and why it may leave drift as it is; pure.

Sources: fluxcd: kustomize-controller docs/spec/v1/kustomizations.md, helm-controller docs/spec/v2/helmreleases.md.
"""

from collections.abc import Iterator

from meshinstall.engine.objects.json_fields import at, flag, rows, table, text
from meshinstall.model.drift import Engine
from meshinstall.model.foreign_text import plain
from meshinstall.model.ownership import Keeper
from meshinstall.model.release import Manifest

# Where each kind is served.
VERSIONS = {
    "Kustomization": ("kustomize.toolkit.fluxcd.io/v1", "kustomizations"),
    "HelmRelease": ("helm.toolkit.fluxcd.io/v2", "helmreleases"),
}
_COMMIT = 40
# On an object itself (kustomize-controller).
_LEFT = {"kustomize.toolkit.fluxcd.io/reconcile": "disabled", "kustomize.toolkit.fluxcd.io/ssa": "Ignore"}


def engine(keeper: Keeper, item: Manifest, commit: str = "") -> Engine:
    """A Kustomization or HelmRelease that keeps objects of the mesh. Raises MalformedError for other shapes."""
    status = table(item.get("status"))
    ready = next((table(one) for one in rows(status.get("conditions")) if text(table(one).get("type")) == "Ready"), {})
    revision = text(status.get("lastAppliedRevision")) or text(status.get("lastAttemptedRevision"))
    applied = revision.rpartition(":")[2]
    causes = [*_paused(item), *_failing(ready), *(_detection(item) if keeper.kind == "HelmRelease" else ())]
    if keeper.kind == "Kustomization" and not flag(at(item, "spec", "prune")):
        causes.append("it leaves what is no longer in Git: spec.prune is off")
    if commit and len(applied) == _COMMIT and applied != commit:
        causes.append(f"it applied commit {applied[:12]}, and this compares with {commit[:12]}")
    word = {"True": "Ready", "False": "not Ready", "": "has not run yet"}.get(text(ready.get("status")), "working")
    return Engine(str(keeper), word, plain(revision), tuple(causes))


def is_for_here(item: Manifest) -> bool:
    """Whether it installs into its own cluster."""
    return at(item, "spec", "kubeConfig") is None


def is_left(live: Manifest) -> str:
    """The annotation by which Flux leaves an object as it is; empty without one."""
    notes = live["metadata"].get("annotations") or {}
    return next((f"{name}: {value}" for name, value in _LEFT.items() if notes.get(name) == value), "")


def _paused(item: Manifest) -> Iterator[str]:
    if flag(at(item, "spec", "suspend")):
        yield "it is suspended: spec.suspend"
    if at(item, "metadata", "deletionTimestamp"):
        yield "it is being deleted"


def _failing(ready: Manifest) -> Iterator[str]:
    if text(ready.get("status")) == "False":
        yield f"it fails: {plain(text(ready.get('reason')))}: {plain(text(ready.get('message')))}"


def _detection(item: Manifest) -> Iterator[str]:
    mode = text(at(item, "spec", "driftDetection", "mode")) or "disabled"
    if mode != "enabled":
        yield f"it leaves what is edited or deleted: spec.driftDetection.mode is {plain(mode)}"
