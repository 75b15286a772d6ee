"""The plan of an upgrade, from where each part of a mesh is; pure."""

from dataclasses import replace
from datetime import date

from meshinstall.checks.preflight import support_of_target
from meshinstall.engine.upgrade.changes import find_changes, lines_between
from meshinstall.engine.upgrade.findings import of_mesh, of_target, who_keeps
from meshinstall.engine.upgrade.hops import find_route
from meshinstall.engine.upgrade.image_settings import image_findings
from meshinstall.engine.upgrade.stages import Goal, kept, order_stages
from meshinstall.engine.upgrade.strategy import wanted_revision, wanted_tags
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts
from meshinstall.model.istio import image_tag
from meshinstall.model.istio_version import IstioVersion, istio_version
from meshinstall.model.mesh_position import MeshPosition, Proxied
from meshinstall.model.upgrade import UpgradePlan


def plan_upgrade(desired: Desired, position: MeshPosition, target: IstioVersion, today: date) -> UpgradePlan:
    """The hops, the stages of the first one, and what is to be known before; ``desired`` is the configuration at the target's version.

    A mesh that is at the target already has neither hops nor stages. ``today`` judges the end of support.
    """
    position = replace(position, proxied=tuple(_without_its_own(one, target) for one in position.proxied))
    route = find_route(position, target, wanted_revision(desired, target))
    goal = Goal(target, route.strategy, wanted_tags(desired)) if route.strategy else None
    stages = order_stages(position, goal) if goal else ()
    if goal and not stages:
        # A job that somebody forgot would else be green until the files name another version.
        return UpgradePlan(desired.environment, desired.cluster.name, target, position, findings=tuple(who_keeps(position)))
    lines = lines_between(route.hops[0].before, target) if route.hops else ()
    findings = (
        *route.refusals,
        *support_of_target(desired, Facts(position.kubernetes), today),
        *of_target(position, target, lines),
        *image_findings(desired, target),
        *(of_mesh(position, route.strategy) if route.strategy else ()),
    )
    return UpgradePlan(
        environment=desired.environment,
        cluster=desired.cluster.name,
        target=target,
        position=position,
        hops=route.hops,
        strategy=route.strategy,
        stages=stages,
        kept=kept(position, goal) if goal else (),
        changes=find_changes(position, desired, lines),
        findings=tuple(findings),
    )


def _without_its_own(one: Proxied, target: IstioVersion) -> Proxied:
    """An image that a pod template names keeps no old proxy when it is the target's."""
    return replace(one, pinned_image="") if istio_version(image_tag(one.pinned_image)) == target else one
