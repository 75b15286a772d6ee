"""How far a mesh is on its way to Flux, or away from it; pure.

Sources: fluxcd: helm-controller docs/spec/v2/helmreleases.md (suspend), kustomize-controller docs/spec/v1/kustomizations.md (deletion).
"""

import shlex
from collections.abc import Iterable, Iterator

from meshinstall.engine.handover.marks import lacking
from meshinstall.engine.handover.own_objects import KUSTOMIZATION, RELEASE, kubectl, name_of, place
from meshinstall.engine.handover.terms import Place, Scene, judged, named
from meshinstall.engine.objects.json_fields import at, flag, rows, table, text
from meshinstall.gitops.flux import NAMESPACE, kustomization_names
from meshinstall.model.foreign_text import plain
from meshinstall.model.hand_over import Work, WorkState
from meshinstall.model.ownership import FLUX
from meshinstall.model.release import Manifest

# Of an entry of an inventory: namespace, name, group, kind.
_PARTS = 4
_IN_GIT = (
    "where Git has these objects, suspend them there first, or Flux takes back what kubectl writes; "
    "take them out of Git only when they are suspended, or Flux may delete the mesh:"
)
_SUSPEND = '{"spec":{"suspend":true}}'


def taking(scene: Scene) -> Iterator[Work]:
    """The steps by which Flux gets a mesh that is as the files say."""
    wanted, there = kustomization_names(scene.site), {name_of(one) for one in _all(scene, KUSTOMIZATION)}
    gone = [name for name in wanted if name not in there]
    yield judged(
        "Flux has the Kustomizations of this site",
        [f"not there: {named(gone)}"] if gone else [],
        words=("render, commit and push, then let Flux read the folder:",),
        commands=(
            "meshinstall render --format flux --out FOLDER --path PATH",
            "git add FOLDER && git commit -m 'Flux keeps the mesh' && git push",
            shlex.join(["kubectl", *scene.kubectl, "apply", "-k"]) + f" FOLDER/{scene.site.path}/flux",
        ),
    )
    yield _ready(scene)


def _ready(scene: Scene) -> Work:
    left = lacking(scene, FLUX)
    says = [f"{len(left)} objects do not have its mark yet: {named(item.key for item in left)}"] if left else []
    names = kustomization_names(scene.site)
    mine = [(KUSTOMIZATION, one) for one in _all(scene, KUSTOMIZATION) if name_of(one) in names]
    mine += [(RELEASE, one) for one in _releases(scene)]
    says += [f"{kind} {name_of(one)}: {why}" for kind, one in mine if (why := _unready(one))]
    return judged("Flux keeps every object", says, words=("wait until Flux is ready; flux get all -A says what it waits for",))


def leaving(scene: Scene) -> Iterator[Work]:
    """The steps after which Flux neither changes nor deletes anything of the mesh."""
    mine = _mine(scene)
    own = [(kind, one) for kind, one in mine if not _others(scene, one)]
    here = {(kind, *place(one)) for kind, one in mine}
    gone = sorted(str(one) for one in scene.keepers() if one.engine == FLUX and (one.kind, one.namespace, one.name) not in here)
    if gone:
        says = f"objects have the mark of {named(gone)}: not in this cluster, so deleted, or of a Flux on another one"
        words = "where another one has them, suspend and delete them there"
        yield Work("all of Flux that marked objects was seen", WorkState.NOT_KNOWN, (says,), (words,))
    busy = [(kind, one) for kind, one in mine if not flag(at(one, "spec", "suspend"))]
    yield judged(
        # Flux uninstalls a release whose HelmRelease is deleted, unless that is suspended.
        "Flux does nothing more",
        [f"not suspended: {named(f'{kind} {name_of(one)}' for kind, one in busy)}"] if busy else [],
        words=(*_about_shared(mine, scene), _IN_GIT),
        commands=[kubectl(scene, "patch", kind, one, "--type=merge", "-p", _SUSPEND) for kind, one in busy if (kind, one) in own],
    )
    yield judged(
        "Flux has nothing of this site",
        [f"still there: {named(f'{kind} {name_of(one)}' for kind, one in mine)}"] if mine else [],
        words=_about_shared(mine, scene),
        commands=[kubectl(scene, "delete", kind, one) for kind, one in own],
    )


