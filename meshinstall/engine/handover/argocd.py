"""How far a mesh is on its way to Argo CD, or away from it; pure.

Sources: argo-cd: docs/user-guide/app_deletion.md (the finalizer), docs/operator-manual/applicationset/Application-Deletion.md.
"""

import json
import shlex
from collections.abc import Iterator

from meshinstall.engine.handover.marks import lacking
from meshinstall.engine.handover.terms import Scene, judged, named
from meshinstall.engine.objects.json_fields import at, rows, table, text
from meshinstall.gitops.argocd import application_names, application_of
from meshinstall.model.foreign_text import plain
from meshinstall.model.hand_over import Work, WorkState
from meshinstall.model.ownership import ARGO
from meshinstall.model.release import Manifest

APPLICATION, SET = "Application", "ApplicationSet"
# With one of these Argo CD deletes all objects of an Application that is deleted.
_DELETES = "resources-finalizer.argocd.argoproj.io"
_RESOURCE = {APPLICATION: "applications.argoproj.io", SET: "applicationsets.argoproj.io"}
_COMMANDS = (
    "meshinstall render --format argocd --out FOLDER --repo-url URL --path PATH",
    "git add FOLDER && git commit -m 'Argo CD keeps the mesh' && git push",
    "kubectl apply -f FOLDER/projects -f FOLDER/applicationset.yaml",
)
_ON_HUB = "Argo CD does not run in this cluster, so its Applications were not seen"


def taking(scene: Scene) -> Iterator[Work]:
    """The steps by which Argo CD gets a mesh that is as the files say."""
    yield _applications(scene)
    yield _synced(scene)


def _applications(scene: Scene) -> Work:
    there = {_name(one) for one in scene.owned[APPLICATION] or ()}
    gone = [name for name in application_names(scene.site) if name not in there]
    says = [f"not there: {named(gone)}"] if gone else []
    if scene.owned[APPLICATION] is None:
        # What it marked, it has.
        says = [_ON_HUB] if lacking(scene, ARGO) else []
    return judged("Argo CD has the Applications of this site", says, words=_how(scene), commands=_COMMANDS)


def _how(scene: Scene) -> tuple[str, ...]:
    return (
        f"make this cluster known to Argo CD by the name {scene.site.name} (argocd cluster add CONTEXT --name {scene.site.name})",
        "render, commit and push, then apply projects/ and applicationset.yaml to the cluster in which Argo CD runs:",
    )


def _synced(scene: Scene) -> Work:
    left = lacking(scene, ARGO)
    says = [f"{len(left)} objects do not have its mark yet: {named(item.key for item in left)}"] if left else []
    mine = [one for one in scene.owned[APPLICATION] or () if _name(one) in application_names(scene.site)]
    unwell = [one for one in mine if not _is_well(one)]
    says += [f"Application {_name(one)}: {_told(one)}" for one in unwell]
    wanted = dict.fromkeys(application_of(scene.site, item) for item in left)
    # Objects with helm's label app.kubernetes.io/instance are Synced for Argo CD without its mark (util/argo/resource_tracking.go).
    idle = [one for one in mine if _name(one) in wanted and _is_well(one)]
    elsewhere = [shlex.join(["argocd", "app", "sync", name]) for name in wanted] if scene.owned[APPLICATION] is None else []
    return judged(
        "Argo CD keeps every object",
        says,
        words=("wait until Argo CD has compared; what equals Git already it marks only by a sync:",),
        commands=[*(_kubectl(scene, "patch", one, "--type=merge", "-p", _operation(one)) for one in idle), *elsewhere],
    )


def _operation(one: Manifest) -> str:
    """A sync as Argo CD itself begins one: with the options of the Application, and without deleting anything."""
    options = [text(option) for option in rows(at(one, "spec", "syncPolicy", "syncOptions"))]
    return json.dumps({"operation": {"initiatedBy": {"username": "hand-over"}, "sync": {"syncOptions": options}}}, separators=(",", ":"))


