"""The order of work of a hand-over, judged by one look; pure."""

import shlex
from collections.abc import Iterator

from meshinstall.engine.handover import argocd, flux
from meshinstall.engine.handover.marks import claim, claimed, give_to_helm, marked, not_helms, take_claims, take_marks, unclaimed
from meshinstall.engine.handover.terms import Scene, judged, named
from meshinstall.model.hand_over import Party, Work, WorkState, in_order
from meshinstall.model.ownership import ARGO, FLUX, made_by_us
from meshinstall.model.release import ReleaseStatus


def order(scene: Scene, to: Party) -> tuple[Work, ...]:
    """Every step to ``to`` with its state."""
    works = tuple(_back(scene) if to is Party.MESHINSTALL else _away(scene, to))
    claims = _claims(scene, to, is_kept=all(one.state is not WorkState.OPEN for one in works))
    return in_order((*works, claims, _records(scene)) if to is Party.MESHINSTALL else (*works, claims))


def _away(scene: Scene, to: Party) -> Iterator[Work]:
    yield _same(scene)
    yield from _others(scene, to)
    yield from argocd.taking(scene) if to is Party.ARGOCD else flux.taking(scene)
    if to is Party.ARGOCD:
        yield _no_records(scene)


def _back(scene: Scene) -> Iterator[Work]:
    yield _same(scene)
    yield from argocd.leaving(scene)
    yield from flux.leaving(scene)
    left = marked(scene)
    yield judged(
        "no object has the mark of an engine",
        [f"{len(left)} have one: {named(left)}"] if left else [],
        commands=take_marks(scene),
    )
    foreign = not_helms(scene)
    yield judged(
        "helm may take the objects of its releases",
        [f"{len(foreign)} are not marked as helm's: {named(key for key, _ in foreign)}"] if foreign else [],
        commands=give_to_helm(scene),
    )
    left_to_claim = unclaimed(scene)
    yield judged(
        "helm and meshinstall own fields of every object",
        [f"engines alone own those of {len(left_to_claim)}: {named(left_to_claim)}"] if left_to_claim else [],
        words=("apply what is there already, by the names under which helm and meshinstall write:",),
        commands=(claim(scene),),
    )


def _others(scene: Scene, to: Party) -> Iterator[Work]:
    """Where another engine still keeps the mesh, it would go on to change and to delete beside the new one."""
    engine, kept = (FLUX, flux.keepers(scene)) if to is Party.ARGOCD else (ARGO, argocd.keepers(scene))
    left = marked(scene, engine)
    says = [f"{engine} still keeps it: {named(kept)}"] if kept else []
    says += [f"{len(left)} objects have the mark of {engine}: {named(left)}"] if left else []
    if says:
        command = shlex.join(["meshinstall", "hand-over", "meshinstall", *scene.flags])
        yield judged("no other engine keeps the mesh", says, words=("take it from there first:",), commands=(command,))


def _same(scene: Scene) -> Work:
    """Whoever takes a mesh makes it what the files say: pods restart where it is not that yet."""
    says = [f"{len(scene.drift)} objects are not: {named(scene.drift)}"] if scene.drift else []
    says += [f"this could not be compared: {named(scene.unseen)}"] if scene.unseen else []
    command = shlex.join(["meshinstall", "drift", *scene.flags])
    return judged("the mesh is what the files say", says, words=("see what differs, and what puts it right:",), commands=(command,))


def _claims(scene: Scene, to: Party, *, is_kept: bool) -> Work:
    """Before the new one keeps all objects it owns too little to judge by."""
    title, left = f"{to.called} alone owns the fields of the objects", claimed(scene, to)
    if not is_kept:
        return Work(title, WorkState.WAITING)
    return judged(
        title,
        [f"others own fields of {len(left)}, which would stay when they leave the files: {named(item.key for item, _, _ in left)}"]
        if left
        else [],
        commands=take_claims(scene, to),
    )


def _no_records(scene: Scene) -> Work:
    """Whoever runs helm by such a record would delete the mesh, or set it back."""
    keys = list(scene.records)
    return judged(
        "helm has no record of the mesh",
        [f"it has records of {named(keys)}"] if keys else [],
        commands=[
            shlex.join(["kubectl", *scene.kubectl, "delete", "secrets", "-n", key.namespace, "-l", f"owner=helm,name={key.name}"])
            for key in keys
        ],
    )


def _records(scene: Scene) -> Work:
    wanted = [release.key for release in scene.site.releases]
    there = {key: one for key, one in scene.records.items() if one.status is ReleaseStatus.DEPLOYED}
    missing = [key for key in wanted if key not in there or not made_by_us(there[key])]
    taken = ["--allow", "takeover"] if any(key in there for key in missing) else []
    return judged(
        "meshinstall has installed every release",
        [f"not yet: {named(missing)}"] if missing else [],
        commands=[shlex.join(["meshinstall", "up", *scene.flags, *taken])],
    )
