"""How far a mesh is on its way to Flux, or away from it; pure.

Sources: fluxcd: helm-controller docs/spec/v2/helmreleases.md (suspend), kustomize-controller docs/spec/v1/kustomizations.md (deletion).
"""

import shlex
from collections.abc import Iterable, Iterator

from meshinstall.engine.handover.marks import lacking
from meshinstall.engine.handover.terms import Scene, judged, named
from meshinstall.engine.objects.json_fields import at, flag, rows, table, text
from meshinstall.gitops.flux import kustomization_names
from meshinstall.model.foreign_text import plain
from meshinstall.model.hand_over import Work, WorkState
from meshinstall.model.ownership import FLUX
from meshinstall.model.release import Manifest

KUSTOMIZATION, RELEASE = "Kustomization", "HelmRelease"
_RESOURCE = {KUSTOMIZATION: "kustomizations.kustomize.toolkit.fluxcd.io", RELEASE: "helmreleases.helm.toolkit.fluxcd.io"}
_SUSPEND = '{"spec":{"suspend":true}}'


def taking(scene: Scene) -> Iterator[Work]:
    """The steps by which Flux gets a mesh that is as the files say."""
    wanted, there = kustomization_names(scene.site), {_name(one) for one in _all(scene, KUSTOMIZATION)}
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
    mine = [(KUSTOMIZATION, one) for one in _all(scene, KUSTOMIZATION) if _name(one) in kustomization_names(scene.site)]
    mine += [(RELEASE, one) for one in _releases(scene)]
    says += [f"{kind} {_name(one)}: {why}" for kind, one in mine if (why := _unready(one))]
    return judged("Flux keeps every object", says, words=("wait until Flux is ready; flux get all -A says what it waits for",))


def leaving(scene: Scene) -> Iterator[Work]:
    """The steps after which Flux neither changes nor deletes anything of the mesh."""
    mine = [*((KUSTOMIZATION, one) for one in _kustomizations(scene)), *((RELEASE, one) for one in _releases(scene))]
    gone = sorted({str(keeper) for keeper in scene.keepers() if keeper.engine == FLUX}) if not mine else []
    if gone:
        says = f"objects have the mark of {named(gone)}: not in this cluster, so deleted, or of a Flux on another one"
        words = "where another one has them, suspend and delete them there"
        yield Work("Flux does nothing more", WorkState.NOT_KNOWN, (says,), (words,))
        return
    busy = [(kind, one) for kind, one in mine if not flag(at(one, "spec", "suspend"))]
    yield judged(
        # Flux uninstalls a release whose HelmRelease is deleted, unless that is suspended.
        "Flux does nothing more",
        [f"not suspended: {named(f'{kind} {_name(one)}' for kind, one in busy)}"] if busy else [],
        words=("take the site out of what `flux bootstrap` reads, where it is in there, then suspend what is left:",),
        commands=[_kubectl(scene, "patch", kind, one, "--type=merge", "-p", _SUSPEND) for kind, one in busy],
    )
    yield judged(
        "Flux has nothing of this site",
        [f"still there: {named(f'{kind} {_name(one)}' for kind, one in mine)}"] if mine else [],
        commands=[_kubectl(scene, "delete", kind, one) for kind, one in mine],
    )


def _all(scene: Scene, kind: str) -> Iterable[Manifest]:
    return scene.owned[kind] or ()


def _kustomizations(scene: Scene) -> list[Manifest]:
    """Those of our names, and those that objects say keep them."""
    names = {keeper.name for keeper in scene.keepers() if keeper.engine == FLUX and keeper.kind == KUSTOMIZATION}
    return [one for one in _all(scene, KUSTOMIZATION) if _name(one) in names | set(kustomization_names(scene.site))]


def _releases(scene: Scene) -> list[Manifest]:
    """HelmReleases that install a release of this site, by the name and namespace that Flux gives it."""
    wanted = {(release.key.namespace, release.key.name) for release in scene.site.releases}
    return [one for one in _all(scene, RELEASE) if _installs(one) in wanted]


def _installs(one: Manifest) -> tuple[str, str]:
    spec, own = table(one.get("spec")), text(at(one, "metadata", "namespace"))
    namespace = text(spec.get("targetNamespace"))
    default = f"{namespace}-{_name(one)}" if namespace else _name(one)
    return namespace or own, text(spec.get("releaseName")) or default


def _kubectl(scene: Scene, verb: str, kind: str, one: Manifest, *words: str) -> str:
    place = ["-n", text(at(one, "metadata", "namespace"))]
    return shlex.join(["kubectl", *scene.kubectl, verb, *place, f"{_RESOURCE[kind]}/{_name(one)}", *words])


def _name(one: Manifest) -> str:
    return plain(text(at(one, "metadata", "name")))


def _unready(one: Manifest) -> str:
    """Why it is not ready; empty where it is."""
    if flag(at(one, "spec", "suspend")):
        return "suspended"
    ready = next((table(part) for part in rows(at(one, "status", "conditions")) if table(part).get("type") == "Ready"), {})
    return "" if text(ready.get("status")) == "True" else plain(text(ready.get("message"))) or "not ready yet"