def keepers(scene: Scene) -> list[str]:
    """Names of what of Flux keeps the site."""
    return [f"{kind} {name_of(one)}" for kind, one in _mine(scene)]


def _mine(scene: Scene) -> list[tuple[str, Manifest]]:
    return [*((KUSTOMIZATION, one) for one in _kustomizations(scene)), *((RELEASE, one) for one in _releases(scene))]


def _about_shared(mine: Iterable[tuple[str, Manifest]], scene: Scene) -> list[str]:
    return [
        f"{kind} {name_of(one)} keeps others, too ({named(others)}): in Git, give what it has of the mesh the annotation "
        "kustomize.toolkit.fluxcd.io/prune: disabled, let Flux apply it, then take that out of Git"
        for kind, one in mine
        if (others := _others(scene, one))
    ]


def _all(scene: Scene, kind: str) -> Iterable[Manifest]:
    return scene.owned[kind] or ()


def _marks(scene: Scene, kind: str) -> set[tuple[str, str]]:
    """Namespaces and names of those that objects say keep them."""
    return {(keeper.namespace, keeper.name) for keeper in scene.keepers() if keeper.engine == FLUX and keeper.kind == kind}


def _kustomizations(scene: Scene) -> list[Manifest]:
    """Those of our names that write to this cluster, and those that objects say keep them."""
    marks, names, places = _marks(scene, KUSTOMIZATION), kustomization_names(scene.site), scene.places()
    ours = {place(one) for one in _all(scene, KUSTOMIZATION) if _is_ours(one, names)}
    # Who lets go of an object leaves its marks there.
    has = (one for one in _all(scene, KUSTOMIZATION) if not _listed(one) or _listed(one) & places)
    marked = {place(one) for one in has if place(one) in marks}
    return [one for one in _all(scene, KUSTOMIZATION) if place(one) in ours | marked]


def _is_ours(one: Manifest, names: Iterable[str]) -> bool:
    return name_of(one) in names and place(one)[0] == NAMESPACE and not at(one, "spec", "kubeConfig")


def _listed(one: Manifest) -> set[Place]:
    """What a Kustomization has applied, but objects of Flux (fluxcd/cli-utils: pkg/object/objmetadata.go has the format)."""
    parts = (text(table(entry).get("id")).split("_") for entry in rows(at(one, "status", "inventory", "entries")))
    found = {Place(part[-2], part[-1], part[0], "_".join(part[1:-2]).replace("__", ":")) for part in parts if len(part) >= _PARTS}
    return {part for part in found if not part.group.endswith("toolkit.fluxcd.io")}


def _others(scene: Scene, one: Manifest) -> list[Place]:
    """What it has that is not of this site."""
    return [] if _is_ours(one, kustomization_names(scene.site)) else sorted(_listed(one) - scene.places())


def _releases(scene: Scene) -> list[Manifest]:
    """HelmReleases that install a release of this site here, by the name and namespace that Flux gives it, or that objects name."""
    wanted = {(release.key.namespace, release.key.name) for release in scene.site.releases}
    here = {place(one) for one in _all(scene, RELEASE) if _installs(one) in wanted and not at(one, "spec", "kubeConfig")}
    here |= _marks(scene, RELEASE)
    return [one for one in _all(scene, RELEASE) if place(one) in here]


def _installs(one: Manifest) -> tuple[str, str]:
    spec, own = table(one.get("spec")), text(at(one, "metadata", "namespace"))
    namespace = text(spec.get("targetNamespace"))
    default = f"{namespace}-{name_of(one)}" if namespace else name_of(one)
    return namespace or own, text(spec.get("releaseName")) or default


def _unready(one: Manifest) -> str:
    """Why it is not ready; empty where it is."""
    if flag(at(one, "spec", "suspend")):
        return "suspended"
    ready = next((table(part) for part in rows(at(one, "status", "conditions")) if table(part).get("type") == "Ready"), {})
    return "" if text(ready.get("status")) == "True" else plain(text(ready.get("message"))) or "not ready yet"
