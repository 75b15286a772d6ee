"""Renders a release as helm will when the plan is carried out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.engine.objects.release_manifest import crd_texts, read_objects
from meshinstall.engine.session import Session
from meshinstall.errors import HelmError
from meshinstall.model.plan import ReleaseStep
from meshinstall.model.release import Manifest, ReleaseKey
from meshinstall.model.trial import Ground


@dataclass(frozen=True, slots=True)
class Rendering:
    """What a release consists of: its objects, and its CRDs as they are written, by name."""

    objects: tuple[Manifest, ...]
    crds: Mapping[str, str]


async def render(step: ReleaseStep, values: Mapping[str, Any], ground: Ground, session: Session) -> Rendering:
    """What helm makes of ``values`` for a step; raises HelmError and ChartError."""
    archive = await session.charts.fetch(step.chart)
    return read_rendering(step.release, await session.helm.template(step.release, archive, values, ground, upgrade=step.revision > 0))


def read_rendering(release: ReleaseKey, text: str) -> Rendering:
    """What is in the output of ``helm template``; raises HelmError."""
    try:
        return Rendering(read_objects(text), crd_texts(text))
    except ValueError as error:
        raise HelmError(f"helm template of {release} made what is not YAML: {error}") from error


async def try_render(step: ReleaseStep, values: Mapping[str, Any], ground: Ground, session: Session) -> Rendering | HelmError:
    """The same, with helm's refusal as an answer; raises ChartError."""
    try:
        return await render(step, values, ground, session)
    except HelmError as error:
        return error