def leaving(scene: Scene) -> Iterator[Work]:
    """The steps after which Argo CD neither changes nor deletes anything of the mesh."""
    title, mine = "no Application of Argo CD keeps the mesh", _mine(scene)
    gone = sorted({str(keeper) for keeper in scene.keepers() if keeper.engine == ARGO}) if not mine else []
    if gone:
        says = f"objects have the mark of {named(gone)}: not in this cluster, so deleted, or of an Argo CD on another one"
        words = f"where another one has them, delete them there, without their objects: first see that none has the finalizer {_DELETES}"
        yield Work(title, WorkState.NOT_KNOWN, (says,), (words,))
        return
    deleting = [one for one in mine if any(text(name).startswith(_DELETES) for name in rows(at(one, "metadata", "finalizers")))]
    yield judged(
        "no Application deletes its objects when it goes",
        [f"{named(map(_name, deleting))}: finalizer {_DELETES}, which deletes the mesh with the Application"] if deleting else [],
        commands=[_kubectl(scene, "patch", one, "--type=merge", "-p", '{"metadata":{"finalizers":null}}') for one in deleting],
    )
    yield judged(
        title,
        [f"still there: {named(map(_name, mine))}"] if mine else [],
        words=_about_sets(scene, mine),
        commands=_deleting(scene, mine),
    )


def _mine(scene: Scene) -> list[Manifest]:
    """Applications of this site: of our names, named by marks, or those that make such ones; those that make others come first."""
    names = {*application_names(scene.site), *(keeper.name.rpartition("_")[2] for keeper in scene.keepers() if keeper.engine == ARGO)}
    found = [one for one in scene.owned[APPLICATION] or () if _name(one) in names]
    parents = [one for one in scene.owned[APPLICATION] or () if one not in found and _makes(one, names)]
    first = [one for one in found if _makes(one, names)]
    return [*parents, *first, *(one for one in found if one not in first)]


def _makes(one: Manifest, names: set[str]) -> bool:
    made = (table(part) for part in rows(at(one, "status", "resources")))
    return any(text(part.get("kind")) == APPLICATION and text(part.get("name")) in names for part in made)


def _sets(scene: Scene, mine: list[Manifest]) -> list[Manifest]:
    """ApplicationSets that make Applications of this site."""
    owners = [table(owner) for one in mine for owner in rows(at(one, "metadata", "ownerReferences"))]
    names = {text(owner.get("name")) for owner in owners if owner.get("kind") == SET}
    return [one for one in scene.owned[SET] or () if _name(one) in names]


def _is_shared(scene: Scene, one: Manifest) -> bool:
    """Whether an ApplicationSet makes Applications of other sites, too."""
    made = [owner for each in scene.owned[APPLICATION] or () for owner in rows(at(each, "metadata", "ownerReferences"))]
    return sum(text(table(owner).get("name")) == _name(one) for owner in made) > 1


def _about_sets(scene: Scene, mine: list[Manifest]) -> list[str]:
    shared = [one for one in _sets(scene, mine) if _is_shared(scene, one)]
    return [f"first take the element {scene.site.name} out of ApplicationSet {_name(one)} in Git, and apply it" for one in shared]


def _deleting(scene: Scene, mine: list[Manifest]) -> list[str]:
    own = [one for one in _sets(scene, mine) if not _is_shared(scene, one)]
    sets = [_kubectl(scene, "delete", one, "--cascade=orphan", kind=SET) for one in own]
    return [*sets, *(_kubectl(scene, "delete", one) for one in mine)]


def _kubectl(scene: Scene, verb: str, one: Manifest, *words: str, kind: str = APPLICATION) -> str:
    place = ["-n", text(at(one, "metadata", "namespace"))]
    return shlex.join(["kubectl", *scene.kubectl, verb, *place, f"{_RESOURCE[kind]}/{_name(one)}", *words])


def _name(one: Manifest) -> str:
    return plain(text(at(one, "metadata", "name")))


def _is_well(one: Manifest) -> bool:
    return (text(at(one, "status", "sync", "status")), text(at(one, "status", "health", "status"))) == ("Synced", "Healthy")


def _told(one: Manifest) -> str:
    parts = [text(at(one, "status", "sync", "status")) or "not compared yet", text(at(one, "status", "health", "status"))]
    operation = table(at(one, "status", "operationState"))
    message = "" if text(operation.get("phase")) == "Succeeded" else text(operation.get("message"))
    return plain(", ".join(part for part in (*parts, message) if part))
