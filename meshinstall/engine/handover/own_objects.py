"""Objects of the engines themselves: what names one, and a command of kubectl for it; pure."""

import shlex

from meshinstall.engine.handover.terms import Scene
from meshinstall.engine.objects.json_fields import at, text
from meshinstall.model.foreign_text import plain
from meshinstall.model.release import Manifest

APPLICATION, SET = "Application", "ApplicationSet"
KUSTOMIZATION, RELEASE = "Kustomization", "HelmRelease"
_RESOURCE = {
    APPLICATION: "applications.argoproj.io",
    SET: "applicationsets.argoproj.io",
    KUSTOMIZATION: "kustomizations.kustomize.toolkit.fluxcd.io",
    RELEASE: "helmreleases.helm.toolkit.fluxcd.io",
}


def place(one: Manifest) -> tuple[str, str]:
    """Namespace and name."""
    return text(at(one, "metadata", "namespace")), text(at(one, "metadata", "name"))


def name_of(one: Manifest) -> str:
    """The name, to be shown."""
    return plain(place(one)[1])


def kubectl(scene: Scene, verb: str, kind: str, one: Manifest, *words: str) -> str:
    """``kubectl VERB -n NAMESPACE RESOURCE/NAME WORDS``."""
    return shlex.join(["kubectl", *scene.kubectl, verb, "-n", place(one)[0], f"{_RESOURCE[kind]}/{name_of(one)}", *words])
