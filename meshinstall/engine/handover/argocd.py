"""How far a mesh is on its way to Argo CD, or away from it; pure.

Sources: argo-cd: docs/user-guide/app_deletion.md (the finalizer), docs/operator-manual/applicationset/Application-Deletion.md.
"""

import json
import shlex
from collections.abc import Iterator

from meshinstall.engine.handover.marks import lacking
from meshinstall.engine.handover.own_objects import APPLICATION, SET, kubectl, name_of, place
from meshinstall.engine.handover.terms import Place, Scene, judged, named
from meshinstall.engine.objects.json_fields import at, flag, rows, table, text
from meshinstall.gitops.argocd import application_names, application_of
from meshinstall.gitops.terms import RenderedSite
from meshinstall.model.foreign_text import plain
from meshinstall.model.hand_over import Work, WorkState
from meshinstall.model.ownership import ARGO
from meshinstall.model.release import Manifest

# With one of these Argo CD deletes all objects of an Application that is deleted.
_DELETES = "resources-finalizer.argocd.argoproj.io"
_COMMANDS = (
    "meshinstall render --format argocd --out FOLDER --repo-url URL --path PATH",
    "git add FOLDER && git commit -m 'Argo CD keeps the mesh' && git push",
    "kubectl apply -f FOLDER/projects -f FOLDER/applicationset.yaml",
)
_GROUP, _HOME = "argoproj.io", "https://kubernetes.default.svc"
_KEEP = '{"spec":{"syncPolicy":{"preserveResourcesOnDeletion":true},"template":{"metadata":{"finalizers":null}}}}'
_ON_HUB = "Argo CD does not run in this cluster, so its Applications were not seen"


def taking(scene: Scene) -> Iterator[Work]:
    """The steps by which Argo CD gets a mesh that is as the files say."""
    yield _applications(scene)
    yield _synced(scene)


def _applications(scene: Scene) -> Work:
    there = {name_of(one) for one in scene.owned[APPLICATION] or ()}
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
    names = frozenset(application_names(scene.site))
    mine = [one for one in scene.owned[APPLICATION] or () if name_of(one) in names]
    unwell = [one for one in mine if not _is_well(one)]
    says += [f"Application {name_of(one)}: {_told(one)}" for one in unwell]
    wanted = dict.fromkeys(application_of(scene.site, item) for item in left)
    # Objects with helm's label app.kubernetes.io/instance are Synced for Argo CD without its mark (util/argo/resource_tracking.go).
    idle = [one for one in mine if name_of(one) in wanted and _is_well(one)]
    elsewhere = [shlex.join(["argocd", "app", "sync", name]) for name in wanted] if scene.owned[APPLICATION] is None else []
    return judged(
        "Argo CD keeps every object",
        says,
        words=("wait until Argo CD has compared; what equals Git already it marks only by a sync:",),
        commands=[*(kubectl(scene, "patch", APPLICATION, one, "--type=merge", "-p", _operation(one)) for one in idle), *elsewhere],
    )


def _operation(one: Manifest) -> str:
    """A sync as Argo CD itself begins one: with the options of the Application, and without deleting anything."""
    options = [text(option) for option in rows(at(one, "spec", "syncPolicy", "syncOptions"))]
    return json.dumps({"operation": {"initiatedBy": {"username": "hand-over"}, "sync": {"syncOptions": options}}}, separators=(",", ":"))


def leaving(scene: Scene) -> Iterator[Work]:
    """The steps after which Argo CD neither changes nor deletes anything of the mesh."""
    mine = _mine(scene)
    here = {name for one in mine for name in (place(one)[1], "_".join(place(one)))}
    gone = sorted(str(keeper) for keeper in scene.keepers() if keeper.engine == ARGO and keeper.name not in here)
    if gone:
        says = f"objects have the mark of {named(gone)}: not in this cluster, so deleted, or of an Argo CD on another one"
        words = f"where another one has them, delete them there, without their objects: first see that none has the finalizer {_DELETES}"
        yield Work("every Application that marked objects was seen", WorkState.NOT_KNOWN, (says,), (words,))
    own = [one for one in mine if not _others(scene, one, mine)]
    yield _finalizers(scene, own)
    yield judged(
        "no Application of Argo CD keeps the mesh",
        [f"still there: {named(map(name_of, mine))}"] if mine else [],
        words=(*_about_sets(scene, mine), *_about_shared(scene, mine)),
        commands=_deleting(scene, own, mine),
    )


def keepers(scene: Scene) -> list[str]:
    """Names of the Applications that keep the site."""
    return [f"{APPLICATION} {name_of(one)}" for one in _mine(scene)]


def _finalizers(scene: Scene, own: list[Manifest]) -> Work:
    deleting = [one for one in own if _deletes(at(one, "metadata"))]
    sets = [one for one in _sets(scene, own) if _writes_finalizer(one)]
    says = [f"{named(map(name_of, deleting))}: finalizer {_DELETES}, which deletes the mesh with the Application"] if deleting else []
    says += [f"{SET} {name_of(one)} writes that finalizer, also where it was taken away" for one in sets]
    shared = [
        f"in Git, let {SET} {name_of(one)} preserve resources on deletion, and apply it" for one in sets if _is_shared(scene, one, own)
    ]
    return judged(
        "no Application deletes its objects when it goes",
        says,
        words=(*shared, "where Git has the finalizer, take it out there first, or it comes back:"),
        commands=[
            *(kubectl(scene, "patch", SET, one, "--type=merge", "-p", _KEEP) for one in sets if not _is_shared(scene, one, own)),
            *(kubectl(scene, "patch", APPLICATION, one, "--type=merge", "-p", '{"metadata":{"finalizers":null}}') for one in deleting),
        ],
    )


