"""Tells who still uses the istiods that an upgrade removes; pure."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from meshinstall.engine.upgrade.stages import selector_of
from meshinstall.model.mesh_position import ApiGatewayAt, LabelledAt, MeshPosition
from meshinstall.model.revision import DEFAULT_REVISION


def users(position: MeshPosition, staying: str) -> Iterator[str]:
    """What leads to an istiod of another revision than ``staying``, in words: nothing may when those are removed."""
    old = {plane.revision for plane in position.planes} - {staying}
    yield from _proxied(position, old)
    yield from (f"tag {tag.name} leads to it" for tag in position.tags if tag.revision in old)
    injected = (space for space in position.namespaces if space.selector and _leads(position, space.selector) in old)
    yield from (f"namespace {space.name} is injected by it (label {space.selector})" for space in injected)
    if position.validator in old:
        yield "it is the default validator of Istio's objects"
    named: tuple[LabelledAt | ApiGatewayAt, ...] = (*position.labelled, *position.api_gateways)
    labelled = (one for one in named if one.revision in old - {DEFAULT_REVISION})
    yield from (f"{one} has the label istio.io/rev: {one.revision}" for one in labelled)


def _proxied(position: MeshPosition, old: AbstractSet[str]) -> Iterator[str]:
    for one in position.proxied:
        count = sum(proxies.count for proxies in one.proxies if proxies.revision in old)
        if count:
            yield f"{one.name} has {count} {'proxy' if count == 1 else 'proxies'} of it"
        elif _leads(position, selector_of(position, one)) in old:
            yield f"new pods of {one.name} would be injected by it"


def _leads(position: MeshPosition, selector: str) -> str:
    plane = position.plane(selector)
    return plane.revision if plane else ""
