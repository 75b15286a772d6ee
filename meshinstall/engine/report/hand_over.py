"""Says how far a mesh is on its way from one who keeps it to another; changes nothing."""

from collections.abc import Callable

from meshinstall.engine.handover.order import order
from meshinstall.engine.handover.reader import read_ownership
from meshinstall.engine.handover.terms import Scene
from meshinstall.engine.objects.json_fields import MalformedError
from meshinstall.engine.report.drift import Asked, compare
from meshinstall.engine.session import Session
from meshinstall.errors import ClusterError
from meshinstall.model.desired import Desired
from meshinstall.model.foreign_text import plain
from meshinstall.model.hand_over import HandOver, Party


async def look(asked: Asked, desired: Desired, session: Session, to: Party, tell: Callable[[str], None]) -> HandOver:
    """The order of work to ``to``; raises ConfigError, ChartError and HelmError for the files, else ClusterError."""
    site, drift = await compare(asked, desired, session, tell)
    seen = await read_ownership(site, session.kube, session.releases)
    scene = Scene(
        site,
        seen.live,
        seen.records,
        seen.owned,
        tuple(str(one.key) for one in drift.objects),
        drift.unseen,
        asked.way.flags,
        asked.way.kubectl,
        asked.way.rendering,
    )
    return judge(scene, session.cluster, to)


def judge(scene: Scene, cluster: str, to: Party) -> HandOver:
    """The order of work by one look; raises ClusterError for objects of engines that are not of their schema."""
    try:
        return HandOver(scene.site.path, cluster, to, order(scene, to))
    except MalformedError as error:
        what = f"an Application, ApplicationSet, Kustomization or HelmRelease of this cluster has an unknown shape: {plain(error)}"
        raise ClusterError(what, "see that its CRD is the engine's own: kubectl get crd applications.argoproj.io -o yaml") from error