def _deletes(metadata: object) -> bool:
    return any(text(name).startswith(_DELETES) for name in rows(at(metadata, "finalizers")))


def _writes_finalizer(one: Manifest) -> bool:
    """Whether an ApplicationSet gives its Applications the finalizer, which it does but where it is told not to."""
    return not flag(at(one, "spec", "syncPolicy", "preserveResourcesOnDeletion")) or _deletes(at(one, "spec", "template", "metadata"))


def _mine(scene: Scene) -> list[Manifest]:
    """Applications that keep this site, and those that make such ones or their ApplicationSets; those that make others come first."""
    all_, places = scene.owned[APPLICATION] or (), scene.places()
    marks = {keeper.name for keeper in scene.keepers() if keeper.engine == ARGO}
    names = frozenset(application_names(scene.site))
    found = [one for one in all_ if name_of(one) in names or _keeps(scene.site, one, places, marks)]
    made = _made(scene, found)
    found.sort(key=lambda one: not _makes(one, made))
    while more := [one for one in all_ if one not in found and _makes(one, made)]:
        found = [*more, *found]
        made = _made(scene, found)
    return found


def _keeps(site: RenderedSite, one: Manifest, places: set[Place], marks: set[str]) -> bool:
    """By marks, or by what it lists as its own: by the label ``app.kubernetes.io/instance`` it may track unmarked."""
    listed, (namespace, name) = _listed(one), place(one)
    if {name, f"{namespace}_{name}"} & marks:
        return not listed or bool(listed & places)
    target = table(at(one, "spec", "destination"))
    is_here = text(target.get("server")) in {"", _HOME} and text(target.get("name")) in {"", "in-cluster", site.name}
    return is_here and bool(listed & places)


def _listed(one: Manifest) -> set[Place]:
    """The objects that Argo CD says an Application has, but for its projects."""
    parts = (table(part) for part in rows(at(one, "status", "resources")))
    found = {Place(*(text(part.get(name)) for name in ("group", "kind", "namespace", "name"))) for part in parts}
    return {part for part in found if (part.group, part.kind) != (_GROUP, "AppProject")}


def _made(scene: Scene, found: list[Manifest]) -> set[Place]:
    """Applications and their ApplicationSets as what makes them lists them."""
    return {
        *(Place(_GROUP, APPLICATION, *place(one)) for one in found),
        *(Place(_GROUP, SET, *place(one)) for one in _sets(scene, found)),
    }


def _makes(one: Manifest, made: set[Place]) -> bool:
    return bool(_listed(one) & made)


def _others(scene: Scene, one: Manifest, mine: list[Manifest]) -> list[Place]:
    """What an Application has that is not of this site: who deletes it takes that from its keeper."""
    if name_of(one) in application_names(scene.site):
        return []
    return sorted(_listed(one) - scene.places() - _made(scene, mine))


def _about_shared(scene: Scene, mine: list[Manifest]) -> Iterator[str]:
    for one in mine:
        if others := _others(scene, one, mine):
            yield (
                f"Application {name_of(one)} keeps others, too ({named(others)}): in Git, give what it has of the mesh the annotation "
                "argocd.argoproj.io/sync-options: Prune=false, let it sync, then take that out of Git"
            )


def _sets(scene: Scene, mine: list[Manifest]) -> list[Manifest]:
    """ApplicationSets that make Applications of this site."""
    makers = {maker for one in mine for maker in _makers(one)}
    return [one for one in scene.owned[SET] or () if place(one) in makers]


def _makers(one: Manifest) -> list[tuple[str, str]]:
    """The ApplicationSets that own an Application: they are in its namespace."""
    owners = (table(owner) for owner in rows(at(one, "metadata", "ownerReferences")))
    return [(place(one)[0], text(owner.get("name"))) for owner in owners if owner.get("kind") == SET]


def _is_shared(scene: Scene, one: Manifest, mine: list[Manifest]) -> bool:
    """Whether an ApplicationSet makes Applications of others, too."""
    return any(place(one) in _makers(each) and each not in mine for each in scene.owned[APPLICATION] or ())


def _about_sets(scene: Scene, mine: list[Manifest]) -> list[str]:
    shared = [one for one in _sets(scene, mine) if _is_shared(scene, one, mine)]
    return [f"first take the element {scene.site.name} out of ApplicationSet {name_of(one)} in Git, and apply it" for one in shared]


def _deleting(scene: Scene, own: list[Manifest], mine: list[Manifest]) -> list[str]:
    sets = [one for one in _sets(scene, own) if not _is_shared(scene, one, mine)]
    orphaning = [kubectl(scene, "delete", SET, one, "--cascade=orphan") for one in sets]
    return [*orphaning, *(kubectl(scene, "delete", APPLICATION, one) for one in own)]


def _is_well(one: Manifest) -> bool:
    return (text(at(one, "status", "sync", "status")), text(at(one, "status", "health", "status"))) == ("Synced", "Healthy")


def _told(one: Manifest) -> str:
    parts = [text(at(one, "status", "sync", "status")) or "not compared yet", text(at(one, "status", "health", "status"))]
    operation = table(at(one, "status", "operationState"))
    message = "" if text(operation.get("phase")) == "Succeeded" else text(operation.get("message"))
    return plain(", ".join(part for part in (*parts, message) if part))
