"""Nights of the simulated year that bring one patch, as what happens in each: for the same nights on a real mesh."""

from collections.abc import Iterator
from dataclasses import dataclass

from meshinstall.engine.nightly.choice import Kind
from meshinstall.model.istio_version import IstioVersion
from tests.unit.engine.nightly.year import Night, nights, running


@dataclass(frozen=True, slots=True)
class Happening:
    """What a night meets: whether its windows are open, whether the patch is broken, and whether it is killed on its way."""

    is_open: bool
    is_broken: bool
    is_killed: bool


def patch_nights(seed: int) -> tuple[Happening, ...]:
    """The nights of a year from the first that would bring a patch in place to the last before that patch is there."""
    return tuple(_until_there(nights(seed)))


def _until_there(year: Iterator[Night]) -> Iterator[Happening]:
    target: IstioVersion | None = None
    for night in year:
        target = target or _patch(night)
        if target:
            yield Happening(night.was_open, night.is_broken, night.is_killed)
            if running(night.after) == {target}:
                return


def _patch(night: Night) -> IstioVersion | None:
    """What the night would bring, where that is a newer patch of the only istiod."""
    plan = night.decision.plan if night.decision and night.decision.kind is Kind.MOVE else None
    here = running(night.before)
    return plan.target if plan and len(here) == 1 and {plan.target.line} == {one.line for one in here} and {plan.target} != here else None
